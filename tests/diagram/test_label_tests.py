"""Tests of labels between two groups of seeds: exact where small, right in level, and able to see what is there."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from phasemap.diagram.label_tests import distances, exact_point_test, label_counts, map_test, seed_test

NAMES = ("a", "b", "c")


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_with_two_labels_the_point_test_is_fisher_s(cells):
    a, b = np.asarray(cells[:2]), np.asarray(cells[2:])
    assert exact_point_test(a, b) == pytest.approx(fisher_exact([a, b]).pvalue, abs=1e-9)


@given(st.lists(st.sampled_from(NAMES), min_size=2, max_size=7), st.integers(1, 6))
def test_the_point_test_counts_all_ways_to_deal_the_labels_out(labels, n_a):
    n_a = min(n_a, len(labels) - 1)

    def probability_of(group):  # of the table, by brute force over all ways
        key = tuple(sorted(labels[i] for i in group))
        return sum(tuple(sorted(labels[i] for i in g)) == key for g in ways)

    ways = list(itertools.combinations(range(len(labels)), n_a))
    seen = probability_of(ways[0])
    expected = sum(probability_of(way) <= seen for way in ways) / len(ways)
    counts = label_counts(np.asarray(labels, dtype=object)[:, None], NAMES)[:, 0]
    assert exact_point_test(counts[:n_a].sum(axis=0), counts[n_a:].sum(axis=0)) == pytest.approx(expected)


def test_distances_are_total_variation_and_null_is_no_label():
    a = np.asarray([[2, 0], [1, 1], [0, 0]])
    b = np.asarray([[0, 4], [2, 2], [1, 0]])
    assert distances(a, b).tolist() == [1.0, 0.0, 0.0]
    outcomes = np.asarray([["a", None]], dtype=object)
    assert label_counts(outcomes, NAMES).tolist() == [[[1, 0, 0], [0, 0, 0]]]


def noisy(random, n_seeds, n_points, shift=0):
    """Draw labels along a boundary that lies elsewhere in each seed: its points are correlated."""
    boundary = n_points / 2 + shift + random.normal(0, 1, n_seeds)
    return np.where(np.arange(n_points)[None] < boundary[:, None], "a", "b").astype(object)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_seeds_of_one_distribution_are_rarely_called_changed(n):
    random, false = np.random.default_rng(n), 0
    for _ in range(60):
        a, b = (label_counts(noisy(random, n, 20), NAMES) for _ in range(2))
        false += seed_test(a, b) < 0.05 and map_test(a.sum(axis=0), b.sum(axis=0)) < 0.05
    assert false / 60 <= 0.1


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_a_boundary_that_moved_far_is_seen_also_with_few_seeds(n):
    random = np.random.default_rng(0)
    a, b = label_counts(noisy(random, n, 20), NAMES), label_counts(noisy(random, n, 20, shift=7), NAMES)
    assert seed_test(a, b) < 0.05
    assert map_test(a.sum(axis=0), b.sum(axis=0)) < 0.05


def test_one_seed_a_side_tells_nothing():
    random = np.random.default_rng(0)
    a, b = (label_counts(noisy(random, 1, 20, shift), NAMES) for shift in (0, 7))
    assert seed_test(a, b) is None
