"""Pruning and the extracted rule, against the obvious computation and what mathematics says."""

import math

import numpy as np
import pytest
import torch
from analytic import analytic_weights
from hypothesis import given
from hypothesis import strategies as st

from phasemap.representations.ipr import extracted_weights, ipr, main_frequencies, spectrum_shares, token_order
from phasemap.representations.pruning import needed_neurons, pruned_scores, pruning_levels, pruning_orders


@given(st.integers(1, 400), st.integers(0, 3))
def test_levels_go_from_none_to_all_and_orders_hold_every_neuron_once(width, seed):
    levels = pruning_levels(width)
    assert levels[0] == 0
    assert levels[-1] == width
    assert len(levels) == min(width, 128) + 1
    orders = pruning_orders(np.random.default_rng(seed).random(width), seed)
    assert list(orders) == ["lowest_first", "highest_first", "random"]
    assert all(sorted(order) == list(range(width)) for order in orders.values())


def test_the_lowest_go_first_and_neurons_without_weights_before_them():
    values = np.array([0.5, math.nan, 0.1, 0.9])
    orders = pruning_orders(values, 0)
    assert orders["lowest_first"].tolist() == [1, 2, 0, 3]
    assert orders["highest_first"].tolist() == [3, 0, 2, 1]


def test_pruned_scores_are_those_of_a_network_with_the_neurons_set_to_zero():
    generator = torch.Generator().manual_seed(0)
    units, readout = torch.randn(50, 20, generator=generator), torch.randn(7, 20, generator=generator)
    order = np.random.default_rng(1).permutation(20)
    levels = np.array([0, 1, 5, 6, 19, 20])
    seen = []
    for level, scores in pruned_scores(units, readout, order, levels):
        kept = units.clone()
        kept[:, order[:level]] = 0
        assert torch.allclose(scores, kept @ readout.t(), atol=1e-5)
        seen.append(level)
        assert level < 20 or not scores.any()
    assert seen == levels.tolist()[::-1]


def test_weak_neurons_answer_for_themselves_when_the_strong_ones_are_silenced():
    u, v, w = (torch.from_numpy(part).float() for part in analytic_weights(31, 300))
    strength = torch.where(torch.arange(300) % 2 == 0, 1.0, 1e-3)
    m, n = (torch.from_numpy(part) for part in np.divmod(np.arange(31 * 31), 31))
    units = (strength[:, None] * (u[:, m] + v[:, n])).T ** 2
    order = torch.argsort(strength, descending=True, stable=True).numpy()
    right = {}
    for level, scores in pruned_scores(units, w * strength, order, pruning_levels(300)):
        right[level] = float((scores.argmax(dim=1) == (m + n) % 31).float().mean())
    assert right[0] == 1.0
    assert right[150] == 1.0


@pytest.mark.parametrize(
    ("accuracy", "needed"),
    [
        ([0.95, 0.99, 0.92, 0.4, 0.95], 2),
        ([0.8, 0.99, 0.99, 0.99, 0.1], math.nan),
        ([1, 1, 1, 1, 1], 0),
        ([1, 0, 0, 0, 0], 4),
    ],
)  # fmt: skip
def test_the_needed_neurons_are_those_left_before_the_accuracy_first_falls(accuracy, needed):
    found = needed_neurons(np.arange(5), np.array(accuracy, dtype=float), 0.9)
    assert found == pytest.approx(needed, nan_ok=True)


def right_share(u, v, w, task=np.add):
    p = w.shape[0]
    m, n = np.divmod(np.arange(p * p), p)
    answers = (((u[:, m] + v[:, n]) ** 2).T @ w.T).argmax(axis=1)
    return (answers == task(m, n) % p).mean()


def test_the_analytic_solution_is_its_own_main_frequency():
    u, v, w = analytic_weights(31, 300)
    assert main_frequencies(u, v, w, np.arange(31)).tolist() == [1 + k % 15 for k in range(300)]
    for part, extracted in zip((u, v, w), extracted_weights(u, v, w, np.arange(31)), strict=True):
        assert extracted == pytest.approx(part)


def test_a_rule_hidden_under_noise_comes_out():
    noise = np.random.default_rng(0)
    u, v, w = (part + noise.normal(0, 0.25, part.shape) for part in analytic_weights(31, 300))
    assert right_share(u, v, w) < 0.5
    extracted = extracted_weights(u, v, w, np.arange(31))
    assert right_share(*extracted) > 0.99
    assert ipr(extracted[0]) == pytest.approx(1.0)
    for once, twice in zip(extracted, extracted_weights(*extracted, np.arange(31)), strict=True):
        assert twice == pytest.approx(once)


def test_a_rule_of_multiplication_comes_out_along_the_discrete_logarithm_and_token_0_keeps_its_weights():
    p, order = 31, token_order("modular_multiplication", 31)
    noise = np.random.default_rng(0)
    frequency = 1 + np.arange(300) % 14
    first, second = noise.uniform(0, 2 * np.pi, (2, 300, 1))
    angle = 2 * np.pi * frequency[:, None] * np.arange(p - 1) / (p - 1)
    u, v, w = noise.normal(0, 0.03, (300, p)), noise.normal(0, 0.03, (300, p)), noise.normal(0, 0.03, (p, 300))
    u[:, order] += 0.2 * np.cos(angle + first)
    v[:, order] += 0.2 * np.cos(angle + second)
    w[order] += 0.2 * np.cos(-angle - first - second).T
    extracted = extracted_weights(u, v, w, order)
    assert extracted[0][:, 0] == pytest.approx(u[:, 0])
    assert extracted[2][0] == pytest.approx(w[0])
    assert ipr(extracted[2].T[:, order]) == pytest.approx(1.0)
    assert right_share(*extracted, np.multiply) > 0.9


def test_a_spectrum_s_shares_add_up():
    wave = np.cos(2 * np.pi * 4 * np.arange(31) / 31)
    assert spectrum_shares(wave)[4] == pytest.approx(1.0)
    assert spectrum_shares(np.random.default_rng(0).normal(size=31)).sum() == pytest.approx(1.0)
    assert np.isnan(spectrum_shares(np.zeros(31))).all()
