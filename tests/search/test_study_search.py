"""One contract for all kinds of search: ask, tell, a budget that is kept, and a state that survives its process."""

import functools

import numpy as np
import pandas as pd
import pytest
from stored_maps import drive, load_map

from phasemap.search.study_map import budget_trials
from phasemap.search.study_model import numbers_of
from phasemap.search.study_search import StudySearch
from phasemap.study.trials import grid_ids

load_map = functools.cache(load_map)
KINDS = ("boundary", "random", "sobol")


@pytest.fixture
def full():
    return load_map("weight_decay")


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_asks_for_each_trial_of_its_budget_once(full, kind):
    asked = drive(full, 13, kind=kind, budget=0.1, **({"tolerance": 0.0} if kind == "boundary" else {}))
    assert len(asked) == len(set(asked["trial_id"])) == round(0.1 * len(full.trials))


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_may_be_under_way_and_told_in_any_order(full, kind):
    study = full.searched(kind=kind, budget=60).study
    search, waiting, asked = StudySearch(study, full.trials[:0]), [], []
    random = np.random.default_rng(0)
    while True:
        new = [trial.trial_id for trial in search.ask(5)]
        asked += new
        waiting += new
        assert search.in_flight == len(waiting)
        if not waiting:
            break
        if not new or len(waiting) > 20:
            told = random.choice(waiting, min(3, len(waiting)), replace=False)
            waiting = [one for one in waiting if one not in told]
            search.tell(full.rows(told))
    assert len(asked) == len(set(asked)) <= 60
    assert kind == "boundary" or len(asked) == 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_whose_process_was_killed_goes_on_from_the_trials_that_are_there(full, kind):
    study = full.searched(kind=kind, budget=60).study
    first = StudySearch(study, full.trials[:0])
    rows = full.rows(trial.trial_id for trial in first.ask(30))
    first.tell(rows)
    assert first.ask(5)
    again = StudySearch(study, rows)
    assert again.left == 60 - len(rows)  # what was under way is to be asked for again
    asked = {trial.trial_id for trial in again.ask(60)}
    assert len(asked) == 60 - len(rows)
    assert not asked & set(rows["trial_id"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_next_does_not_depend_on_which_trial_ended_first(full, kind):
    study = full.searched(kind=kind, budget=100).study
    searches = [StudySearch(study, full.trials[:0]) for _ in range(2)]
    for search, order in zip(searches, (1, -1), strict=True):
        for trial in search.ask(40)[::order]:
            search.tell(full.rows([trial.trial_id]))
    one, other = ([trial.trial_id for trial in search.ask(20)] for search in searches)
    assert one == other


def test_trials_that_were_not_asked_for_are_not_told(full):
    search = StudySearch(full.searched(kind="boundary", budget=60).study, full.trials[:0])
    asked = [trial.trial_id for trial in search.ask(10)]
    search.tell(full.trials)
    assert sorted(search.table["trial_id"]) == sorted(asked)
    assert search.in_flight == 0


def test_diverged_trials_are_not_asked_for_again_and_failed_ones_by_the_next_run_only(full):
    study = full.searched(kind="random", budget=80, seeds_per_point=1).study
    search = StudySearch(study, full.trials[:0])
    rows = full.rows(trial.trial_id for trial in search.ask(40))
    status = np.where(np.arange(len(rows)) < 10, "failed", np.where(np.arange(len(rows)) < 20, "diverged", "ok"))
    rows = rows.assign(status=status)
    search.tell(rows)
    assert not {trial.trial_id for trial in search.ask(40)} & set(rows["trial_id"])
    whole = full.searched(kind="random", budget=len(full.trials)).study
    again = {trial.trial_id for trial in StudySearch(whole, rows).ask(len(full.trials))}
    assert set(rows.loc[rows["status"] == "failed", "trial_id"]) <= again
    assert not set(rows.loc[rows["status"] != "failed", "trial_id"]) & again


def test_points_of_a_drawn_search_get_all_their_seeds(full):
    places, _ = numbers_of(full.study, drive(full, kind="sobol", budget=60)["trial_id"].tolist())
    assert pd.Series(places).value_counts().tolist() == [2] * 30


def test_sobol_points_cover_the_plane_better_than_random_ones(full):
    def largest_hole(kind):
        places, _ = numbers_of(full.study, drive(full, kind=kind, budget=40, seeds_per_point=1)["trial_id"].tolist())
        at = full.target.coordinates()
        return np.linalg.norm(at[:, None] - at[places][None], axis=-1).min(axis=1).max()

    assert largest_hole("sobol") < largest_hole("random")


@pytest.mark.parametrize(("budget", "n"), [(0.1, 65), (1.0, 646), (100, 100), (10_000, 646), (None, 162)])
def test_a_budget_is_a_share_or_a_count(full, budget, n):
    assert budget_trials(full.searched(kind="boundary", budget=budget).study) == n
    assert len(grid_ids(full.study)) == 646


def start_of(search):
    """Return the trials of a search's coarse grid."""
    return {search._trial(cell).trial_id for cell in search._choose._started}


def test_a_search_begins_with_a_quarter_of_its_coarse_grid_and_gives_the_rest_a_quarter_of_its_trials(full):
    study = full.searched(kind="boundary", budget=0.2, tolerance=0.0).study
    search = StudySearch(study, full.trials[:0])
    start, of_start = start_of(search), []
    while new := search.ask(4):
        of_start += [trial.trial_id in start for trial in new]
        search.tell(full.rows(trial.trial_id for trial in new))
    first = -(-len(start) // 4)
    assert all(of_start[:first])
    assert sum(of_start[first + 4 : first + 24]) in range(5, 10)  # one of four, and what the model asks for by itself
    complete = first + 4 * (len(start) - first) + 4  # trials, at most
    assert sum(of_start[:complete]) == len(start)


def test_a_search_with_a_tiny_budget_looks_at_all_corners_first(full):
    search = StudySearch(full.searched(kind="boundary", budget=12).study, full.trials[:0])
    asked = []
    for _ in range(4):
        asked += [trial.trial_id for trial in search.ask(1)]
        search.tell(full.rows(asked[-1:]))
    assert set(asked) == start_of(search)


def test_all_of_the_coarse_grid_is_asked_for_where_nothing_is_known_or_many_can_run(full):
    study = full.searched(kind="boundary", budget=0.2).study
    search = StudySearch(study, full.trials[:0])
    start = start_of(search)
    one_by_one = [search.ask(1)[0].trial_id for _ in range(len(start))]  # none of them ends
    assert set(one_by_one) == start
    at_once = StudySearch(study, full.trials[:0]).ask(len(start))
    assert {trial.trial_id for trial in at_once} == start


def test_a_map_that_is_known_early_is_checked_on_the_rest_of_the_coarse_grid():
    full = load_map("plane_wd0")
    study = full.searched(kind="boundary", budget=0.25, tolerance=0.1).study
    search, asked = StudySearch(study, full.trials[:0]), []
    while new := search.ask(4):
        asked += [trial.trial_id for trial in new]
        search.tell(full.rows(trial.trial_id for trial in new))
    start = start_of(search)
    assert start <= set(asked)
    assert len(asked) < 2 * len(start) + 4  # the fewest; with a quarter of the trials for the start it takes more


@pytest.mark.parametrize("metric", ["generalization", "inversion"])
def test_a_search_for_one_frontier_spends_its_trials_along_it(full, metric):
    trials = drive(full, kind="boundary", budget=0.09, tolerance=0.0, metric=metric)
    points = full.points
    side = points["test_accuracy"] >= 0.9
    if metric == "inversion":
        side = points["recovered_accuracy"] > points["memorized_accuracy"]
    at, side = full.target.coordinates(), side.to_numpy()
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)
    near = (np.where(side[:, None] != side[None], apart, np.inf)).min(axis=1) <= 1.5
    places, _ = numbers_of(full.study, trials["trial_id"].tolist()[25:])
    assert near[places].mean() > 1.5 * near.mean()
