"""The grid of a search: coordinates in each axis's own scale, and coarse grids that cover it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.search.target import Target, far_apart, named_axis, numeric_axis, study_axis
from phasemap.study.axes import Axis


def columns(*values):
    return study_axis(Axis(name="x", values=values)).columns[:, 0]


def test_neighbours_are_one_cell_apart_on_the_axis_s_own_scale_in_any_order():
    assert columns(0.1, 0.2, 0.3) == pytest.approx([0, 1, 2])
    assert columns(1, 10, 100) == pytest.approx([0, 1, 2])
    assert columns(0, 1, 3, 10) == pytest.approx([0, 1, 2, 3])
    assert columns(100, 1, 10) == pytest.approx([2, 0, 1])
    assert columns(5) == pytest.approx([0])


def test_names_are_equally_far_from_one_another():
    axis = study_axis(Axis(name="norm", values=("none", "batch", "layer")))
    apart = np.linalg.norm(axis.columns[:, None] - axis.columns[None], axis=-1)
    assert np.unique(apart.round(9)).tolist() == [0.0, 2.0]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(2, 400))
def test_a_coarse_grid_has_the_corners_and_at_most_so_many_points(shape, most):
    target = Target(tuple(numeric_axis(np.arange(n, dtype=float)) for n in shape))
    places = target.coarse(max(most, 2 ** len(shape)))
    assert len(set(places.tolist())) == len(places) <= max(most, 2 ** len(shape))
    corners = [place for place in range(len(target)) if all(
        n in (0, size - 1) for n, size in zip(np.unravel_index(place, target.shape), shape, strict=True)
    )]  # fmt: skip
    assert set(corners) <= set(places.tolist())


def test_a_coarse_grid_has_every_name():
    target = Target((numeric_axis(np.arange(9.0)), named_axis(3)))
    assert len(target.coarse(27)) == 9


@given(st.integers(1, 25), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_points_far_apart_come_each_as_far_as_can_be_from_all_before_it(n, n_columns, seed):
    at = np.random.default_rng(seed).integers(0, 9, (n, n_columns)).astype(float)
    order = far_apart(at, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(n))
    for number in range(1, n):
        away = [min(((at[one] - at[before]) ** 2).sum() for before in order[:number]) for one in order[number:]]
        assert away[0] == max(away)
