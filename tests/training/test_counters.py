"""Numbers drawn on the device: those of a key and a counter, whoever else is drawn for."""

import numpy as np
import pytest
import torch
from conftest import CPU, changed, trial_of
from hypothesis import given
from hypothesis import strategies as st

from phasemap.training.counters import DRAW, MIX, PLACE, CounterStream, DeviceBatches, DeviceMasks

KEYS = st.integers(0, 2**128 - 1)


def plain(key, number, place):
    """Hash as the module says, in Python's own numbers."""
    word = (key + number * DRAW + place * PLACE) % 2**64
    for _ in range(2):
        word ^= word >> 32
        word = word * MIX % 2**64
    return word ^ word >> 32


@given(st.lists(KEYS, min_size=1, max_size=4), st.integers(0, 2**40), st.integers(1, 9))
def test_each_number_is_the_hash_of_its_key_draw_and_place(keys, number, count):
    drawn = CounterStream(keys, count, CPU).draw(number).numpy().view(np.uint64)
    assert drawn.tolist() == [[plain(key, number, place) for place in range(count)] for key in keys]


def test_a_stream_is_even_and_its_neighbours_know_nothing_of_each_other():
    """Over bytes, places, lanes, draws and keys: no correlation beyond five standard errors of 2**20 numbers."""
    stream = CounterStream([3, 4], 1 << 17, CPU)
    first, second = (stream.draw(n).view(torch.int16).double().numpy() for n in (1, 2))
    for one, other in [(first[0], first[1]), (first, second), *((first[:, :-k], first[:, k:]) for k in (1, 2, 4, 500))]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)
    counts = np.bincount(stream.draw(1).view(torch.uint8).numpy().ravel(), minlength=256)
    expected = counts.mean()
    assert abs(((counts - expected) ** 2 / expected).sum() - 255) < 5 * np.sqrt(2 * 255)


def masks_of(*rates, rows=50, width=30, seed=0):
    trials = [trial_of(trial_id=str(i), seed=seed + i, dropout=rate) for i, rate in enumerate(rates)]
    return DeviceMasks(trials, rows, width, CPU)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_units_are_kept_at_the_rate_and_scaled_by_it(rate):
    masks = masks_of(rate, rows=400, width=500)
    kept = torch.stack([masks.kept(step) for step in (1, 2, 3)]).double()
    assert float(kept.mean()) == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / kept.numel()))
    assert float(masks.scale) == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_a_network_meets_its_masks_in_any_pack_and_at_a_higher_rate_drops_more_of_the_same():
    together = masks_of(0.2, 0.3, 0.5).kept(7)
    for place, rate in enumerate((0.2, 0.3, 0.5)):
        assert torch.equal(masks_of(rate, seed=place).kept(7)[0], together[place])
        assert torch.equal(masks_of(rate, seed=place, rows=20).kept(7)[0], together[place][:20])
    lower, higher = masks_of(0.2).kept(7), masks_of(0.6).kept(7)
    assert not (higher & ~lower).any()
    assert not torch.equal(masks_of(0.2).kept(8), lower)
    assert torch.equal(masks_of(0.2).kept(torch.tensor(7.0, dtype=torch.float64)), lower)  # as a graph has it
    assert not torch.equal(together[0], together[1])


def batches_of(n_train, size, seeds=(0, 1)):
    trials = [trial_of(trial_id=str(seed), seed=seed, batch_size=size) for seed in seeds]
    return DeviceBatches(trials, "some data", n_train, CPU)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
def test_batches_show_every_example_once_an_epoch(n_train, size, epochs):
    if size > n_train:
        with pytest.raises(ValueError, match="larger than the training set"):
            batches_of(n_train, size)
        return
    batches = batches_of(n_train, size)
    shown = torch.cat([batches.rows(step) for step in range(1, -(-n_train * epochs // size) + 1)], dim=1)
    for epoch in range(epochs):
        order = shown[:, epoch * n_train : (epoch + 1) * n_train]
        assert torch.equal(order.sort(dim=1).values, torch.arange(n_train).expand_as(order))


def test_orders_are_the_seeds_own_new_each_epoch_and_the_same_in_any_pack_and_from_any_step():
    together = batches_of(30, 30)
    first, second = together.rows(1), together.rows(2)
    assert torch.equal(batches_of(30, 30, seeds=(1,)).rows(1)[0], first[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], second[0])
    assert torch.equal(batches_of(30, 30).rows(2), second)  # as after a checkpoint
    assert torch.equal(first[0][first[0] < 20], batches_of(20, 20).rows(1)[0])  # common examples in the same order


def test_other_seeds_of_a_width_have_other_masks():
    trial = trial_of(dropout=0.5)
    other = changed(trial, seed=1)
    kept = DeviceMasks([trial, other], 100, 100, CPU).kept(1)
    assert float((kept[0] ^ kept[1]).double().mean()) == pytest.approx(0.5, abs=0.03)
