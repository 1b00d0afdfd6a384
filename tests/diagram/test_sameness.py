"""The same networks under two labellings are told apart from other networks."""

from pathlib import Path

import numpy as np
import pytest

import phasemap as pm
from phasemap.diagram.compare import compare

BAND = Path(__file__).parent.parent / "data" / "band"
OTHER = (
    "the same 162 networks, labelled by two rules (memorized_fraction (generalized 0.9, memorized 0.9) and doshi2024"
)


@pytest.fixture(scope="module")
def band():
    run = pm.open_run(BAND)
    return run.study.model_copy(update={"seeds": (0, 1, 2)}), run.trials


def by_doshi(study, trials):
    return (
        study.model_copy(update={"phases": study.phases.model_copy(update={"rule": "doshi2024"})}),
        trials.assign(subphase=trials["subphase_doshi2024"], rule="doshi2024"),
    )


def test_two_rules_on_the_same_networks_are_no_change_of_the_networks(band):
    study, trials = band
    found = compare(study, trials, *by_doshi(study, trials))
    assert (found.verdict, found.equal, found.same.whole) == ("labelled differently", False, True)
    assert found.reason.startswith(OTHER)
    n = int((trials["subphase"] != trials["subphase_doshi2024"])[trials["seed"] < 3].sum())
    assert 0 < n == found.same.n_relabelled
    changed = int(found.points["changed"].sum())
    assert (
        f": {n} networks and {changed} of 54 points have a different label; the labelling has changed, not"
        in found.reason
    )
    assert (found.p_seeds, found.p_map) == (None, None)
    assert found.points["p_value"].isna().all()
    assert not found.points["beyond_noise"].any()
    assert (found.shifts["high"] == 0).all()


def test_labels_at_two_steps_say_so(band):
    study, trials = band
    early = trials.assign(
        horizon=100, test_accuracy=trials["test_accuracy"] / 2, subphase="confusion", phase="confusion"
    )
    found = compare(study, trials, study, early)
    assert found.verdict == "labelled differently"
    assert "the same 162 networks, labelled at two steps (600 and 100)" in found.reason
    both = compare(study, trials, by_doshi(study, trials)[0], early)
    assert "labelled by two rules (" in both.reason
    assert ") and at two steps (600 and 100): " in both.reason


def test_the_same_labels_of_the_same_networks_are_equal_and_say_why(band):
    study, trials = band
    found = compare(study, trials, study, trials)
    assert (found.verdict, found.reason) == (
        "equal", "the same 162 networks: every point has the same labels in both runs",
    )  # fmt: skip
    strict = study.model_copy(update={"phases": study.phases.model_copy(update={"memorized": 0.91})})
    words = compare(study, trials, strict, trials).reason
    assert words.startswith("the same 162 networks, labelled by two rules (")


def test_labels_of_two_releases_are_told(band):
    study, trials = band
    other = trials.assign(subphase=trials["subphase"].replace("coexistence", "partial_inversion"))
    reason = compare(study, trials, study, other).reason
    assert reason.startswith("the same 162 networks, labelled by two releases of phasemap: ")


def test_trials_that_were_trained_again_are_other_networks_unless_they_came_out_equal(band):
    study, trials = band
    rule, labels = by_doshi(study, trials)
    again = labels.assign(train_seconds=labels["train_seconds"] + 1)
    assert compare(study, trials, rule, again).same.whole
    moved = again.assign(train_loss=np.nextafter(again["train_loss"], 1))
    found = compare(study, trials, rule, moved)
    assert (found.same.whole, found.same.n_same) == (False, 0)
    assert found.verdict != "labelled differently"


def test_networks_that_are_partly_the_same_are_counted(band):
    study, trials = band
    more = study.model_copy(update={"seeds": (0, 1, 2, 3)})
    found = compare(study, trials, more, trials)
    assert (found.same.n_same, found.same.n_trials, found.same.whole) == (162, 216, False)
    assert "162 of 216 networks are the same in both runs" in found.differences
