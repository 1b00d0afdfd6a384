"""The boundary sampler in a plain Optuna study: any objective that names its outcome."""

import math
from pathlib import Path

import forks
import numpy as np
import optuna
import pytest

import phasemap as pm

optuna.logging.set_verbosity(optuna.logging.WARNING)


def outcome(x, y):
    if x**2 + math.log10(y) ** 2 < 0.6:
        return "inside"
    return "left" if x < 0 else "right"


def objective(trial):
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 0.1, 10, log=True)
    trial.set_user_attr("label", outcome(x, y))
    return 0.0


def from_border(trial):
    """Return how far a trial is from the nearest other label, in steps of a fine grid."""
    x, y = trial.params["x"], math.log10(trial.params["y"])
    steps = np.linspace(-0.5, 0.5, 101)
    grid = [(a, b) for a in steps for b in steps if outcome(x + a, 10 ** (y + b)) != outcome(x, 10**y)]
    return min((math.hypot(a, b) for a, b in grid), default=1.0)


def test_most_trials_lie_near_borders_and_none_twice():
    study = optuna.create_study(sampler=pm.BoundarySampler(seed=0))
    study.optimize(objective, n_trials=160)
    points = {(trial.params["x"], trial.params["y"]) for trial in study.trials}
    assert len(points) == 160
    late = [from_border(trial) for trial in study.trials[100:]]
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    random.optimize(objective, n_trials=60)
    assert np.median(late) < 0.5 * np.median([from_border(trial) for trial in random.trials])


def test_a_finished_study_gives_the_filled_map_with_a_confidence_that_is_right():
    sampler = pm.BoundarySampler(seed=0, resolution=21)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=120)
    found = pm.BoundarySampler(resolution=21).filled_map(study)
    assert len(found) == 21 * 21
    assert set(found) == {"x", "y", "label", "inferred", "confidence"}
    right = np.asarray([outcome(x, y) for x, y in zip(found["x"], found["y"], strict=True)]) == found["label"]
    measured = ~found["inferred"]
    assert 100 <= measured.sum() <= 120  # the first trial, drawn at random, may lie at a point that is tried later
    assert found.loc[measured, "confidence"].isna().all()
    sure = found["confidence"] > 0.9
    assert sure.mean() > 0.5
    assert right[sure].mean() > 0.97
    assert right.mean() > 0.95


def test_a_study_without_labels_or_varying_parameters_gives_no_map():
    study = optuna.create_study()
    with pytest.raises(ValueError, match="no parameter in common"):
        pm.BoundarySampler().filled_map(study)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with pytest.raises(ValueError, match="user attribute label"):
        pm.BoundarySampler().filled_map(study)


def test_asked_trials_differ_before_any_is_told():
    study = optuna.create_study(sampler=pm.BoundarySampler(seed=0, batch_size=4, resolution=9))
    study.optimize(objective, n_trials=30)
    asked = [study.ask() for _ in range(10)]
    points = {(t.suggest_float("x", -1, 1), t.suggest_float("y", 0.1, 10, log=True)) for t in asked}
    assert len(points) == 10


def test_whole_numbers_steps_and_choices_keep_their_values_until_each_was_tried():
    def whole(trial):
        n = trial.suggest_int("n", 1, 7, step=3)
        share = trial.suggest_float("share", 0.0, 0.6, step=0.2)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        trial.set_user_attr("label", "high" if n * share > 1 or kind == "b" else "low")
        return 0.0

    study = optuna.create_study(sampler=pm.BoundarySampler(seed=1))
    study.optimize(whole, n_trials=30)
    tried = {(t.params["n"], round(t.params["share"], 9), t.params["kind"]) for t in study.trials}
    assert tried == {(n, share, kind) for n in (1, 4, 7) for share in (0.0, 0.2, 0.4, 0.6) for kind in "ab"}


def test_trials_that_failed_or_have_no_label_are_not_tried_again():
    def fails(trial):
        x = trial.suggest_int("x", 0, 19)
        if x % 2:
            raise ValueError("no")
        trial.set_user_attr("outcome", str(x > 10))
        return 0.0

    study = optuna.create_study(sampler=pm.BoundarySampler(label="outcome", seed=0))
    study.optimize(fails, n_trials=20, catch=ValueError)
    assert sorted(trial.params["x"] for trial in study.trials) == list(range(20))


PROCESS = """
import sys, optuna, phasemap as pm
sys.path[:0] = sys.argv[2:]
from test_sampler import objective
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(sys.argv[1]))
study = optuna.load_study(study_name="both", storage=storage, sampler=pm.BoundarySampler(seed=0))
study.optimize(objective, n_trials=40)
"""


def test_processes_that_share_a_storage_share_the_map(tmp_path):
    path = str(tmp_path / "journal")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    study = optuna.create_study(study_name="both", storage=storage)
    both = [forks.Forked(["-c", PROCESS, path, *Path(__file__).parents[:2]]) for _ in range(2)]
    assert [(process.communicate(120), process.returncode) for process in both] == [(("", ""), 0)] * 2
    points = [(trial.params["x"], trial.params["y"]) for trial in study.trials]
    assert len(points) == 80
    assert len(set(points)) >= 72


@pytest.mark.parametrize(("processes", "batch_size"), [(2, 8), (4, 8), (3, 1)])
def test_processes_that_ask_at_the_same_time_are_given_different_points(processes, batch_size):
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="both", storage=storage).optimize(objective, n_trials=1)
    samplers = [pm.BoundarySampler(seed=0, batch_size=batch_size) for _ in range(processes)]
    studies = [optuna.load_study(study_name="both", storage=storage, sampler=sampler) for sampler in samplers]
    for _ in range(20):
        trials = [study.ask() for study in studies]
        points = [trial.relative_params for trial in trials]  # chosen here: neither is stored yet
        assert len({tuple(point.values()) for point in points}) == processes
        for study, trial in zip(studies, trials, strict=True):
            study.tell(trial, objective(trial))


def test_a_distribution_that_is_no_number_and_no_choice_is_refused():
    class Strange(optuna.distributions.FloatDistribution.__mro__[1]):
        def to_internal_repr(self, value): ...
        def single(self): ...
        def _contains(self, value): ...

    from phasemap.search.sampler import space_of

    with pytest.raises(ValueError, match="not a float, an integer or a choice"):
        space_of({"x": Strange()})
