"""A search's inferred points against a sub-grid that was trained in full, on made-up maps."""

import math
import runpy
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

agreement = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "subgrid.py"))["agreement"]
AXES = ["x", "y", "decay"]


def table(label, values=range(5), decays=(0.0, 5.0), inferred=lambda x, y: True, confidence=0.9):
    """Points over a square for each decay, labelled by a function."""
    rows = [
        {"x": x / 10, "y": y / 10, "decay": decay, "subphase": label(x, y, decay), "inferred": inferred(x, y)}
        for x, y, decay in product(values, values, decays)
    ]
    return pd.DataFrame(rows).assign(
        confidence=lambda found: found["inferred"].map({True: confidence, False: math.nan})
    )


def halves(x, y, decay):
    return "left" if x < 2 else "right"


def test_equal_maps_agree_everywhere_and_those_at_a_border_are_not_away():
    found = agreement(table(halves), table(halves), AXES)
    assert (found.n_points, found.n_inferred, found.share_right, found.share_right_away) == (50, 50, 1, 1)
    assert found.n_away == 2 * 5 * 3  # columns 0, 3 and 4: 1 and 2 have the border beside them
    assert (found.expected_wrong, found.really_wrong) == (pytest.approx(0.1), 0)


def test_a_border_that_is_inferred_a_column_too_far_is_wrong_near_the_border_only():
    found = agreement(table(lambda x, y, decay: "left" if x < 3 else "right"), table(halves), AXES)
    assert found.share_right == pytest.approx(0.8)
    assert found.really_wrong == pytest.approx(0.2)
    assert found.share_right_away == 1


def test_a_wrong_island_far_from_borders_counts_and_diagonal_neighbours_are_borders():
    searched = table(lambda x, y, decay: "island" if (x, y) == (4, 4) else halves(x, y, decay))
    assert agreement(searched, table(halves), AXES).share_right_away == pytest.approx(28 / 30)
    corner = table(lambda x, y, decay: "corner" if (x, y) == (0, 0) else "rest")
    assert agreement(corner, corner, AXES).n_away == 2 * (25 - 4)


def test_measured_points_and_points_off_the_sub_grid_are_left_out():
    searched = table(halves, values=range(9), inferred=lambda x, y: x != 0)
    found = agreement(searched, table(halves), AXES)
    assert (found.n_points, found.n_inferred) == (50, 40)


def test_maps_of_other_values_are_no_neighbours():
    found = agreement(*[table(lambda x, y, decay: f"decay {decay}")] * 2, AXES)
    assert found.n_away == found.n_inferred == 50


def test_points_are_the_same_where_their_axes_agree_but_for_rounding():
    moved = table(halves).assign(x=lambda rows: rows["x"] + 1e-13)
    assert agreement(moved, table(halves), AXES).n_points == 50


def test_nothing_inferred_has_no_shares():
    found = agreement(table(halves, inferred=lambda x, y: False), table(halves), AXES)
    assert found.n_inferred == 0
    assert math.isnan(found.share_right)
    assert math.isnan(found.really_wrong)


@given(
    st.lists(st.sampled_from("ab"), min_size=25, max_size=25), st.lists(st.sampled_from("ab"), min_size=25, max_size=25)
)
def test_shares_are_those_of_a_plain_count(first, second):
    searched = table(lambda x, y, decay: first[5 * x + y], decays=(0.0,))
    trained = table(lambda x, y, decay: second[5 * x + y], decays=(0.0,))
    found = agreement(searched, trained, AXES)
    assert found.share_right == pytest.approx(sum(a == b for a, b in zip(first, second, strict=True)) / 25)
    assert found.share_right + found.really_wrong == pytest.approx(1)
    away = 0
    for x, y in product(range(5), repeat=2):
        around = [(x + i, y + j) for i, j in product((-1, 0, 1), repeat=2) if 0 <= x + i < 5 and 0 <= y + j < 5]
        away += len({second[5 * i + j] for i, j in around}) == 1
    assert found.n_away == away
