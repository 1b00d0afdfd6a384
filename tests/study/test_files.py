"""Files that a study names: what is read from them, and that everything wrong with them is said at once."""

import re

import numpy as np
import pytest
from conftest import SMALL, study_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phasemap.study.data_files import read_arrays, read_matrix
from phasemap.study.errors import BadFileError, StudyError
from phasemap.study.file import load_resolved, load_study
from phasemap.study.trials import expand
from phasemap.study.writing import dump_study

ARRAYS = SMALL.replace("modular_addition, modulus: 7", "arrays, path: data/a.npz")
X, Y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0])


def saved(folder, **arrays):
    (folder / "data").mkdir(exist_ok=True)
    np.savez(folder / "data" / "a.npz", **arrays)
    return str(folder / "data" / "a.npz")


def study_file(folder, text):
    path = folder / "s.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arrays")


labels = st.one_of(
    st.lists(st.integers(-3, 3), min_size=2, max_size=9),
    st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=9),
    st.lists(st.text("abc", max_size=3), min_size=2, max_size=9),
).filter(lambda found: len(set(found)) >= 2)


@given(y=labels, data=st.data())
def test_arrays_come_back_flat_in_float32_with_classes_in_the_order_of_their_names(folder, y, data):
    shape = data.draw(st.lists(st.integers(1, 3), max_size=2))
    dtype = data.draw(st.sampled_from(["f4", "f8", "i4", "u1", "?"]))
    values = {"elements": st.floats(-9, 9, width=32)} if dtype[0] == "f" else {}
    x = data.draw(hnp.arrays(dtype, (len(y), *shape), **values))
    found = read_arrays(saved(folder, X=x, y=np.array(y)))
    assert found.inputs.dtype == np.float32
    assert (found.inputs == x.reshape(len(y), -1).astype(np.float32)).all()
    assert [sorted(set(y))[label] for label in found.labels] == y
    assert found.n_classes == len(set(y))


BAD = {
    "no X": ({"a": X, "y": Y}, "has no X; it holds a, y; allowed: X and y"),
    "no y": ({"X": X}, "has no y; it holds X; allowed: X and y"),
    "empty": ({}, "has no X; it holds nothing; allowed: X and y"),
    "objects in X": ({"X": np.array([1, None] * 2), "y": Y}, "X holds Python objects; allowed: numbers or text"),
    "objects in y": ({"X": X, "y": np.array([1, None] * 2)}, "y holds Python objects; allowed: numbers or text"),
    "text in X": ({"X": X.astype(str), "y": Y}, "X holds <U32; allowed: real numbers"),
    "complex X": ({"X": X + 1j, "y": Y}, "X holds complex128; allowed: real numbers"),
    "NaN and infinity": (
        {"X": np.where(X == 5, np.nan, np.where(X == 7, np.inf, X)), "y": Y},
        "X has 2 values that are NaN or infinite in float32, the first is X[1, 2]",
    ),
    "too large for float32": ({"X": np.where(X == 0, 1e39, X), "y": Y}, "X has 1 values that are NaN or infinite"),
    "no features": (
        {"X": np.zeros((4, 0)), "y": Y},
        "X has the shape (4, 0); allowed: (examples, ...), none of them 0",
    ),
    "one number": ({"X": np.array(3.0), "y": Y}, "X has the shape (); allowed: (examples, ...), none of them 0"),
    "lengths": ({"X": X, "y": Y[:3]}, "X has 4 examples, y has 3 labels; allowed: equally many"),
    "y with two dimensions": ({"X": X, "y": Y[:, None]}, "y has the shape (4, 1); allowed: one label an example"),
    "one class": ({"X": X, "y": 0 * Y}, "y has 1 class; allowed: at least 2"),
    "half labels": (
        {"X": X, "y": np.array([0, 1.5, np.nan, 1])},
        "y has 2 labels that are not whole numbers, the first is y[1] = 1.5; allowed: whole numbers or text",
    ),
    "too few groups": (
        {"X": X, "y": Y, "groups": np.array([0, 1])},
        "groups has int64 and the shape (2,); allowed: a whole number or text for each label",
    ),
    "dates": ({"X": X, "y": Y.astype("datetime64[D]")}, "y holds datetime64[D]; allowed: whole numbers or text"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused_with_the_study_at_the_path(arrays, message, tmp_path):
    path = study_file(tmp_path, ARRAYS)
    file = saved(tmp_path, **arrays)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert f"task.path = {file}: {message}" in str(caught.value)
    assert f"({path}:3)" in str(caught.value)


def test_groups_of_text_are_numbered(tmp_path):
    found = read_arrays(saved(tmp_path, X=X, y=Y, groups=np.array(["b", "a", "b", "c"])))
    assert found.groups.tolist() == [1, 0, 1, 2]
    assert read_arrays(saved(tmp_path, X=X, y=Y)).groups is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"plain text"])
