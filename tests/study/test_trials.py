"""Trials and packs: identity from content, and cuts that don't depend on what is done."""

import copy
import itertools
import pickle
import re
from collections import Counter

import pytest
from conftest import SMALL, study_of
from hypothesis import given
from hypothesis import strategies as st

from phasemap.planning.packs import plan_packs, split
from phasemap.search.grid import coarse_to_fine, levels
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.networks import NETWORK_IDENTITY, NETWORK_SETTINGS
from phasemap.study.trials import count_trials, expand, find_trial, grid_ids
from phasemap.training.costs import estimated_seconds

GOLDEN = ["88a0ad5389d88673", "a8ee6416999e187d", "42c4e8830380e001"]


SETTINGS_OF_OLD_TRIALS = [
    ({}, 0, "d85d520c6c459611"),
    (
        {"task": "modular_multiplication", "modulus": 31, "corruption": 0.35, "weight_decay": 5.0},
        3,
        "1ce67d0c871d6c54",
    ),
    ({"depth": 3, "activation": "relu", "optimizer": "sgd", "loss": "cross_entropy"}, 1, "6e5250107a71f322"),
    ({"task": "images", "dataset": "mnist5k", "corruption": 0.2}, 0, "9b4f5cc57a74b0a0"),
    ({"task": "arrays", "path": "/data/a.npz", "corruption_kind": "pair_flip"}, 2, "0ecae22a52a26b78"),
    (
        {"corruption_kind": "asymmetric", "modulus": 2, "matrix": ((0.5, 0.5), (0.0, 1.0))},
        0,
        "e53edf3ee3564afa",
    ),
]
"""Made before shift_by was a setting."""


def ids(study):
    return {trial.trial_id for trial in expand(study)}


def test_a_trial_has_a_field_for_every_setting():
    trial = next(expand(study_of()))
    assert set(trial.settings) == set(NETWORK_SETTINGS)
    assert {name: getattr(trial, name) for name in NETWORK_SETTINGS} == trial.settings
    with pytest.raises(AttributeError, match="widht"):
        _ = trial.widht


def test_a_trial_is_the_same_after_it_was_sent_to_another_process():
    trial = next(expand(study_of()))
    sent = pickle.loads(pickle.dumps(trial))
    assert sent == trial == copy.deepcopy(trial)
    assert {sent, trial} == {trial}


def test_ids_are_the_same_on_every_machine():
    assert [trial.trial_id for trial in expand(study_of())][:3] == GOLDEN


@pytest.mark.parametrize(("changed", "seed", "expected"), SETTINGS_OF_OLD_TRIALS)
def test_a_new_setting_changes_no_old_id(changed, seed, expected):
    assert (
        NETWORK_IDENTITY.trial_id({**NETWORK_IDENTITY.defaults, "task": "modular_addition", **changed}, seed)
        == expected
    )


def test_ids_are_equal_across_studies_that_train_the_same():
    wide = study_of(
        axes={"weight_decay": [0, 1, 2], "corruption": {"start": 0, "stop": 0.6, "num": 3}}, seeds=3, name="b"
    )
    assert ids(study_of()) < ids(wide)
    fixed = study_of(axes={"weight_decay": [0, 2]}, fixed={"corruption": 0.3, "data_fraction": 0.6})
    assert ids(fixed) < ids(study_of())


def test_what_is_not_the_trial_does_not_change_its_id():
    other = study_of(
        SMALL,
        question="?",
        phases={"generalized": 0.8},
        resources={"pack_size": 1},
        model={"width": 16, "norm": "none"},
    )
    assert ids(other) == ids(study_of())


def test_every_setting_changes_the_id():
    base = study_of(SMALL.replace("modulus: 7", "modulus: 11"), axes={"corruption": [0.3]}, seeds=1)
    assert not ids(base) & ids(study_of(axes={"corruption": [0.3]}, seeds=1))


@given(st.integers(1, 300))
def test_coarse_to_fine_starts_at_the_ends_and_halves(n):
    found = levels(n)
    assert found[0] == found[-1] == 0
    for level in range(max(found) + 1):
        places = [i for i, value in enumerate(found) if value <= level]
        gaps = [b - a for a, b in itertools.pairwise(places)]
        assert not gaps or max(gaps) <= 2 * max(1, min(gaps))


def test_coarse_to_fine_holds_every_point_once():
    study = study_of(axes={"corruption": {"start": 0, "stop": 0.5, "num": 6}, "weight_decay": [0, 1, 2, 3]})
    order = coarse_to_fine(study)
    assert sorted(order) == sorted(study.points())
    assert set(order[:4]) == {(0, 0), (0, 3), (0.5, 0), (0.5, 3)}


@given(pack_size=st.integers(1, 9), done=st.sets(st.integers(0, 23)))
def test_packs_hold_each_missing_trial_once_and_never_exceed_their_size(pack_size, done):
    trials = list(
        expand(study_of(axes={"corruption": [0, 0.1, 0.2], "weight_decay": [0, 1], "width": [8, 16]}, model={}))
    )
    finished = {trials[i].trial_id for i in done}
    packs = plan_packs(trials, done=finished, pack_size=pack_size)
    held = [trial.trial_id for pack in packs for trial in pack.trials]
    assert sorted(held) == sorted({t.trial_id for t in trials} - finished)
    assert all(len(pack.trials) <= pack_size for pack in packs)
    assert all(len({trial.shape for trial in pack.trials}) == 1 for pack in packs)


