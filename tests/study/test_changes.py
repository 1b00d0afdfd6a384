"""What makes two studies different experiments, and how it is said."""

from conftest import study_of

from phasemap.study.changes import contradictions


def asymmetric(kept):
    rows = [[kept, 1 - kept], [0, 1]]
    return study_of(task={"kind": "modular_addition", "modulus": 2, "corruption_kind": "asymmetric", "matrix": rows})


def test_another_matrix_is_another_experiment_named_without_its_numbers():
    assert contradictions(asymmetric(0.5), asymmetric(0.5)) == []
    assert contradictions(asymmetric(0.5), asymmetric(0.4)) == [
        "task.matrix: was a matrix of 2 rows, is now a matrix of 2 rows"
    ]


def test_another_kind_of_corruption_is_another_experiment():
    flipped = study_of(task={"kind": "modular_addition", "modulus": 7, "corruption_kind": "shift", "shift_by": 2})
    assert contradictions(study_of(), flipped) == [
        "task.corruption_kind: was symmetric, is now shift",
    ]
