"""How far frontiers moved: paired over the seeds that two runs share, on the stored run of 20 seeds."""

from pathlib import Path

import numpy as np
import pytest
from conftest import study_of
from synthetic import synthetic_run

import phasemap as pm
from phasemap.diagram.bands import row_crossings
from phasemap.diagram.compare import compare
from phasemap.diagram.diagram import make_diagram, panel_rows
from phasemap.diagram.points import point_table
from phasemap.diagram.seeds import SeedMaps
from phasemap.diagram.shifts import _student, _welch

BAND = Path(__file__).parent.parent / "data" / "band"


@pytest.fixture(scope="module")
def band():
    run = pm.open_run(BAND)
    return run.study, run.trials


def held(study, value, seeds):
    axes = tuple(axis for axis in study.axes if axis.name != "weight_decay")
    fixed = study.fixed.model_copy(update={"weight_decay": value})
    return study.model_copy(update={"axes": axes, "fixed": fixed, "seeds": seeds})


def shift(found):
    return found.shifts[found.shifts["kind"] == "generalization"].iloc[0]


def test_identical_runs_have_not_moved_at_all(band):
    study, trials = band
    few = study.model_copy(update={"seeds": (0, 1, 2)})
    found = compare(few, trials, few, trials)
    assert len(found.shifts) > 5
    assert (found.shifts[["shift", "low", "high"]] == 0).all(axis=None)
    assert (found.paired_seeds, found.shift_words) == ((0, 1, 2), "paired over the 3 seeds of both runs")


def test_runs_that_share_some_seeds_are_compared_on_these_and_it_is_said(band):
    study, trials = band
    a, b = held(study, 2.0, (0, 1, 2, 3)), held(study, 8.0, (9, 3, 2, 1))
    found = compare(a, trials, b, trials)
    assert found.paired_seeds == (1, 2, 3)
    assert found.shift_words == "paired over the 3 seeds that both runs have; other seeds are left out (1 of A, 1 of B)"
    only = compare(held(study, 2.0, (1, 2, 3)), trials, held(study, 8.0, (3, 2, 1)), trials)
    assert shift(only).to_dict() == shift(found).to_dict()


@pytest.mark.parametrize("seeds", [(5, 6, 7, 8), (0, 6, 7, 8)])
def test_runs_that_share_no_seed_or_one_are_independent(band, seeds):
    study, trials = band
    a, b = held(study, 2.0, (0, 1, 2, 3)), held(study, 8.0, seeds)
    found = compare(a, trials, b, trials)
    assert found.paired_seeds == ()
    assert found.shift_words.startswith("not paired: the runs have")
    sides = []
    for side in (a, b):
        diagram = make_diagram(side, point_table(side, trials))
        rows = panel_rows(side, diagram.x, diagram.y, {})
        sides.append(
            row_crossings(SeedMaps.of(side, trials), rows, diagram.x, diagram.y, diagram.named("generalization"))
        )
    half = _welch(sides[0].standard_error[0], 4, sides[1].standard_error[0], 4)
    row = shift(found)
    assert row["shift"] == pytest.approx(sides[1].crossing[0] - sides[0].crossing[0])
    assert (row["low"], row["high"]) == pytest.approx((row["shift"] - half, row["shift"] + half))


@pytest.mark.parametrize("n", [3, 5])
def test_paired_intervals_hold_the_shift_of_20_seeds(band, n):
    study, trials = band
    sides = [held(study, value, tuple(range(20))) for value in (2.0, 5.0)]
    maps = [SeedMaps.of(side, trials) for side in sides]
    diagram = make_diagram(sides[0], point_table(sides[0], trials))
    rows = panel_rows(sides[0], diagram.x, diagram.y, {})

    def crossings(seeds):
        return [
            row_crossings(one.chosen(seeds), rows, diagram.x, diagram.y, diagram.named("generalization"))
            for one in maps
        ]

    a, b = crossings(range(20))
    truth, random, covered = b.crossing[0] - a.crossing[0], np.random.default_rng(n), []
    for _ in range(200):
        a, b = crossings(random.permutation(20)[:n])
        covered.append(abs(b.crossing[0] - a.crossing[0] - truth) <= _student(a, 0, b, 0))
    assert np.mean(covered) >= 0.9


def test_seeds_without_results_are_no_pairs(band):
    study, trials = band
    lost = trials.copy()
    lost.loc[lost["seed"] == 1, ["status", "phase", "subphase"]] = ["failed", None, None]
    few = held(study, 2.0, (0, 1, 2))
    assert compare(few, trials, few, lost).paired_seeds == (0, 2)


def test_over_a_categorical_axis_frontiers_move_along_the_other(tmp_path):
    study = study_of(
        name="norms",
        axes={"norm": ["none", "batch"], "weight_decay": [0, 4, 8, 12, 16, 20]},
        fixed={"corruption": 0.2},
        seeds=3,
    )
    run = pm.Run(synthetic_run(study, tmp_path))
    found = run.diff(run).shifts
    assert set(found["norm"]) == {"none", "batch"}
    assert found["a"].between(0, 20).all()
    none = study_of(name="only", axes={"norm": ["none", "batch"]}, fixed={"corruption": 0.2}, seeds=3)
    run = pm.Run(synthetic_run(none, tmp_path))
    assert run.diff(run).shifts.empty
