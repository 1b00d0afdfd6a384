"""From a table to numbers: scaling, missing values, categories, groups, and what is noticed."""

import numpy as np
import pandas as pd
import pytest
from small_data import blobs, frame_of, table_of

from phasemap.auditing.inputs import texts
from phasemap.auditing.preparing import prepare
from phasemap.study.errors import UserError


@pytest.fixture
def frame():
    points, labels, _ = blobs(80)
    return frame_of(points, labels)


def codes(prepared):
    return {notice.code: notice.values for notice in prepared.notices}


def test_numbers_are_standardized_and_a_constant_stands_for_biases(frame):
    found = prepare(table_of(frame.assign(x0=1000 + 50 * frame["x0"])))
    assert found.inputs.dtype == np.float32
    np.testing.assert_allclose(found.inputs[:, :4].mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(found.inputs[:, :4].std(axis=0), 1, atol=0.05)
    assert (found.inputs[:, -1] == 1).all()


def test_missing_values_are_filled_in_and_marked_and_categories_become_columns(frame):
    frame = frame.assign(x0=frame["x0"].where(frame.index % 5 != 0), colour=["red", None] * 40)
    found = prepare(table_of(frame))
    assert np.isfinite(found.inputs).all()
    assert found.inputs.shape[1] == 4 + 1 + 2 + 1  # numbers, one missing, two colours ("red", missing), the constant


def test_an_identifier_and_a_constant_are_left_out_and_told(frame):
    found = prepare(table_of(frame.assign(who=[f"person {i}" for i in frame.index], same="x")))
    assert codes(found)["identifier_column"] == {"column": "who", "distinct": 80, "rows": 80}
    assert codes(found)["constant_column"] == {"column": "same"}
    assert found.inputs.shape[1] == 5


def test_a_column_that_numbers_the_rows_in_any_order_is_left_out_and_told(frame):
    numbers = np.random.default_rng(0).permutation(len(frame)) + 1000
    found = prepare(table_of(frame.assign(nr=numbers)))
    assert codes(found)["numbered_column"] == {"column": "nr"}
    assert found.inputs.shape[1] == 5
    for kept in (numbers + 0.5, np.where(numbers == 1000, 5, numbers), numbers // 2):
        found = prepare(table_of(frame.assign(nr=kept)))
        assert "numbered_column" not in codes(found)
        assert found.inputs.shape[1] == 6


def test_copies_are_kept_together_and_their_disagreement_is_told(frame):
    copy = frame.head(3).assign(label=["c0", "c1", "c2"])
    found = prepare(table_of(pd.concat([frame, copy], ignore_index=True)))
    agree = (copy["label"].to_numpy() == frame["label"].head(3).to_numpy()).sum()
    assert codes(found)["duplicates"] == {"rows": 3, "conflicting": 2 * (3 - agree)}
    assert (found.groups[:3] == found.groups[80:]).all()
    assert len(np.unique(found.groups)) == 80


def test_groups_with_a_common_row_are_joined_and_the_leak_is_told(frame):
    frame = frame.assign(patient=frame.index // 8)
    frame.loc[9, ["x0", "x1", "x2", "x3"]] = frame.loc[0, ["x0", "x1", "x2", "x3"]]
    found = prepare(table_of(frame, group="patient"))
    assert codes(found)["group_leakage"] == {"rows": 2}
    assert found.groups[0] == found.groups[9] == found.groups[15]
    assert len(np.unique(found.groups)) == 9


def test_time_becomes_blocks_in_order(frame):
    times = pd.date_range("2024-01-01", periods=80).astype(str)
    found = prepare(table_of(frame.assign(day=times), time="day"))
    assert len(np.unique(found.groups)) == 20
    assert (np.diff(found.groups) >= 0).all()


def test_a_time_that_is_none_is_refused(frame):
    with pytest.raises(UserError, match="'day' is not a time in row 0: 'soon'"):
        prepare(table_of(frame.assign(day="soon"), time="day"))


def test_a_sorted_file_is_noticed_and_a_shuffled_one_is_not(frame):
    assert "sorted_file" in codes(prepare(table_of(frame.sort_values("label"))))
    assert "sorted_file" not in codes(prepare(table_of(frame)))


def test_costs_must_be_positive(frame):
    with pytest.raises(UserError, match=r"'price' is 0.0 in row 2; allowed: costs above 0"):
        prepare(table_of(frame.assign(price=[1.0, 2.0, *[0.0] * 78]), cost="price"))


def placeholders(template):
    import string

    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_both_languages_have_the_same_texts_with_the_same_values():
    english, japanese = texts("en"), texts("ja")
    assert english.keys() == japanese.keys()
    for part in english:
        assert english[part].keys() == japanese[part].keys()
        for code, template in english[part].items():
            assert placeholders(template) == placeholders(japanese[part][code]), code
