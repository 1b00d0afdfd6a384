"""The inverse participation ratio against what mathematics says."""

import math

import numpy as np
import pytest
from analytic import analytic_weights
from conftest import CPU, trial_of
from hypothesis import given
from hypothesis import strategies as st

from phasemap.representations.ipr import ipr, mean_ipr, neuron_ipr, random_ipr, spearman, token_order
from phasemap.training.population import train_pack


@given(st.integers(1, 15), st.floats(0.1, 3), st.floats(0, 6))
def test_a_single_frequency_scores_one_at_any_size_and_phase(frequency, size, phase):
    wave = size * np.cos(2 * np.pi * frequency * np.arange(31) / 31 + phase)
    assert ipr(wave[None, :]) == pytest.approx([1.0])
    assert ipr(1e-24 * wave[None, :]) == pytest.approx([1.0])


def test_two_equal_frequencies_score_a_half_and_a_spike_spreads_evenly():
    angle = 2 * np.pi * np.arange(31) / 31
    assert ipr((np.cos(3 * angle) + np.cos(7 * angle))[None, :]) == pytest.approx([0.5])
    assert ipr(np.eye(1, 31)) == pytest.approx([1 / 16])


def test_a_constant_side_has_no_rank_correlation():
    assert np.isnan(spearman(np.arange(3.0), np.ones(3)))
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 10, 5])) == pytest.approx(0.5)


@pytest.mark.parametrize(("p", "expected"), [(97, 0.04), (31, 0.12), (7, 0.42)])
def test_random_vectors_score_what_is_known_of_them(p, expected):
    drawn = np.random.default_rng(0).standard_normal((4000, p))
    assert ipr(drawn).mean() == pytest.approx(expected, abs=0.012)


def test_a_constant_scores_one_and_nothing_without_its_constant_term():
    constant = np.full((1, 31), 0.1)
    assert ipr(constant) == pytest.approx([1.0])
    assert np.isnan(ipr(constant, constant=False)).all()
    wave = np.cos(2 * np.pi * 5 * np.arange(31) / 31)[None, :]
    assert ipr(3 + wave)[0] > 0.8
    assert ipr(3 + wave, constant=False) == pytest.approx([1.0])
    assert ipr(0.5 + wave)[0] < 0.7


@pytest.mark.parametrize(("p", "expected"), [(97, 0.04), (31, 0.12), (7, 0.42)])
def test_the_reference_of_random_vectors_is_known(p, expected):
    assert random_ipr(p) == pytest.approx(expected, abs=0.012)


def test_a_zero_vector_has_no_score():
    assert np.isnan(ipr(np.zeros((1, 7)))).all()
    zero = np.zeros((2, 7))
    assert math.isnan(mean_ipr(neuron_ipr(zero, zero, zero.T, np.arange(7))))
    assert mean_ipr(np.array([0.2, np.nan, 0.4])) == pytest.approx(0.3)


def test_the_analytic_solution_scores_one_in_every_neuron():
    u, v, w = analytic_weights(97, 500)
    assert neuron_ipr(u, v, w, np.arange(97)) == pytest.approx(1.0)
    assert neuron_ipr(u, v, w, np.arange(97), constant=False) == pytest.approx(1.0)


def test_multiplication_is_periodic_along_the_discrete_logarithm():
    p = 31
    order = token_order("modular_multiplication", p)
    assert sorted(order) == list(range(1, p))
    logarithm = {int(token): i for i, token in enumerate(order)}
    for a, b in ((3, 7), (12, 30), (5, 5)):
        assert (logarithm[a] + logarithm[b]) % (p - 1) == logarithm[a * b % p]
    wave = np.zeros((1, p))
    wave[0, order] = np.cos(2 * np.pi * 4 * np.arange(p - 1) / (p - 1))
    assert ipr(wave[:, order]) == pytest.approx([1.0])
    assert ipr(wave)[0] < 0.3
    for without in (2, 9, 12):
        assert token_order("modular_multiplication", without) is None
    assert token_order("modular_multiplication", 3).tolist() == [1, 2]


def test_a_network_that_learned_the_rule_scores_higher_than_one_that_memorized():
    common = {"modulus": 23, "width": 96, "steps": 400, "data_fraction": 0.8}
    rule = trial_of(trial_id="rule", corruption=0.0, weight_decay=5.0, seed=0, **common)
    rote = trial_of(trial_id="rote", corruption=0.8, weight_decay=0.0, seed=0, **common)
    learned, memorized = train_pack([rule, rote], device=CPU)
    assert learned.curves["test_accuracy"][-1] == 1.0
    assert memorized.curves["memorized_accuracy"][-1] > 0.9
    assert learned.finals["mean_ipr"] > 0.6 > 0.3 > memorized.finals["mean_ipr"]
