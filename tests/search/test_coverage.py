"""How likely an island is missed, and trials that go where one may lie."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_maps import completed, drive, load_map

from phasemap.diagram.tables import Tables
from phasemap.search.boundary import BoundarySearch
from phasemap.search.completed import map_words
from phasemap.search.coverage import covering, island_risk, island_shape
from phasemap.search.study_map import taken_trials
from phasemap.search.target import Target, named_axis, numeric_axis
from phasemap.study.writing import study_content


def places_of(target):
    """Yield the points of an island at each of its places, the axes' values from the lowest to the highest."""
    numbers = np.arange(len(target)).reshape(target.shape)[np.ix_(*(axis.order for axis in target.axes))]
    starts = [range(n - size + 1) for n, size in zip(target.shape, island_shape(target), strict=True)]
    for corner in itertools.product(*starts):
        inside = tuple(slice(at, at + size) for at, size in zip(corner, island_shape(target), strict=True))
        yield numbers[inside].ravel()


def missed(target, trained):
    return float(np.mean([not trained[places].any() for places in places_of(target)]))


@st.composite
def grids(draw):
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        positions = draw(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True))
        axes.append(named_axis(len(positions)) if draw(st.booleans()) else numeric_axis(np.asarray(positions, float)))
    target = Target(tuple(axes))
    return target, np.asarray(draw(st.lists(st.booleans(), min_size=len(target), max_size=len(target))))


@settings(max_examples=40, deadline=None)
@given(grids())
def test_the_risk_is_the_share_of_the_places_where_no_point_was_trained(drawn):
    target, trained = drawn
    assert island_risk(target, trained) == pytest.approx(missed(target, trained))


@settings(max_examples=25, deadline=None)
@given(grids())
def test_each_point_lies_in_most_places_that_are_left_and_in_the_end_none_is(drawn):
    target, trained = drawn
    left = trained.copy()
    for place in covering(target, trained, 10_000, np.random.default_rng(0)):
        bare = [places for places in places_of(target) if not left[places].any()]
        counts = np.bincount(np.concatenate(bare), minlength=len(target))
        assert counts[place] == counts.max()
        left[place] = True
    assert island_risk(target, left) == 0
    assert covering(target, left, 1, np.random.default_rng(0)) == []


def test_a_share_of_the_trials_leaves_hardly_any_place_and_the_map_is_known_all_the_same():
    full, risks = load_map("plane_wd0"), {}
    for coverage in (0.0, 0.25):
        trials = drive(full, n=16, budget=0.15, tolerance=0.0, kind="boundary", coverage=coverage)
        assert len(trials) == round(0.15 * len(full.trials))
        risks[coverage] = island_risk(full.target, taken_trials(full.study, trials["trial_id"]).any(axis=1))
        points = completed(full, trials)
        assert (points["phase"] == full.points["phase"]).mean() >= 0.99
        words = map_words(Tables(study=full.searched(kind="boundary").study, trials=trials, points=points))
        assert f"an island of 3 x 3 cells would be missed with a probability of {100 * risks[coverage]:.2g} %" in words
    assert risks[0.25] < 0.1 < 0.15 < risks[0.0]


def test_a_study_without_coverage_is_written_as_before_and_one_with_it_names_it():
    full = load_map("plane_wd0")
    assert "coverage" not in study_content(full.searched(kind="boundary").study)["search"]
    assert study_content(full.searched(kind="boundary", coverage=0.2).study)["search"]["coverage"] == 0.2


def test_a_batch_names_no_point_twice_where_one_island_is_left():
    target = load_map("plane_wd0").target
    search = BoundarySearch(target, 2, 2, 0, 1.0)
    taken = np.ones((len(target), 2), dtype=bool)
    block = [int(place) for place in np.arange(len(target)).reshape(target.shape)[4:7, 4:7].ravel()]
    taken[block] = False
    found = search._covered([(place, 0) for place in block], taken)
    assert sorted(place for place, _ in found) == block
