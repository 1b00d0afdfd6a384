"""Optimizers, gradient filters and losses against one network, with the authors' formulas written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import CPU, trial_of
from oracle import plain_mlp

from phasemap.tasks.examples import examples_of
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.kernel import make_kernel
from phasemap.training.losses import hinge, stablemax
from phasemap.training.muon import orthogonalized
from phasemap.training.population import steady_arithmetic

STEPS = 12
SMALL = {"modulus": 7, "width": 16, "data_fraction": 0.6, "corruption": 0.2, "weight_decay": 0.5}


def jordan(parameters, trial):
    """Muon as in Jordan's code (Nesterov momentum by lerp), written for matrices (outputs, inputs)."""
    buffers = [torch.zeros_like(p) for p in parameters]

    def newton_schulz(g):
        a, b, c = 3.4445, -4.7750, 2.0315
        x = g.t() if g.shape[0] > g.shape[1] else g
        x = x / x.norm()
        for _ in range(5):
            gram = x @ x.t()
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.t() if g.shape[0] > g.shape[1] else x

    def step(gradients):
        for p, g, buffer in zip(parameters, gradients, buffers, strict=True):
            buffer.lerp_(g, 1 - trial.momentum)
            update = newton_schulz(torch.lerp(g, buffer, trial.momentum))
            p.mul_(1 - trial.learning_rate * trial.weight_decay)
            p.sub_(trial.learning_rate * max(1, p.shape[0] / p.shape[1]) ** 0.5 * update)

    return step


