"""The path that a GPU takes, run on ``meta`` tensors: what a step and a record ask of the device and of the host."""

import contextlib
import functools
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import trial_of
from launches import META, Launches

from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.kernel import make_kernel
from phasemap.training.population import CheckpointError, train_pack
from phasemap.training.recording import Hooks

SMALL = {"modulus": 7, "width": 16, "data_fraction": 0.6, "corruption": 0.1, "steps": 6, "heads": 2}
PAPER = SMALL | {"modulus": 97, "width": 500}
KINDS = {
    "two layers, square": {},
    "two layers, ReLU": {"activation": "relu"},
    "cross entropy": {"loss": "cross_entropy"},
    "dropout": {"dropout": 0.3},
    "minibatches": {"batch_size": 8},
    "BatchNorm": {"norm": "batch"},
    "LayerNorm": {"norm": "layer"},
    "deep MLP": {"depth": 4, "activation": "relu"},
    "deep MLP, dropout": {"depth": 3, "dropout": 0.3},
    "BatchNorm, minibatches": {"norm": "batch", "batch_size": 8},
    "Transformer": {"model": "transformer", "depth": 2, "activation": "relu"},
}
NUMBERS = (1, 2, 64)
BATCHED = ("two layers, square", "two layers, ReLU", "cross entropy", "dropout", "minibatches")


def kernel_of(kind, number, make=make_kernel, size=SMALL):
    """Make a kernel of so many networks of a kind on meta, each with a seed of its own."""
    trials = [trial_of(trial_id=str(seed), seed=seed, **size | KINDS[kind]) for seed in range(number)]
    with Launches() as seen:
        kernel = make(trials, [examples_of(trial) for trial in trials], META)
    assert not seen.strangers
    return kernel


def a_step(kernel, number, last=2):
    """Take steps and return what the last asked for."""
    for step in range(last):
        with Launches() as seen, contextlib.suppress(RuntimeError):  # meta refuses some faults
            kernel.advance(range(number), step, step + 1)
    return seen


class Usual(NamedTuple):
    """What a new kernel asked for."""

    kernel: type
    step: Launches  # the second
    record: Launches  # thereafter
    n_records: int


@functools.cache
def usual(kind, number):
    """Look at a new kernel once for all tests."""
    kernel = kernel_of(kind, number)
    step = a_step(kernel, number)
    with Launches() as record:
        n_records = len(kernel.evaluate(range(number)))
    return Usual(type(kernel), step, record, n_records)


kinds_and_numbers = pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind in KINDS for number in NUMBERS]
)


def assert_on_one_device(seen, _=None):
    assert not seen.strangers, f"operands on two devices in {seen.strangers}"


def assert_alone(seen, _=None):
    assert (seen.uploads, seen.downloads, seen.waits) == (0, 0, 0)


def assert_as_few(seen, fewest):
    assert seen.launches == fewest.launches, f"{seen.operations - fewest.operations} more than one network's"


@kinds_and_numbers
def test_a_step_has_its_operands_on_one_device(kind, number):
    seen = usual(kind, number).step
    print(f"{kind}, {number} networks: {seen.launches} launches a step")
    assert_on_one_device(seen)


@kinds_and_numbers
def test_a_step_neither_waits_nor_copies(kind, number):
    assert_alone(usual(kind, number).step)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "minibatches" in kind])
def test_nor_does_a_step_that_begins_an_epoch(kind):
    """The orders of 16 steps are drawn at once."""
    within, beginning = (a_step(kernel_of(kind, 2), 2, last) for last in (16, 17))
    assert_alone(within)
    assert_alone(beginning)
    assert beginning.operations["aten.sort"] > within.operations["aten.sort"] == 0


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", BATCHED)
def test_a_step_of_two_layer_networks_takes_few_launches(kind, number):
    seen = usual(kind, number)
    assert issubclass(seen.kernel, BatchedKernel)
    assert seen.step.launches <= (30 if kind == "dropout" else 25)


