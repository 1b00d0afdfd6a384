"""Transitions, times to events and robustness of labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from scipy.stats import binomtest

import phasemap as pm
from phasemap.diagram.critical import critical
from phasemap.diagram.survival import survival
from phasemap.study.trials import expand

BAND = Path(__file__).parent.parent / "data" / "band"


@pytest.fixture(scope="module")
def band():
    return pm.open_run(BAND)


def made(axis, shown, seeds=5):
    """Return a study over one axis and trials that generalize where ``shown`` says so."""
    study = study_of(axes={"weight_decay": axis}, seeds=seeds)
    rows = [
        {"trial_id": t.trial_id, "seed": t.seed, "status": "ok", "phase": "grokking" if shown(t) else "confusion"}
        for t in expand(study)
    ]
    return study, pd.DataFrame(rows).assign(subphase=lambda f: f["phase"].replace("grokking", "coexistence"))


def test_a_transition_is_located_where_half_of_the_trials_show_it():
    study, trials = made({"start": 0, "stop": 10, "num": 11}, lambda t: t.weight_decay + 0.6 * (t.seed - 2) < 4.5)
    found = critical(study, trials, "weight_decay")
    assert found.location == pytest.approx(4.5, abs=0.3)
    assert found.location_low < 4.5 < found.location_high
    assert not found.rises
    assert 1 < found.width < 5
    assert critical(study, trials, "weight_decay", "confusion").rises


def test_a_log_axis_is_fitted_on_its_scale_and_its_width_is_a_factor():
    axis = {"start": 0.01, "stop": 100, "num": 9, "scale": "log"}
    study, trials = made(axis, lambda t: t.weight_decay > 10 ** (0.25 + 0.1 * (t.seed - 2)))
    found = critical(study, trials, "weight_decay")
    assert found.location == pytest.approx(10**0.25, rel=0.2)
    assert (found.width_unit, found.rises) == ("factor", True)
    assert found.width > 1


def test_where_all_trials_change_between_the_same_two_values_the_interval_spans_them():
    study, trials = made([0, 1, 2, 3], lambda t: t.weight_decay < 1.5)
    found = critical(study, trials, "weight_decay")
    assert (found.location_low, found.location_high) == pytest.approx((1, 2), abs=0.05)
    assert found.width_low == 0 < found.width_high


def test_one_seed_gives_a_location_but_no_interval():
    study, trials = made([0, 1, 2, 3], lambda t: t.weight_decay < 1.5, seeds=1)
    found = critical(study, trials, "weight_decay")
    assert found.location == pytest.approx(1.5, abs=0.1)
    assert np.isnan([found.location_low, found.location_high, found.width_low, found.width_high]).all()


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (lambda t: True, "every trial shows generalizes"),
        (lambda t: False, "no trial shows generalizes"),
        (lambda t: t.weight_decay in (1, 2), "2 transitions along weight_decay: most trials show generalizes at 1, 2"),
    ],
)
def test_where_there_is_no_single_transition_it_is_said_which_way(shown, message):
    study, trials = made([0, 1, 2, 3], shown)
    with pytest.raises(pm.UserError, match=message):
        critical(study, trials, "weight_decay")


def test_wrong_events_and_free_axes_are_named(band):
    with pytest.raises(pm.UserError, match="winning is not an event; allowed: generalizes, generalization_wins"):
        band.critical("corruption", "winning", {"weight_decay": 2})
    with pytest.raises(pm.UserError, match="weight_decay must be fixed to look along corruption"):
        band.critical("corruption")


def test_the_transition_of_a_real_run_lies_at_its_frontier(band):
    found = band.critical("corruption", fix={"weight_decay": 2})
    frontier = band.diagram().frontier_band().set_index("weight_decay")["crossing"][2]
    assert found.location == pytest.approx(frontier, abs=0.02)
    assert found.n_trials == 180


def test_survival_counts_censored_trials_and_never_drops_them():
    study = study_of(axes={"weight_decay": [0, 1]}, seeds=4)
    times = {0.0: [10, 20, np.nan, np.nan], 1.0: [np.nan] * 4}
    trials = pd.DataFrame(
        [
            {"weight_decay": wd, "status": "ok", "grokking_step": t, "horizon": 60}
            for wd, ts in times.items()
            for t in ts
        ]
    )
    table = survival(study, trials, "grokking_step", "weight_decay")
    first = table[table["weight_decay"] == 0].set_index("step")["survival"]
    assert first.to_dict() == {10: 0.75, 20: 0.5, 60: 0.5}
    assert (table[table["weight_decay"] == 1]["survival"] == 1).all()
    assert table.groupby("weight_decay")["n_reached"].first().tolist() == [2, 0]
    inside = table.dropna(subset="low")
    assert ((inside["low"] <= inside["survival"]) & (inside["survival"] <= inside["high"])).all()
    with pytest.raises(pm.UserError, match="luck is not an event; allowed: memorization_step, grokking_step"):
        survival(study, trials, "luck")


def test_robustness_is_the_share_of_variants_that_keep_a_label(finished):
    run = pm.open_run(finished[1].path)
    table = run.robustness()
    assert (table["n_variants"] == 4 + 1 + 1 + 2).all()
    for level in ("phase", "subphase"):
        assert (table[level] == run.points[level]).all()
        assert (table[f"{level}_share"] * table["n_variants"] % 1 < 1e-9).all()
    assert (table["phase_share"] >= table["subphase_share"]).all()
    strict = run.study.phases.model_copy(update={"generalized": 0.95})
    relabelled = pm.label(run, strict)["subphase"]
    changes = relabelled.to_dict() != run.trials.set_index("trial_id")["subphase"].to_dict()
    assert not changes or table["subphase_share"].min() < 1
    values = run.figure(metric="robustness").panels[0].values
    assert values.ravel().tolist() == table.sort_values(["weight_decay", "corruption"])["subphase_share"].tolist()


def test_wilson_intervals_are_scipy_s_to_the_bit():
    from phasemap.diagram.points import _wilson

    pairs = [(agree, n) for n in range(2, 40) for agree in range(n + 1)]
    expected = [binomtest(agree, n).proportion_ci(0.95, method="wilson") for agree, n in pairs]
    assert list(zip(*_wilson(*np.asarray(pairs).T), strict=True)) == [(one.low, one.high) for one in expected]
    assert np.isnan(_wilson(np.asarray([0, 1]), np.asarray([0, 1]))).all()


def test_agreement_has_wilson_intervals_except_with_one_seed(band):
    from phasemap.diagram.points import point_table

    table = point_table(band.study, band.trials)
    n, share, z = 20, table["agreement"], 1.959963984540054
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert table["agreement_low"].to_numpy() == pytest.approx((middle - half).to_numpy())
    assert table["agreement_high"].to_numpy() == pytest.approx((middle + half).to_numpy())
    one = point_table(band.study.model_copy(update={"seeds": (0,)}), band.trials)
    assert one[["agreement", "agreement_low", "agreement_high"]].isna().all(axis=None)