def test_untouched_packs_keep_their_identity_when_a_run_continues():
    trials = list(expand(study_of()))
    packs = plan_packs(trials, pack_size=3)
    rest = plan_packs(trials, pack_size=3, done={trial.trial_id for trial in packs[0].trials})
    assert rest == packs[1:]


def test_trials_that_begin_alike_are_packed_together_unless_they_are_more_than_the_most():
    axes = {"weight_decay_schedule": [{20: 0}, {20: 1}, {40: 0}], "corruption": [0, 0.3]}
    study = study_of(axes=axes, fixed={"data_fraction": 0.6, "weight_decay": 5.0}, seeds=2)
    trials = list(expand(study))
    for packs in (plan_packs(trials, pack_size=4), plan_packs(trials)):
        starts = [{trial.start for trial in pack.trials} for pack in packs]
        assert sum(map(len, starts)) == len({trial.start for trial in trials}) == 4
    assert {len(pack.trials) for pack in plan_packs(trials, pack_size=2)} == {1, 2}


def test_a_pack_is_split_down_to_single_trials():
    (pack,) = plan_packs(expand(study_of()), pack_size=8)
    parts = [pack]
    while any(len(part.trials) > 1 for part in parts):
        parts = [half for part in parts for half in split(part)]
    assert [part.trials[0] for part in parts] == list(pack.trials)


def test_trials_are_counted_without_expanding_them():
    assert count_trials(study_of()) == len(ids(study_of())) == 8


@pytest.mark.parametrize(
    "axes",
    [
        {"corruption": [0, 0.3], "weight_decay": [0, 2]},
        {"corruption": {"start": 0.0, "stop": 0.7, "num": 8}, "width": [16, 500], "norm": ["none", "batch"]},
        {"loss": ["mse", "cross_entropy"], "batch_size": ["full", 8], "steps": [5, 2000]},
        {"corruption_kind": ["symmetric", "pair_flip"], "learning_rate": {"start": 0.001, "stop": 0.1, "num": 3}},
    ],
)
@pytest.mark.parametrize("seeds", [1, [7, 3]])
def test_the_ids_of_a_grid_are_those_of_its_trials(axes, seeds):
    study = study_of(axes=axes, seeds=seeds, model={}, training={}, fixed={})
    assert list(grid_ids(study)) == [trial.trial_id for trial in expand(study)]


def test_a_trial_is_found_by_its_id():
    study = study_of()
    for trial in expand(study):
        assert find_trial(study, trial.trial_id) == trial
    with pytest.raises(UserError, match="nothing is not a trial of small"):
        find_trial(study, "nothing")


def test_the_later_half_of_the_work_ends_with_its_shortest_packs():
    study = study_of(model={}, axes={"width": [16, 64, 256, 512], "corruption": [0, 0.1, 0.2]})
    trials = list(expand(study, coarse_to_fine(study)))
    packs = plan_packs(trials, pack_size=2)
    seconds = [sum(map(estimated_seconds, pack.trials)) for pack in packs]
    done = list(itertools.accumulate(seconds))
    later = [cost for cost, so_far in zip(seconds, done, strict=True) if so_far - cost >= done[-1] / 2]
    assert later == sorted(later, reverse=True)
    earlier = packs[: len(packs) - len(later)]
    places = [trials.index(pack.trials[0]) for pack in earlier]
    assert places == sorted(places)
    assert sorted(t.trial_id for pack in packs for t in pack.trials) == sorted(t.trial_id for t in trials)


def test_a_trial_is_found_by_its_id_or_the_first_digits_that_no_other_has():
    study = study_of(seeds=3000)
    ids = [trial.trial_id for trial in expand(study)]
    starts = Counter(one[:6] for one in ids)
    alone, shared = (next(start for start, n in starts.items() if n == count) for count in (1, 2))
    both = [one for one in ids if one.startswith(shared)]
    assert find_trial(study, alone).trial_id.startswith(alone)
    assert [find_trial(study, one).trial_id for one in both] == both
    for text, message in ((shared, f"is the start of 2 trials ({', '.join(both)})"), (alone[:5], "too short"),
                          ("0" * 16, "is not a trial of small")):  # fmt: skip
        with pytest.raises(UserError, match=re.escape(message)):
            find_trial(study, text)


def test_a_study_that_is_cut_to_some_values_has_trials_of_the_whole():
    study = study_of(
        task={"kind": "modular_addition", "modulus": 7, "shift_by": 3},
        training={"momentum": 0.5, "steps": 10},
        axes={"corruption_kind": ["symmetric", "shift"], "optimizer": ["adamw", "sgd"]},
        fixed={"corruption": 0.2},
        seeds=2,
    )
    axes = (Axis(name="corruption_kind", values=("symmetric",)), Axis(name="optimizer", values=("adamw",)))
    whole = {trial.trial_id for trial in expand(study)}
    assert len(grid_ids(study.cut(axes, (1,)))) == 1
    assert set(grid_ids(study.cut(axes, (1,)))) < whole