@pytest.mark.parametrize("number", [1, 64])
@pytest.mark.parametrize("batch_size", ["full", 8])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("activation", ["square", "relu"])
def test_a_step_of_all_that_two_layer_networks_may_be_takes_few_launches(
    activation, loss, dropout, batch_size, number, monkeypatch
):
    """Of minibatches on the average of twice the steps for which they are made at once."""
    steps = 2 if batch_size == "full" else 32
    settings = {"activation": activation, "loss": loss, "dropout": dropout, "batch_size": batch_size}
    monkeypatch.setitem(KINDS, "all", settings)
    kernel = kernel_of("all", number)
    with Launches() as seen:
        kernel.advance(range(number), 0, steps)
    print(f"{settings}, {number} networks: {seen.launches / steps} launches a step")
    assert seen.launches / steps <= (30 if dropout else 25)
    assert_on_one_device(seen)
    assert_alone(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_many_networks_takes_no_more_launches_than_one_networks(kind):
    assert_as_few(usual(kind, 64).step, usual(kind, 1).step)


@pytest.mark.parametrize("kind", KINDS)
def test_large_networks_are_not_cut_by_a_cpus_cache(kind):
    assert_as_few(a_step(kernel_of(kind, 2, size=PAPER), 2), a_step(kernel_of(kind, 1, size=PAPER), 1))


def faulty(fault, kernel):
    """Return a kernel whose steps have a fault beside their work."""

    class Faulty(kernel):
        def advance(self, members, after, until):
            super().advance(members, after, until)
            fault(self.groups[0].weights)

    return Faulty


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (lambda weights: weights.mul_(torch.ones(1)), assert_on_one_device),
        (lambda weights: weights[torch.tensor([0])], assert_on_one_device),
        (lambda weights: weights.sum().item(), assert_alone),
        (lambda weights: weights[weights > 0], assert_alone),
        (lambda weights: weights.to("cpu"), assert_alone),
        (lambda weights: weights[0].copy_(torch.zeros(1)), assert_alone),
        (lambda weights: weights.mul_(torch.tensor([0.5], device=META)), assert_alone),
        (lambda weights: [row.mul_(1) for row in weights], assert_as_few),
    ],
    ids=["operand", "index", "item", "nonzero", "download", "upload", "numbers", "loop"],
)
@pytest.mark.parametrize("kernel", [FunctionalKernel, BatchedKernel])
def test_a_fault_in_a_step_is_found(fault, check, kernel):
    seen = a_step(kernel_of("cross entropy", 2, faulty(fault, kernel)), 2)
    with pytest.raises(AssertionError):
        check(seen, a_step(kernel_of("cross entropy", 1, kernel), 1))


def test_chunks_by_a_cpus_cache_are_found(monkeypatch):
    monkeypatch.setattr("phasemap.training.functional.at_once", lambda *_: 1)
    with pytest.raises(AssertionError):
        assert_as_few(a_step(kernel_of("deep MLP", 2), 2), a_step(kernel_of("deep MLP", 1), 1))


@kinds_and_numbers
def test_a_record_takes_a_download_or_two_and_no_wait(kind, number):
    _, _, seen, n_records = usual(kind, number)
    assert n_records == number
    assert_on_one_device(seen)
    assert (seen.uploads, seen.downloads, seen.waits) == (0, 1 if kind in BATCHED else 2, 0)


@pytest.mark.parametrize("kernel", [FunctionalKernel, BatchedKernel])
def test_a_record_that_asks_each_network_is_found(kernel):
    class Asking(kernel):
        def evaluate(self, members):
            return [super(Asking, self).evaluate([member])[0] for member in members]

    counts = []
    for made in (kernel, Asking):
        with Launches() as seen:
            kernel_of("cross entropy", 2, made).evaluate(range(2))
        counts.append(seen.downloads)
    assert counts[1] == 2 * counts[0]


def test_a_checkpoint_whose_records_go_to_the_device_is_found(monkeypatch):
    trials = [trial_of(trial_id="0", **SMALL)]
    saved, load = [], torch.load
    with Launches():
        train_pack(trials, device=META, record=RECORD, hooks=Hooks(save=saved.append, save_seconds=0.0))
        monkeypatch.setattr(torch, "load", lambda file, **options: load(file, **options | {"map_location": META}))
        with pytest.raises(CheckpointError, match="meta"):
            train_pack(trials, device=META, record=RECORD, hooks=Hooks(saved=saved[3]))


FEW = {"steps": 2, "width": 8}  # pruning looks at a network without each of its neurons
RECORD = ("ipr", "neurons", "pruning", "norms", "extracted", "weights")


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_is_trained_recorded_and_continued(kind):
    """The whole path, with checkpoints that hold records from inside the networks."""
    record = ("norms", "ipr", "weights") if kind == "Transformer" else ("norms",) if "deep" in kind else RECORD
    trials = [trial_of(trial_id=str(seed), seed=seed, **SMALL | FEW | KINDS[kind]) for seed in range(2)]
    saved: list[bytes] = []
    hooks = Hooks(save=saved.append, save_seconds=0.0)
    with Launches() as seen:
        whole = train_pack(trials, device=META, record=record, hooks=hooks)
        again = train_pack(trials, device=META, record=record, hooks=Hooks(saved=saved[0]))
    assert_on_one_device(seen)
    for result, continued in zip(whole, again, strict=True):
        assert (result.status, result.device, result.steps) == ("ok", "meta", (1, 2))
        np.testing.assert_equal(continued.curves, result.curves)  # with their NaN
        assert [r.step for r in continued.inside] == [r.step for r in result.inside]
