"""What only GPUs take: optimizers with a setting per network, numbers drawn on the device, steps as a CUDA graph."""

import pytest
import torch
from conftest import CPU, trial_of
from oracle import Oracle, drawn_on_device

from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.cuda import SWITCH
from phasemap.training.functional import FunctionalKernel, _DeviceDraws
from phasemap.training.optimizers import OptimizerSettings, parameters_of
from phasemap.training.population import steady_arithmetic, train_pack
from phasemap.training.updates import OPTIMIZERS

RATES, DECAYS = (0.01, 0.003, 0.02), (0.0, 1.0, 5.0)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: CUDA graphs are not tried")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_networks_in_one_tensor_move_as_each_would_alone(name):
    start, gradients = torch.randn(3, 40), torch.randn(30, 3, 40)
    together, alone = start.clone(), start.clone()
    rates, decays = (torch.tensor(values)[:, None] for values in (RATES, DECAYS))
    parameters = parameters_of({"W": (7, 5), "gain": (5,)})
    vector = OPTIMIZERS[name](
        together, OptimizerSettings(learning_rate=rates, weight_decay=decays, parameters=parameters)
    )
    settings = [
        OptimizerSettings(learning_rate=rate, weight_decay=decay, parameters=parameters)
        for rate, decay in zip(RATES, DECAYS, strict=True)
    ]
    single = [OPTIMIZERS[name](alone[i : i + 1], settings[i]) for i in range(3)]
    number = torch.zeros((), dtype=torch.float64)
    for step, gradient in enumerate(gradients, start=1):
        vector.step(gradient, number.fill_(step))
        for i, optimizer in enumerate(single):
            optimizer.step(gradient[i : i + 1], step)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, start, atol=0.01)


DRAWN = {
    "4 layers with dropout": {"depth": 4, "dropout": 0.2, "learning_rate": 0.001, "weight_decay": 1.0},
    "BatchNorm in minibatches": {"norm": "batch", "batch_size": 32, "optimizer": "adam", "learning_rate": 0.005},
    "Transformer with dropout": {
        "model": "transformer",
        "heads": 2,
        "depth": 2,
        "dropout": 0.2,
        "learning_rate": 0.003,
    },
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_general_kernel_trains_like_one_plain_network_on_what_a_device_draws(name, monkeypatch):
    monkeypatch.setattr("phasemap.training.functional.HostDraws", _DeviceDraws)
    trials = [
        trial_of(
            trial_id=str(seed), seed=seed, modulus=11, width=24, steps=50, data_fraction=0.7, activation="relu",
            **DRAWN[name],
        )
        for seed in (0, 5)
    ]  # fmt: skip
    for trial, result in zip(trials, train_pack(trials, device=CPU, kernel=FunctionalKernel), strict=True):
        with steady_arithmetic():
            curves = drawn_on_device(Oracle(trial)).curves()
        for quantity in ("train_loss", "test_loss"):
            assert result.curves[quantity] == pytest.approx([row[quantity] for row in curves.values()], rel=1e-3)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_step_whose_number_stands_in_a_tensor_is_the_same(dropout):
    """As a graph takes it."""
    trials = [trial_of(trial_id=str(decay), weight_decay=decay, dropout=dropout) for decay in DECAYS]
    plain, static = (BatchedKernel(trials, [examples_of(trial) for trial in trials], CPU) for _ in range(2))
    plain.advance(range(3), 0, 20)
    (group,) = static.groups
    with torch.no_grad():
        for step in range(1, 21):
            group._step_number.fill_(step)
            group._static_step()
    torch.testing.assert_close(group.weights, plain.groups[0].weights, rtol=1e-5, atol=1e-6)


@needs_gpu
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("kernel", "norm"), [(FunctionalKernel, "layer"), (BatchedKernel, "none")])
def test_a_recorded_step_trains_as_the_eager_one(monkeypatch, kernel, norm, dropout):
    trials = [trial_of(trial_id=str(decay), weight_decay=decay, norm=norm, dropout=dropout) for decay in DECAYS]
    kernels = []
    for switch in ("0", "1"):
        monkeypatch.setenv(SWITCH, switch)
        kernels.append(kernel(trials, [examples_of(trial) for trial in trials], torch.device("cuda")))
        kernels[-1].advance(range(3), 0, 40)
    for member in range(3):
        for eager, graphed in zip(*(made.weights(member).values() for made in kernels), strict=True):
            torch.testing.assert_close(eager, graphed)
