"""The kernel for GPUs, run on the CPU: held to the explicit kernel, to one plain network, and to itself in any pack."""

import itertools

import pytest
import torch
from conftest import CPU, trial_of
from oracle import Oracle, drawn_on_device
from torch.distributed._tools.mem_tracker import MemTracker

from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.costs import card_bytes
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.population import steady_arithmetic, train_pack
from phasemap.training.recording import Hooks

SIZE = {"modulus": 23, "width": 48, "steps": 50, "data_fraction": 0.6, "corruption": 0.2}
KINDS = list(itertools.product(("square", "relu"), ("mse", "cross_entropy")))


def trials_of(number, **settings):
    return [
        trial_of(
            **{"trial_id": str(i), "seed": i, "weight_decay": 2.0 * i, "learning_rate": 0.01 / (1 + i)}
            | SIZE
            | settings
        )
        for i in range(number)
    ]


def assert_same_losses(results, others, rel=1e-4):
    for result, other in zip(results, others, strict=True):
        assert result.steps == other.steps
        for name in ("train_loss", "test_loss"):
            assert result.curves[name] == pytest.approx(other.curves[name], rel=rel)


@pytest.mark.parametrize(("activation", "loss"), KINDS)
def test_it_trains_as_the_explicit_kernel(activation, loss):
    trials = trials_of(4, activation=activation, loss=loss)
    batched, explicit = (train_pack(trials, device=CPU, kernel=kernel) for kernel in (BatchedKernel, ExplicitKernel))
    assert_same_losses(batched, explicit)
    for one, other in zip(batched, explicit, strict=True):
        for name in ("weight_norm", "weight_norm_u", "weight_norm_v", "weight_norm_w"):
            assert one.curves[name] == pytest.approx(other.curves[name], rel=1e-4)
        for name in ("train_accuracy", "test_accuracy", "memorized_accuracy"):
            assert one.curves[name] == pytest.approx(other.curves[name], abs=0.02)


def test_networks_with_training_sets_of_different_size_are_groups_of_one_pack():
    trials = [trial_of(trial_id=str(f), **SIZE | {"data_fraction": f}) for f in (0.3, 0.6, 0.3)]
    kernel = BatchedKernel(trials, [examples_of(trial) for trial in trials], CPU)
    assert [group.members for group in kernel.groups] == [[0, 2], [1]]
    assert_same_losses(*(train_pack(trials, device=CPU, kernel=kernel) for kernel in (BatchedKernel, ExplicitKernel)))


def oracle_curves(trial):
    with steady_arithmetic():
        return drawn_on_device(Oracle(trial)).curves()


@pytest.mark.parametrize("drawn", [{}, {"dropout": 0.3}, {"batch_size": 50}, {"batch_size": 50, "dropout": 0.2}])
@pytest.mark.parametrize(("activation", "loss"), KINDS)
def test_it_trains_like_one_plain_network_on_the_same_masks_and_batches(activation, loss, drawn):
    trials = trials_of(2, activation=activation, loss=loss, **drawn)
    for trial, result in zip(trials, train_pack(trials, device=CPU, kernel=BatchedKernel), strict=True):
        curves = oracle_curves(trial)
        assert result.steps == tuple(curves)
        for name in ("train_loss", "test_loss"):
            assert result.curves[name] == pytest.approx([row[name] for row in curves.values()], rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_optimizers_too(optimizer):
    (trial,) = trials_of(1, optimizer=optimizer, weight_decay=0.01, learning_rate={"adam": 0.01, "sgd": 1.0}[optimizer])
    (result,) = train_pack([trial], device=CPU, kernel=BatchedKernel)
    expected = [row["train_loss"] for row in oracle_curves(trial).values()]
    assert result.curves["train_loss"] == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < 0.998 * expected[0]  # it did move


@pytest.mark.parametrize("drawn", [{}, {"dropout": 0.3}, {"batch_size": 50}])
def test_a_network_trains_in_any_pack_as_alone(drawn):
    """To rounding: what a batched product rounds may depend on how many it is asked for."""
    trials = trials_of(5, **drawn)
    together = train_pack(trials, device=CPU, kernel=BatchedKernel)
    alone = [train_pack([trial], device=CPU, kernel=BatchedKernel)[0] for trial in trials]
    assert_same_losses(together, alone, rel=1e-5)


def test_a_network_that_diverges_reaches_no_other():
    calm = trials_of(3)
    wild = trial_of(trial_id="wild", seed=9, **SIZE, init_scale=1e12)
    results = train_pack([calm[0], wild, *calm[1:]], device=CPU, kernel=BatchedKernel)
    assert [result.status for result in results] == ["ok", "diverged", "ok", "ok"]
    assert_same_losses([results[0], *results[2:]], train_pack(calm, device=CPU, kernel=BatchedKernel), rel=1e-5)


@pytest.mark.parametrize("drawn", [{}, {"dropout": 0.3}, {"batch_size": 50}])
def test_a_pack_goes_on_from_its_checkpoint_to_the_bit(drawn):
    trials, saved = trials_of(3, **drawn), []
    hooks = Hooks(save=saved.append, save_seconds=0.0)
    whole = train_pack(trials, device=CPU, kernel=BatchedKernel, record=("weights",), hooks=hooks)
    again = train_pack(trials, device=CPU, kernel=BatchedKernel, record=("weights",), hooks=Hooks(saved=saved[10]))
    for one, other in zip(whole, again, strict=True):
        assert one.curves["train_loss"] == other.curves["train_loss"]
        assert all((one.weights[name] == other.weights[name]).all() for name in ("U", "V", "W"))


@pytest.mark.parametrize(
    "more", [{}, {"dropout": 0.3}, {"loss": "cross_entropy"}, {"batch_size": 64}, {"data_fraction": 0.9}]
)
def test_a_pack_takes_the_memory_that_plans_count_on(more):
    """PyTorch counts on a CPU what an H200 was seen to take: 33.8 of 33.9 MB, before blocks of a record were freed."""
    trials = trials_of(3, **{"modulus": 47, "width": 250, "data_fraction": 0.5} | more)
    with MemTracker() as tracker:
        kernel = BatchedKernel(trials, [examples_of(trial) for trial in trials], CPU)
        kernel.advance(range(3), 0, 2)
        kernel.record(range(3), 1, ())
    taken = tracker.get_tracker_snapshot("peak")[CPU]["Total"]
    assert 0.85 < taken / sum(map(card_bytes, trials)) < 1.06


def test_a_record_is_read_from_its_bits():
    """One download holds answers, losses and norms; each is what the weights say."""
    (trial,) = trials_of(1, loss="cross_entropy")
    seen = examples_of(trial)
    kernel = BatchedKernel([trial], [seen], CPU)
    kernel.advance([0], 0, 5)
    (found,) = kernel.evaluate([0])
    weights = {name: part.double() for name, part in kernel.weights(0).items()}
    inputs = torch.from_numpy(seen.dataset.inputs[[*seen.train, *seen.test]])
    scores = (weights["U"][:, inputs[:, 0]] + weights["V"][:, inputs[:, 1]]).square().t() @ weights["W"].t()
    targets = torch.from_numpy(seen.given)
    expected = torch.nn.functional.cross_entropy(scores[: len(targets)], targets)
    assert found.train_loss == pytest.approx(float(expected), rel=1e-5)
    assert (found.predicted == scores.argmax(dim=1).numpy()).mean() > 0.999
    for name, part in weights.items():
        assert found.norms[f"weight_norm_{name.lower()}"] == pytest.approx(float(part.norm()), rel=1e-6)
