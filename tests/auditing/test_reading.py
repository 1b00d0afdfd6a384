"""What can't be read is named, with the place, before anything is trained."""

import numpy as np
import pandas as pd
import pytest
from small_data import blobs, frame_of

from phasemap.auditing.inputs import Columns, read_table
from phasemap.auditing.preparing import prepare
from phasemap.study.errors import UserError

LABEL = Columns(label="label")


@pytest.fixture
def frame():
    points, labels, _ = blobs(60)
    return frame_of(points, labels)


def prepared(path, columns=LABEL, **settings):
    return prepare(read_table(path, columns, **settings))


def spoilt(frame, kind):
    """Return a table with one thing wrong with it."""
    return {
        "a column that is not there": lambda: frame.rename(columns={"label": "labels"}),
        "one class": lambda: frame.assign(label="c0"),
        "few rows": lambda: frame.head(49),
        "constant features": lambda: frame.assign(**{name: 1.0 for name in frame if name != "label"}),
        "missing labels": lambda: frame.assign(label=frame["label"].where(frame.index != 7)),
        "a class with one row": lambda: frame.assign(label=frame["label"].where(frame.index != 3, "alone")),
        "fractions as labels": lambda: frame.assign(label=frame["x0"]),
        "only identifiers": lambda: frame[["label"]].assign(name=[f"row {i}" for i in frame.index]),
        "no feature": lambda: frame[["label"]],
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("a column that is not there", "has no column 'label' (did you mean labels?); it has 'x0', 'x1'"),
        ("one class", "'label' has one class, 'c0'; an audit needs at least 2"),
        ("few rows", "has 49 rows; an audit needs at least 50"),
        ("constant features", "no column can be learned from; all are constant or identifiers: 'x0', 'x1'"),
        ("missing labels", "rows (from 0: 7); label these rows"),
        ("a class with one row", "1 class has a single row ('alone'), which can't be both learned"),
        ("fractions as labels", "'label' holds fractions such as"),
        ("only identifiers", "no column can be learned from; all are constant or identifiers: 'name'"),
        ("no feature", "has no column left for features"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_bad_table_is_refused_in_words(tmp_path, frame, kind, message, ending):
    path = tmp_path / f"data.{ending}"
    bad = spoilt(frame, kind)
    bad.to_csv(path, index=False) if ending == "csv" else bad.to_parquet(path)
    with pytest.raises(UserError) as error:
        prepared(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_another_encoding_is_told_with_the_place_and_can_be_named(tmp_path, frame):
    path = tmp_path / "data.csv"
    path.write_bytes(frame.assign(colour=["crème", "blé"] * 30).to_csv(index=False).encode("latin-1"))
    with pytest.raises(UserError, match=r"is not utf-8: byte 0xe8 in line 2 can't be read.*--encoding latin-1"):
        prepared(path)
    assert prepared(path, encoding="latin-1").inputs.shape == (60, 4 + 2 + 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "can't be read as a table"), (b'a,b\n1,2,3,4\n"', "can't be read as a table")],
)
def test_a_file_that_is_no_table_is_told(tmp_path, content, message):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path / "data.csv")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((60, 2)), "label": np.arange(60) % 2}, "all features are constant"),
        ({"X": np.full((60, 2), np.nan), "label": np.arange(60) % 2}, "NaN or infinite"),
        ({"X": np.eye(60), "label": np.arange(59) % 2}, r"label has the shape \(59,\), X has 60 rows"),
        ({"X": np.eye(60)}, "has no array 'label'"),
        ({"X": np.array(["a"] * 60), "label": np.arange(60) % 2}, "allowed: numbers"),
        ({"X": np.eye(60), "label": np.array([object()] * 60)}, "holds Python objects"),
    ],
)
def test_bad_arrays_are_refused_in_words(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path / "data.npz")


def test_the_same_data_in_every_kind_of_file_are_prepared_alike(tmp_path, frame):
    points, labels = frame.drop(columns="label").to_numpy(), frame["label"].to_numpy(dtype=str)
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet")
    np.savez(tmp_path / "data.npz", X=points, label=labels)
    np.save(tmp_path / "data.npy", points)
    np.save(tmp_path / "label.npy", labels)
    found = [prepared(tmp_path / f"data.{ending}") for ending in ("csv", "parquet", "npz")]
    found.append(prepared(tmp_path / "data.npy", Columns(label="label.npy")))
    for other in found[1:]:
        np.testing.assert_allclose(other.inputs, found[0].inputs, atol=1e-5)
        assert (other.labels == found[0].labels).all()
        assert other.classes == found[0].classes


def test_whole_numbers_are_classes_however_they_are_stored(tmp_path, frame):
    for kind in ("int64", "float64"):
        frame.assign(label=frame["label"].str[1:].astype(kind)).to_parquet(tmp_path / "data.parquet")
        assert prepared(tmp_path / "data.parquet").classes == ("0", "1", "2")


def test_columns_of_one_name_are_refused(tmp_path, frame):
    pd.concat([frame, frame[["x0"]]], axis=1).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(UserError, match="several columns named 'x0'"):
        read_table(tmp_path / "twice.csv", LABEL)


def test_an_unknown_ending_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        prepared(tmp_path / "none.csv")
    (tmp_path / "data.xlsx").write_bytes(b"")
    with pytest.raises(UserError, match=r"ending '.xlsx'; allowed: .csv, .parquet"):
        prepared(tmp_path / "data.xlsx")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_the_delimiter_and_the_decimal_mark_are_found(tmp_path, frame, delimiter, decimal):
    frame = frame.assign(words=["one, two", "three"] * 30)
    frame.to_csv(tmp_path / "comma.csv", index=False)
    frame.to_csv(tmp_path / "data.csv", index=False, sep=delimiter, decimal=decimal)
    found, wanted = (read_table(tmp_path / name, LABEL) for name in ("data.csv", "comma.csv"))
    pd.testing.assert_frame_equal(found.features, wanted.features)
    assert found.labels.tolist() == wanted.labels.tolist()


def test_a_file_of_one_column_says_how_columns_are_set_apart(tmp_path):
    (tmp_path / "data.csv").write_text("x0:x1:label\n" + "1:2:a\n" * 60)
    with pytest.raises(UserError, match=r"it has 'x0:x1:label'; columns are separated by comma, "):
        read_table(tmp_path / "data.csv", LABEL)
