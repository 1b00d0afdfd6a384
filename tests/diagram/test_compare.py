"""Comparing runs: alignment, agreement, verdicts and shifts, on the stored run of 20 seeds and small ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import run_in_process, study_of
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

import phasemap as pm
from phasemap.diagram.compare import compare, transitions

BAND = Path(__file__).parent.parent / "data" / "band"
LABELS = ("memorization", "forgetting", "confusion", "coexistence")


@pytest.fixture(scope="module")
def band():
    run = pm.open_run(BAND)
    return run.study, run.trials


def cut(study, *, seeds=None, **fixed):
    """Hold axes of a study at single values, and keep some of its seeds."""
    axes = tuple(axis for axis in study.axes if axis.name not in fixed)
    return study.model_copy(
        update={"axes": axes, "fixed": study.fixed.model_copy(update=fixed), "seeds": seeds or study.seeds}
    )


def test_a_run_against_itself_is_equal(band):
    study, trials = band
    found = compare(study, trials, study, trials)
    assert (found.verdict, found.equal, found.n_points) == ("equal", True, 54)
    assert (found.n_only_a, found.n_only_b, found.differences) == (0, 0, ())
    assert all(t.agreement == t.kappa == 1 for t in found.transitions.values())
    assert (found.shifts["shift"] == 0).all()
    assert not found.points["changed"].any()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_runs_that_differ_only_in_seeds_are_equal_within_noise(band, n):
    study, trials = band
    a, b = cut(study, seeds=tuple(range(n))), cut(study, seeds=tuple(range(n, 2 * n)))
    found = compare(a, trials, b, trials)
    assert found.verdict == "equal within noise"
    assert found.equal
    assert found.differences == (f"seeds: {', '.join(map(str, a.seeds))} and {', '.join(map(str, b.seeds))}",)


@pytest.mark.parametrize("n", [3, 5])
def test_another_fixed_weight_decay_is_a_change(band, n):
    study, trials = band
    a, b = (cut(study, seeds=tuple(range(n)), weight_decay=value) for value in (0.0, 8.0))
    found = compare(a, trials, b, trials)
    assert found.verdict == "changed"
    assert found.differences == ("fixed.weight_decay: 0 and 8",)
    shift = found.shifts[found.shifts["kind"] == "generalization"].iloc[0]
    assert 0.1 < shift["low"] < shift["shift"] < shift["high"] < 0.2


def test_single_points_are_told_only_where_the_seeds_allow_it(band):
    study, trials = band
    few, many = (
        compare(*(x for value in (2.0, 5.0) for x in (cut(study, seeds=tuple(range(n)), weight_decay=value), trials)))
        for n in (3, 20)
    )
    assert not few.points["beyond_noise"].any()
    told = many.points[many.points["beyond_noise"]]
    assert 0.2 in set(told["corruption"])
    assert (told["adjusted"] < 0.05).all()


def test_one_seed_a_side_is_undecided_where_labels_differ_and_says_why(band):
    study, trials = band
    a, b = (cut(study, seeds=(0,), weight_decay=value) for value in (0.0, 8.0))
    found = compare(a, trials, b, trials)
    assert (found.verdict, found.equal) == ("undecided", False)
    assert "with one seed per run this can't be told from noise" in found.reason
    assert found.shifts["low"].isna().all()


def test_a_fixed_value_of_one_run_is_a_value_of_the_other_s_axis(band):
    study, trials = band
    found = compare(study, trials, cut(study, weight_decay=5.0), trials)
    assert (found.verdict, found.n_points, found.n_only_a, found.n_only_b) == ("equal", 9, 45, 0)
    assert found.reason.endswith("; points of one run only (45 of A, 0 of B) were not compared")
    assert "weight_decay: compared at 5 only" in found.differences
    assert set(found.points["weight_decay"]) == {5.0}


def test_axes_in_another_order_align(band, tmp_path):
    a = study_of(name="a")
    b = study_of(name="b", axes={"weight_decay": [2, 0], "corruption": [0.3, 0]})
    runs = [pm.Run(run_in_process(study, tmp_path)) for study in (a, b)]
    assert runs[0].diff(runs[1]).verdict == "equal"


def test_runs_without_common_points_are_refused(band, tmp_path):
    study, trials = band
    shifted = [study.model_copy(update={"axes": (study.axes[0], axis(5.0 * i))}) for i in range(2)]
    with pytest.raises(pm.UserError, match="no point in common: weight_decay is 0 in band and 5 in band"):
        compare(shifted[0], trials, shifted[1], trials)
    with pytest.raises(pm.UserError, match="no trained point in common"):
        compare(study, trials, study, trials.iloc[:0])


def axis(value):
    from phasemap.study.axes import Axis

    return Axis(name="weight_decay", values=(value,))


def test_diverged_trials_are_an_outcome_and_failed_ones_are_missing(band):
    study, trials = band
    other = trials.copy()
    other.loc[other["weight_decay"] == 8, ["status", "phase", "subphase"]] = ["diverged", None, None]
    found = compare(study, trials, study, other)
    assert found.verdict == "changed"
    assert found.transitions["phase"].counts["diverged"].sum() == 9
    other.loc[other["weight_decay"] == 8, "status"] = "failed"
    found = compare(study, trials, study, other)
    assert (found.verdict, found.n_points, found.n_only_a) == ("equal", 45, 9)


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1))
def test_agreement_and_kappa_are_scikit_learn_s(pairs):
    a, b = (np.asarray(side, dtype=object) for side in zip(*pairs, strict=True))
    found = transitions(a, b, LABELS)
    assert found.counts.to_numpy().sum() == len(pairs)
    assert found.agreement == pytest.approx(np.mean(a == b))
    if len(set(a) | set(b)) > 1:
        assert found.kappa == pytest.approx(cohen_kappa_score(a, b))
    else:
        assert np.isnan(found.kappa)
    assert all(found.counts.loc[x, y] == sum(p == (x, y) for p in pairs) for x, y in pairs)


def test_the_tables_name_points_and_labels_of_both(band):
    study, trials = band
    found = compare(cut(study, weight_decay=0.0), trials, cut(study, weight_decay=8.0), trials)
    row = found.points.set_index("corruption").loc[0.15]
    assert (row["subphase_a"], row["subphase_b"], row["changed"]) == ("memorization", "partial_inversion", True)
    assert isinstance(found.points, pd.DataFrame)