def test_a_file_that_is_no_npz_is_named(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(BadFileError, match=r"is not an \.npz file, or a damaged one; allowed: an \.npz with X and y"):
        read_arrays(str(path))


def test_a_damaged_or_single_array_is_named(tmp_path):
    file = saved(tmp_path, X=X, y=Y)
    content = bytearray((tmp_path / "data" / "a.npz").read_bytes())
    content[150] ^= 255  # inside the values of X: the checksum no longer holds
    (tmp_path / "data" / "a.npz").write_bytes(content)
    with pytest.raises(BadFileError, match="or a damaged one"):
        read_arrays(file)
    np.save(tmp_path / "b.npy", X)
    with pytest.raises(BadFileError, match="holds one array"):
        read_arrays(str(tmp_path / "b.npy"))


def test_all_that_is_wrong_with_data_and_study_is_reported_together(tmp_path):
    saved(tmp_path, X=np.where(X == 5, np.nan, X), y=np.array([[1, 2]]))
    with pytest.raises(StudyError) as caught:
        load_study(study_file(tmp_path, ARRAYS.replace("width: 16", "width: 0")))
    assert [(p.line, p.path) for p in caught.value.problems] == [(3, "task.path"), (3, "task.path"), (4, "model.width")]


def test_a_file_that_changes_is_read_again(tmp_path):
    file = saved(tmp_path, X=X, y=Y)
    before = read_arrays(file)
    assert read_arrays(file) is before
    saved(tmp_path, X=X[:3], y=Y[:3])
    assert len(read_arrays(file).labels) == 3


def test_paths_are_relative_to_the_study_file_and_stay_readable_elsewhere(tmp_path, monkeypatch):
    file = saved(tmp_path, X=X, y=Y)
    study_file(tmp_path, ARRAYS)
    monkeypatch.chdir(tmp_path.parent)
    study = load_study(f"{tmp_path.name}/s.yaml")
    assert study.task.path == file
    monkeypatch.chdir("/")
    assert study_of(dump_study(study)) == study


def test_the_study_of_a_run_is_read_without_its_data(tmp_path):
    saved(tmp_path, X=X, y=Y)
    study = load_study(study_file(tmp_path, ARRAYS))
    resolved = study_file(tmp_path, dump_study(study))
    (tmp_path / "data" / "a.npz").unlink()
    assert load_resolved(resolved) == study
    with pytest.raises(StudyError, match="No such file"):
        load_study(resolved)


def test_a_path_can_be_an_axis(tmp_path):
    saved(tmp_path, X=X, y=Y)
    text = ARRAYS.replace(", path: data/a.npz", "").replace("weight_decay: [0, 2]", "path: [data/a.npz]")
    assert load_study(study_file(tmp_path, text)).axis("path").values == (str(tmp_path / "data" / "a.npz"),)
    twice = text.replace("[data/a.npz]", "[data/a.npz, ./data/a.npz, data/b.npz]")
    with pytest.raises(StudyError) as caught:
        load_study(study_file(tmp_path, twice))
    assert "axes.path[1] = './data/a.npz' is repeated" in str(caught.value)
    other = text.replace("[data/a.npz]", "[data/a.npz, data/b.npz]")
    with pytest.raises(StudyError, match=r"axes.path\[1\] = .*b\.npz: can't be read: No such file"):
        load_study(study_file(tmp_path, other))


def test_data_sets_and_kinds_of_task_can_be_axes():
    study = study_of(task={"kind": "images"}, axes={"dataset": ["digits", "mnist5k"]})
    assert [trial.dataset for trial in expand(study)] == ["digits"] * 2 + ["mnist5k"] * 2
    mixed = study_of(axes={"task": ["modular_addition", "images"]})
    assert {trial.task for trial in expand(mixed)} == {"modular_addition", "images"}


MATRIX = "task: {kind: modular_addition, modulus: 2, corruption_kind: asymmetric, matrix: t.%s}"
ROWS = ((0.9, 0.1), (0.0, 1.0))


def test_a_matrix_is_read_from_a_file_and_the_study_holds_its_rows(tmp_path):
    (tmp_path / "t.csv").write_text("0.9,0.1\n\n0, 1\n")
    np.save(tmp_path / "t.npy", np.array(ROWS))
    inline = study_of(
        task={"kind": "modular_addition", "modulus": 2, "corruption_kind": "asymmetric", "matrix": [[0.9, 0.1], [0, 1]]}
    )
    for ending in ("csv", "npy"):
        text = SMALL.replace("task: {kind: modular_addition, modulus: 7}", MATRIX % ending)
        study = load_study(study_file(tmp_path, text))
        assert study.task.matrix == ROWS
        assert study == inline
        assert study_of(dump_study(study)) == study


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"a,b\n1,0\n0,1\n", "line 1 holds 'a'; allowed: numbers"),
        ("t.csv", b"\xff\xfe", "is not text; allowed: a .csv or .npy file"),
        ("t.csv", b"1,0\nnan,1\n", "task.matrix[1][0] = nan is not a probability"),
        ("t.csv", b"", "task.matrix is 0 x 0; allowed: 2 x 2"),
        ("t.npy", b"text", "is not a .npy file of numbers"),
    ],
)
def test_a_bad_matrix_file_is_refused_at_the_matrix(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    text = SMALL.replace("task: {kind: modular_addition, modulus: 7}", MATRIX % name[-3:])
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        load_study(study_file(tmp_path, text))
    assert all(problem.path.startswith("task.matrix") for problem in caught.value.problems)


def test_a_matrix_of_more_dimensions_is_refused(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((2, 2, 2)))
    with pytest.raises(BadFileError, match="is not a matrix of numbers"):
        read_matrix(str(tmp_path / "t.npy"))


def test_a_matrix_has_a_largest_size():
    many = [[float(i == j) for j in range(201)] for i in range(201)]
    task = {"kind": "modular_addition", "modulus": 201, "corruption_kind": "asymmetric", "matrix": many}
    with pytest.raises(StudyError, match=r"task\.matrix has 201 rows; allowed: at most 200"):
        study_of(task=task)
