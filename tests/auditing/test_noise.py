"""Noise rates: exact intervals that cover, and estimates that know what they rest on."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from small_data import blobs

from phasemap.auditing.inputs import Table
from phasemap.auditing.measures import Estimate
from phasemap.auditing.preparing import prepare
from phasemap.auditing.suspects import (
    best_error,
    check_sheet_size,
    from_raters,
    from_verified,
    noise_rate,
    rater_codes,
    read_verified,
    write_sheet,
)
from phasemap.study.errors import UserError


def test_a_uniform_sample_gives_clopper_and_pearsons_interval():
    labels = np.zeros(1000, dtype=int)
    truth = {row: int(row < 7) for row in range(60)}
    found = from_verified(labels, truth)
    expected = binomtest(7, 60).proportion_ci(0.95, method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((7 / 60, expected.low, expected.high))


def test_rows_that_were_certain_count_as_themselves_and_never_for_others():
    labels = np.zeros(100, dtype=int)
    certain = frozenset(range(30))
    truth = dict.fromkeys(range(30), 1) | dict.fromkeys(range(30, 100), 0)
    found = from_verified(labels, truth, certain)
    assert found.value == found.low == found.high == 0.3


def sheet_of(n, wrong, source):
    """Suspects of n rows, wrong ones mostly first."""
    order = np.argsort(-(wrong + 0.8 * source.random(n)))
    return pd.DataFrame({"row": order, "given_label": "a", "suggested_label": "b", "probability": 0.5, "kind": "wrong"})


def test_a_filled_sheet_gives_intervals_that_cover_the_true_rate(tmp_path):
    hits, values = 0, []
    for seed in range(60):
        source = np.random.default_rng(seed)
        wrong = source.permutation(600) < 72
        write_sheet(tmp_path / "sheet.csv", sheet_of(600, wrong, source), 100)
        sheet = pd.read_csv(tmp_path / "sheet.csv")
        sheet["verified_label"] = np.where(wrong[sheet["row"]], "b", "a")
        sheet.to_csv(tmp_path / "filled.csv", index=False)
        verified = read_verified(tmp_path / "filled.csv", ("a", "b"), 600)
        assert len(verified.certain) == 30
        found = from_verified(np.zeros(600, dtype=int), verified.truth, verified.certain)
        hits += found.low <= 0.12 <= found.high
        values.append(found.value)
    assert hits >= 54
    assert np.mean(values) == pytest.approx(0.12, abs=0.01)


def test_the_sheet_names_no_suspicion_and_its_probabilities_are_those_of_the_draw(tmp_path):
    wrong = np.arange(300) < 30
    write_sheet(tmp_path / "sheet.csv", sheet_of(300, wrong, np.random.default_rng(0)), 50)
    sheet = pd.read_csv(tmp_path / "sheet.csv")
    assert list(sheet.columns) == ["row", "given_label", "inclusion_probability", "verified_label"]
    assert sheet["row"].is_unique
    chances = sheet["inclusion_probability"].round(6).value_counts()
    assert chances.to_dict() == {1.0: 15, round(35 / 285, 6): 35}
    assert not (sheet["inclusion_probability"].head(15) == 1).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.drop(columns="inclusion_probability"), "has no column 'inclusion_probability'"),
        (lambda s: s.assign(verified_label=None), "has no verified label yet"),
        (lambda s: s.assign(verified_label="z"), "names 'z', which is not a class of the data; allowed: a, b"),
        (lambda s: s.assign(row=s["row"] + 300), "rows that the data don't have; allowed: 0 to 299"),
        (lambda s: s.assign(inclusion_probability=np.linspace(0.1, 0.9, len(s))), "inclusion_probability was changed"),
    ],
)
def test_a_sheet_that_does_not_fit_is_refused(tmp_path, spoil, message):
    path = tmp_path / "sheet.csv"
    write_sheet(path, sheet_of(300, np.arange(300) < 30, np.random.default_rng(0)), 50)
    spoil(pd.read_csv(path).assign(verified_label="a")).to_csv(path, index=False)
    with pytest.raises(UserError, match=message):
        read_verified(path, ("a", "b"), 300)


def test_a_sheet_larger_than_the_data_is_refused():
    with pytest.raises(UserError, match="--verify-sheet 400 is not possible; allowed: 1 to 300 rows"):
        check_sheet_size(400, 300)


def test_three_raters_of_unequal_care_tell_the_rate():
    source = np.random.default_rng(0)
    truth = source.integers(3, size=600)

    def rate_by(error):
        return np.where(source.random(600) < error, (truth + source.integers(1, 3, 600)) % 3, truth)

    labels = rate_by(0.15)
    frame = pd.DataFrame({f"r{i}": np.array(["a", "b", "c"])[rate_by(e)] for i, e in enumerate((0.05, 0.1, 0.3, 0.2))})
    codes = rater_codes(frame, ("a", "b", "c"))
    found = from_raters(labels, codes, 3)
    assert found.low <= (labels != truth).mean() <= found.high
    assert found.high - found.low < 0.1


def test_the_bound_is_the_lowest_error_found():
    _, labels, _ = blobs(60)
    held_out = np.eye(3)[labels]
    held_out[:6] = np.eye(3)[(labels[:6] + 1) % 3]
    assert best_error(held_out, labels, np.array([0.3, 0.25])) == pytest.approx(0.1)
    assert best_error(held_out, labels, np.array([0.05])) == pytest.approx(0.05)


def test_a_declared_rate_stays_within_the_bound():
    points, labels, _ = blobs(60)
    table = Table(source="test", features=points, labels=pd.Series(labels))
    declared = Estimate(value=0.3, low=0.1, high=0.5)
    found = noise_rate(0.2, table, prepare(table), None, declared)
    assert found.point == Estimate(value=0.2, low=0.1, high=0.2)
    assert found.range == (0.1, 0.2)
    assert noise_rate(0.2, table, prepare(table), None, None).range == (0.0, 0.2)
