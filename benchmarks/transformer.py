"""Transformer populations against one-at-a-time training, in one process and on one thread.

    python benchmarks/transformer.py [--repeats 5]

Prints JSON: per width and batch the milliseconds a step and network of the population, of the same module (which leaves
out what the last token does not need) trained one network at a time with autograd and torch.optim.AdamW, and of the
Transformer as it is usually written (every token through every projection and the MLP), also one at a time; and the
ratios. No population can be faster than its matrix products and the optimizer's pass over the weights: their time
alone, in the population's shapes, is given as ``floor``, and the ratio that it would allow as ``ratio_at_floor``. All
are measured in turn, several times; medians are given.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
from collections.abc import Callable
from importlib.metadata import version

import torch
import torch.nn.functional as F
from engine import CPU, seconds, trial

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import examples_of
from phasemap.training.explicit_transformer import TransformerKernel
from phasemap.training.losses import mse
from phasemap.training.networks import build_network
from phasemap.training.optimizers import AdamW, OptimizerSettings
from phasemap.training.population import steady_arithmetic
from phasemap.training.transformer import Transformer

SETTINGS = [
    {"modulus": 31, "width": 32, "batch_size": 64},
    {"modulus": 31, "width": 64, "batch_size": 64},
    {"modulus": 31, "width": 128, "batch_size": 64},
    {"modulus": 31, "width": 32, "batch_size": "full"},
    {"modulus": 31, "width": 128, "batch_size": "full"},
    {"modulus": 97, "width": 128, "batch_size": "full"},
]
PACKS = {32: 32, 64: 16, 128: 8}


class UsualTransformer(torch.nn.Module):
    """The same function of the same weights, written as usual: all tokens through all layers."""

    def __init__(self, trial: NetworkTrial, n_classes: int) -> None:
        super().__init__()
        self.inner, self.heads = Transformer(trial, n_classes), trial.heads

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return scores (B, p) of pairs (B, 2)."""
        net, block = self.inner, self.inner.blocks[0]
        x = net.E[pairs]  # (B, 2, d)
        split = (len(pairs), 2, self.heads, x.shape[2] // self.heads)
        q, k, v = ((x @ w.t()).view(split).transpose(1, 2) for w in (block.query, block.key, block.value))
        taken = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + taken @ block.out.t()
        x = x + torch.relu(x @ block.up.t()) @ block.down.t()
        return x[:, -1] @ net.W.t() / x.shape[2]


def one_at_a_time(trial: NetworkTrial, make: Callable[[], torch.nn.Module]) -> Callable[[], None]:
    """Return one training step of a module with autograd and torch.optim.AdamW on the trial's first batch."""
    examples, module = examples_of(trial), make()
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=trial.learning_rate, betas=trial.betas, weight_decay=trial.weight_decay
    )
    rows = slice(None) if trial.batch_size == "full" else slice(int(trial.batch_size))
    pairs = torch.from_numpy(examples.dataset.inputs[examples.train[rows]])
    labels = torch.from_numpy(examples.given[rows])

    def step() -> None:
        optimizer.zero_grad()
        mse(module(pairs), labels).mean().backward()
        optimizer.step()

    return step


def floor(networks: int, rows: int, trial: NetworkTrial) -> Callable[[], None]:
    """Return the products of one training step of a group of networks, and its optimizers' updates; nothing else."""
    p, d, hidden = trial.modulus, trial.width, trial.mlp_factor * trial.width
    layers = [(p, d, 3 * d), (rows, d, d), (rows, d, hidden), (rows, hidden, d), (rows, d, p)]
    arrays = []
    for n, i, o in layers:  # inputs, weights, outputs, and what is computed: outputs, gradients of both
        shapes = [(n, i), (o, i), (n, o), (n, o), (n, i), (o, i)]
        arrays.append([torch.rand(networks, *shape) for shape in shapes])
    weights = torch.rand(networks, sum(w[0].numel() for _, w, *_ in arrays) + p * d)
    gradient = torch.rand_like(weights)
    optimizers = [AdamW(w, OptimizerSettings.of(trial)) for w in weights]

    def step() -> None:
        for x, w, y, out, to_x, to_w in arrays:
            torch.bmm(x, w.transpose(1, 2), out=out)
            torch.bmm(y, w, out=to_x)
            torch.bmm(y.transpose(1, 2), x, out=to_w)
        for optimizer, part in zip(optimizers, gradient, strict=True):
            optimizer.step(part, 1)

    return step


def measure(settings: dict[str, object], repeats: int) -> dict[str, object]:
    """Measure one setting; times in milliseconds a step and network."""
    one = trial(
        model="transformer",
        depth=1,
        activation="relu",
        learning_rate=1e-3,
        weight_decay=1.0,
        data_fraction=0.5,
        **settings,
    )
    examples = examples_of(one)
    trials = [dataclasses.replace(one, seed=seed) for seed in range(PACKS[one.width])]
    kernel = TransformerKernel(trials, [examples_of(t) for t in trials], CPU)
    same = one_at_a_time(one, lambda: build_network(one, examples.dataset))
    usual = one_at_a_time(one, lambda: UsualTransformer(one, one.modulus))
    taken = 0

    def population() -> None:
        nonlocal taken
        kernel.advance(range(len(trials)), taken, taken + 1)
        taken += 1

    rows = len(examples.train) if one.batch_size == "full" else int(one.batch_size)
    together = len(kernel.groups[0].members)
    least = floor(together, rows, one)
    works = {"population": population, "same_module": same, "usual_module": usual, "floor": least}
    times = {"population": 3, "same_module": 8, "usual_module": 8, "floor": 8}
    for work in works.values():
        work()
    rounds = []
    for _ in range(repeats):
        rounds.append({name: seconds(work, times[name]) for name, work in works.items()})
    for found in rounds:
        found["population"] /= len(trials)
        found["floor"] /= together
    median = statistics.median
    return {
        **settings,
        "pack": len(trials),
        "ms": {name: round(1e3 * median(r[name] for r in rounds), 3) for name in works},
        "ratio_to_same_module": round(median(r["same_module"] / r["population"] for r in rounds), 2),
        "ratio_to_usual_module": round(median(r["usual_module"] / r["population"] for r in rounds), 2),
        "ratio_at_floor": round(median(r["same_module"] / r["floor"] for r in rounds), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with steady_arithmetic():
        found = [measure(settings, repeats) for settings in SETTINGS]
    machine = {"platform": platform.platform(), "torch": version("torch"), "python": platform.python_version()}
    print(json.dumps({"benchmark": "transformer", "machine": machine, "threads": 1, "results": found}, indent=2))


if __name__ == "__main__":
    main()