def torch_adamw(parameters, trial):
    """AdamW with a group for each part: the last reads out, those before it embed."""

    def of(part, setting):
        own = getattr(trial, f"{part}_{setting}")
        return getattr(trial, setting) if own is None else own

    groups = [
        {"params": [p], "lr": of(part, "learning_rate"), "weight_decay": of(part, "weight_decay")}
        for p, part in zip(parameters, [*["embedding"] * (len(parameters) - 1), "readout"], strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, betas=trial.betas, eps=trial.eps)

    def step(gradients):
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.step()

    return step


def grokfast_ema(gradients, means, trial):
    """Lee et al.'s gradfilter_ema: grads = grads * alpha + grad * (1 - alpha); grad = grad + grads * lamb."""
    if not means:
        means.extend(g.clone() for g in gradients)
    for i, g in enumerate(gradients):
        means[i] = means[i] * trial.filter_memory + g * (1 - trial.filter_memory)
    return [g + m * trial.filter_strength for g, m in zip(gradients, means, strict=True)]


def perp_grad(gradients, parameters):
    """Prieto et al.'s orthogonalize_gradients, parameter by parameter."""
    out = []
    for g, p in zip(gradients, parameters, strict=True):
        rest = g - (p.flatten() @ g.flatten()) / (p.flatten() @ p.flatten()) * p
        out.append(rest * g.norm() / rest.norm())
    return out


def losses(scores, targets, trial):
    scores = scores * trial.output_scale / trial.temperature
    if trial.loss == "mse":
        return (scores - F.one_hot(targets, scores.shape[1])).square().mean()
    if trial.loss == "stablemax":  # s(x) = x + 1 for x >= 0, 1 / (1 - x) below
        s = torch.where(scores < 0, 1 / (1 - scores), scores + 1)
        return -torch.log(s[range(len(targets)), targets] / s.sum(dim=1)).mean()
    if trial.loss == "hinge":
        margins = [
            1 + max(v for i, v in enumerate(row) if i != t) - row[t] for row, t in zip(scores, targets, strict=True)
        ]
        return torch.stack([m.clamp(min=0) for m in margins]).mean()
    return F.cross_entropy(scores, targets)


CASES = {
    "muon": {"optimizer": "muon", "momentum": 0.95},
    "muon on cross entropy": {"optimizer": "muon", "momentum": 0.9, "loss": "cross_entropy"},
    "grokfast": {"gradient": "grokfast", "filter_strength": 3.0, "filter_memory": 0.8},
    "orthogonal": {"gradient": "orthogonal", "loss": "cross_entropy"},
    "parts": {
        **{"embedding_learning_rate": 0.003, "embedding_weight_decay": 4.0},
        **{"readout_learning_rate": 0.02, "readout_weight_decay": 2.0},
    },
    "stablemax": {"loss": "stablemax"},
    "hinge": {"loss": "hinge", "activation": "relu"},
    "temperature": {"loss": "cross_entropy", "temperature": 0.2},
    "output scale": {"output_scale": 3.0},
    "permutations": {"task": "operation", "table": "S3"},
    "division": {"task": "operation", "table": "division"},
    "parity": {"task": "sparse_parity", "n_bits": 10, "k_bits": 3, "n_samples": 60},
}


@pytest.mark.parametrize("name", CASES)
def test_a_network_moves_as_by_the_authors_formula(name):
    trial = trial_of(**{**SMALL, "steps": STEPS, "learning_rate": 0.01, **CASES[name]})
    examples = examples_of(trial)
    parameters, forward = plain_mlp(trial, examples.dataset)
    for parameter in parameters:
        parameter.requires_grad_()
    move = (jordan if trial.optimizer == "muon" else torch_adamw)(parameters, trial)
    rows, targets = torch.from_numpy(examples.train), torch.from_numpy(examples.given)
    made = [kernel([trial], [examples], CPU) for kernel in (FunctionalKernel, make_kernel)]
    means = []
    with steady_arithmetic():
        for kernel in made:
            kernel.advance([0], 0, STEPS)
    for _ in range(STEPS):
        gradients = torch.autograd.grad(losses(forward(rows, None, None), targets, trial), parameters)
        with torch.no_grad():
            if trial.gradient == "grokfast":
                gradients = grokfast_ema(gradients, means, trial)
            if trial.gradient == "orthogonal":
                gradients = perp_grad(gradients, parameters)
            move(gradients)
    names = ("U", "V", "W") if examples.dataset.tokens else ("input", "W")
    for kernel in made:
        for key, part in zip(names, parameters, strict=True):
            torch.testing.assert_close(kernel.weights(0)[key], part.detach(), rtol=2e-3, atol=2e-4)


def test_orthogonalizing_brings_singular_values_near_one():
    values = torch.linalg.svdvals(orthogonalized(torch.randn(3, 24, 16)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_losses_have_their_known_values():
    scores, targets = torch.tensor([[1.0, -1.0, 0.0], [0.0, 3.0, 1.0]]), torch.tensor([0, 2])
    s = [[2.0, 0.5, 1.0], [1.0, 4.0, 2.0]]
    expected = [-math.log(row[t] / sum(row)) for row, t in zip(s, (0, 2), strict=True)]
    assert stablemax(scores, targets).tolist() == pytest.approx(expected)
    assert hinge(scores, targets).tolist() == pytest.approx([0.0, 3.0])


def test_a_filter_goes_on_from_a_checkpoint_to_the_bit():
    trial = trial_of(**{**SMALL, "steps": STEPS, "gradient": "grokfast", "optimizer": "muon"})
    examples = examples_of(trial)
    through, stopped, resumed = (ExplicitKernel([trial], [examples], CPU) for _ in range(3))
    with steady_arithmetic():
        through.advance([0], 0, STEPS)
        stopped.advance([0], 0, 5)
        resumed.load(stopped.state())
        resumed.advance([0], 5, STEPS)
    assert torch.equal(through.weights(0)["W"], resumed.weights(0)["W"])


def test_muon_with_norm_layers_goes_on_from_a_checkpoint_to_the_bit():
    trial = trial_of(**{**SMALL, "steps": STEPS, "norm": "layer", "optimizer": "muon", "gradient": "orthogonal"})
    examples = examples_of(trial)
    through, stopped, resumed = (FunctionalKernel([trial], [examples], CPU) for _ in range(3))
    with steady_arithmetic():
        through.advance([0], 0, STEPS)
        stopped.advance([0], 0, 5)
        resumed.load(stopped.state())
        resumed.advance([0], 5, STEPS)
    assert torch.equal(through.weights(0)["gain.0"], resumed.weights(0)["gain.0"])
    assert torch.equal(through.weights(0)["W"], resumed.weights(0)["W"])
