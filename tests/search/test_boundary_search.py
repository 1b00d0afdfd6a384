"""The boundary search on maps that were trained once in full: what it must reach, and what it must not do."""

import functools

import numpy as np
import pandas as pd
import pytest
from stored_maps import StoredMap, completed, drive, load_map, measures

from phasemap.phases.terms import SHOWN
from phasemap.search.boundary import BoundarySearch, Observed, count_votes
from phasemap.search.labelling import OneHot
from phasemap.search.study_map import expected_wrong
from phasemap.search.target import Target, numeric_axis

load_map = functools.cache(load_map)

# share of the trials, agreed points, those on a boundary: what is measured (docs/decisions/0012) lies above
REACHED = [
    ("plane_wd0", 0.10, 0.985, 0.85),
    ("plane_wd0", 0.15, 0.993, 0.96),
    ("plane_wd10", 0.15, 0.993, 0.96),
    ("plane_wd15", 0.15, 0.993, 0.96),
    ("weight_decay", 0.10, 0.975, 0.85),  # the least of six searches has 0.981, as before decision 60
    ("weight_decay", 0.15, 0.993, 0.96),
    ("plane_wd10_fine", 0.08, 0.99, 0.93),
    ("space", 0.10, 0.985, 0.93),
]


def check_reached(name, budget, agreed, boundary, seed):
    full = load_map(name)
    at_once = 8 if len(full.target) < 1000 else 32
    trials = drive(full, at_once, seed, kind="boundary", budget=budget, tolerance=0.0)
    assert len(trials) == round(budget * len(full.trials))
    found = measures(full, completed(full, trials))
    assert found["agreed"] >= agreed
    assert found["boundary"] >= boundary


@pytest.mark.parametrize(("name", "budget", "agreed", "boundary"), [r for r in REACHED if r[1] == 0.10])
def test_a_tenth_of_the_trials_gives_the_map(name, budget, agreed, boundary):
    check_reached(name, budget, agreed, boundary, seed=0)


@pytest.mark.slow(group="search")
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "budget", "agreed", "boundary"), REACHED)
def test_a_small_share_of_the_trials_gives_the_map(name, budget, agreed, boundary, seed):
    check_reached(name, budget, agreed, boundary, seed)


def test_it_beats_random_and_sobol_points_by_their_nearest_neighbours_and_by_its_own_model():
    full = load_map("weight_decay")
    ours = measures(full, completed(full, drive(full, kind="boundary", budget=0.1, tolerance=0.0)))
    for kind in ("random", "sobol"):
        other = measures(full, completed(full, drive(full, kind=kind, budget=0.1, seeds_per_point=1)))
        assert ours["boundary"] > other["boundary"] + 0.05
        assert ours["macro_f1"] > other["macro_f1"]
        assert ours["generalization_cells"] < other["generalization_cells"]


def expected_and_real(names, budgets):
    """Return the shares of labels that searches expect to be wrong, and those that are."""
    expected, real = [], []
    for full in map(load_map, names):
        for budget in budgets:
            trials = drive(full, kind="boundary", budget=budget, tolerance=0.0)
            expected.append(expected_wrong(full.searched(kind="boundary").study, trials))
            real.append(measures(full, completed(full, trials))["wrong"])
    return np.asarray(expected), np.asarray(real)


def test_the_share_that_it_expects_to_be_wrong_falls_with_the_share_that_is_wrong():
    expected, real = expected_and_real(["plane_wd15"], (0.06, 0.2))
    assert expected[1] < expected[0] / 2
    assert expected == pytest.approx(real, rel=0.75)


@pytest.mark.slow(group="search")
def test_the_share_that_it_expects_to_be_wrong_is_about_the_share_that_is_wrong():
    expected, real = expected_and_real(("plane_wd0", "plane_wd10", "plane_wd15", "weight_decay"), (0.08, 0.12, 0.2))
    assert np.mean(expected) == pytest.approx(np.mean(real), rel=0.5)
    assert np.corrcoef(expected, real)[0, 1] > 0.8


def test_a_map_with_one_phase_ends_soon():
    full = load_map("plane_wd0")
    memorized = full.trials["phase"] == "memorization"
    row = full.trials[memorized].iloc[0]
    same = full.trials.assign(**{name: row[name] for name in ("phase", "subphase", *SHOWN)})
    trials = drive(StoredMap(full.study, same), kind="boundary", budget=0.25)
    assert len(trials) <= 0.05 * len(full.trials)
    assert (completed(full, trials)["phase"] == "memorization").all()


