"""What only GPUs take: optimizers with a setting per network in one tensor, and steps recorded as a CUDA graph."""

import pytest
import torch
from conftest import trial_of

from phasemap.training.functional import FunctionalKernel
from phasemap.training.graphs import SWITCH
from phasemap.training.optimizers import OPTIMIZERS, OptimizerSettings
from phasemap.training.population import examples_of

RATES, DECAYS = (0.01, 0.003, 0.02), (0.0, 1.0, 5.0)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: CUDA graphs are not tried")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_networks_in_one_tensor_move_as_each_would_alone(name):
    start, gradients = torch.randn(3, 40), torch.randn(30, 3, 40)
    together, alone = start.clone(), start.clone()
    rates, decays = (torch.tensor(values)[:, None] for values in (RATES, DECAYS))
    vector = OPTIMIZERS[name](together, OptimizerSettings(learning_rate=rates, weight_decay=decays))
    single = [
        OPTIMIZERS[name](alone[i : i + 1], OptimizerSettings(learning_rate=RATES[i], weight_decay=DECAYS[i]))
        for i in range(3)
    ]
    number = torch.zeros((), dtype=torch.float64)
    for step, gradient in enumerate(gradients, start=1):
        vector.step(gradient, number.fill_(step))
        for i, optimizer in enumerate(single):
            optimizer.step(gradient[i : i + 1], step)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, start, atol=0.01)


@needs_gpu
def test_a_recorded_step_trains_as_the_eager_one(monkeypatch):
    trials = [trial_of(trial_id=str(decay), weight_decay=decay, norm="layer") for decay in DECAYS]
    kernels = []
    for switch in ("0", "1"):
        monkeypatch.setenv(SWITCH, switch)
        kernels.append(FunctionalKernel(trials, [examples_of(trial) for trial in trials], torch.device("cuda")))
        kernels[-1].advance(range(3), 0, 40)
    for member in range(3):
        for eager, graphed in zip(*(kernel.weights(member).values() for kernel in kernels), strict=True):
            torch.testing.assert_close(eager, graphed)