def test_flipped_labels_mislead_it_about_few_other_points():
    full = load_map("plane_wd15")
    flipped = flip(full, 0.05)
    trials = drive(flipped, kind="boundary", budget=0.25)
    assert len(trials) <= 0.26 * len(full.trials)
    points = completed(full, trials)
    right = (points["phase"] == full.points["phase"])[full.agreed & points["inferred"].to_numpy(dtype=bool)]
    assert right.mean() > 0.97


def flip(full, share):
    """Give a share of the trials what another trial of another phase had."""
    random, trials = np.random.default_rng(0), full.trials.copy()
    columns = ["phase", "subphase", *SHOWN]
    for number in random.choice(len(trials), int(share * len(trials)), replace=False):
        others = np.flatnonzero(full.trials["phase"] != full.trials["phase"].iloc[number])
        trials.loc[number, columns] = full.trials.loc[random.choice(others), columns]
    return StoredMap(full.study, trials)


def test_it_trains_more_seeds_where_seeds_disagree():
    full = load_map("plane_wd15")
    trials = drive(full, kind="boundary", budget=0.3, tolerance=0.0)
    place = trials.index.to_numpy() // 2
    second = pd.Series(place).duplicated(keep=False).to_numpy()
    assert np.mean(~full.agreed[place[second]]) > 2 * np.mean(~full.agreed)


def test_few_points_get_a_second_seed_before_the_border_is_known():
    full = load_map("plane_wd15")
    trials = drive(full, kind="boundary", budget=0.15, tolerance=0.0)
    second = pd.Series(trials.index // 2).duplicated()
    assert second.sum() <= 8  # of 97 trials; 20 are, if a second seed counts as much as a first


def test_what_chance_decides_is_worth_less_than_what_nobody_knows():
    draws, nothing = np.random.default_rng(0), np.empty((0, 0))
    codes = np.stack([np.zeros((64, 2), dtype=int), *draws.integers(2, size=(2, 64, 2))])
    codes[0, ::2, 1] = 1  # at the second point nobody knows which label is the commonest
    none = np.empty(0, dtype=int)
    known = Observed(places=none, seeds=none, codes=none, values=nothing)
    belief = count_votes(np.arange(2), codes, known, OneHot(2))
    assert belief.entropy[1] - belief.entropy[0] == pytest.approx(np.log(2), abs=0.2)
    assert belief.shared.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_it_never_asks_for_more_seeds_of_a_point_than_it_is_allowed():
    full = load_map("plane_wd15")
    trials = drive(full, kind="boundary", budget=0.2, tolerance=0.0, seeds_per_point=1)
    assert not pd.Series(trials.index // 2).duplicated().any()


def square(n, label):
    """Return a search over an n x n grid and what it knows of every third row and column."""
    target = Target((numeric_axis(np.arange(n)), numeric_axis(np.arange(n))))
    search = BoundarySearch(target, 1, 1)
    places = target.coarse(n * n, stride=3)
    codes = np.asarray([label(*at) for at in search.coordinates[places]])
    known = Observed(places=places, seeds=0 * places, codes=codes, values=np.empty((len(places), 0)))
    taken = np.zeros((len(target), 1), dtype=bool)
    taken[places] = True
    return search, known, taken


def test_what_is_under_way_is_avoided_and_never_waited_for():
    search, known, taken = square(25, lambda x, y: int(x + y > 24))
    first, _ = search.choose(6, known, taken, np.empty(0, dtype=int), OneHot(2))
    pending = np.asarray([place for place, _ in first])
    taken[pending] = True
    second, _ = search.choose(6, known, taken, pending, OneHot(2))
    assert len(second) == 6
    at = search.coordinates
    apart = np.linalg.norm(at[[p for p, _ in second]][:, None] - at[pending][None], axis=-1)
    assert apart.min() > 1.5
    assert np.abs(at[[p for p, _ in second]].sum(axis=1) - 24).max() <= 4  # both batches lie along the border


@pytest.mark.parametrize("n_points", [100, 10_000])
def test_of_very_many_points_those_near_the_border_are_weighed(n_points):
    n = round(n_points**0.5)
    search, known, taken = square(n, lambda x, y: int(x > n / 2))
    chosen, wrong = search.choose(20, known, taken, np.empty(0, dtype=int), OneHot(2))
    far = np.abs(search.coordinates[[place for place, _ in chosen]][:, 0] - n / 2)
    assert np.median(far) <= 3
    assert 0 < wrong < 0.2
