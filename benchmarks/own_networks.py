"""A user's own network trained in packs, against the fastest plain loop over one network, on one core.

    python benchmarks/own_networks.py [--repeats 7] [--networks 128]

The networks are MLPs with biases on the digits (64 features), as a user's file has them. The plain loop is what is
usually written, at its fastest: batches sliced beforehand, torch.optim.AdamW fused or foreach, whichever is faster.
Prints milliseconds a step and network, by this process's own time, in turns, and the medians of the paired ratios;
and how far the losses of a pack are from those of each network alone over the first 50 steps.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import report
from torch import nn

from phasemap.study.file import load_study
from phasemap.study.networks import NetworkTrial
from phasemap.study.trials import expand, networks
from phasemap.tasks.examples import examples_of
from phasemap.training.kernel import make_kernel
from phasemap.training.networks import build_network
from phasemap.training.population import steady_arithmetic, train_pack

NETS = """
from torch import nn


class Net(nn.Module):
    def __init__(self, features, classes, *, width: int = 128, layers: int = 1):
        super().__init__()
        sizes = [features[0] * features[1] * features[2]] + [width] * layers
        hidden = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))

    def forward(self, x):
        return self.layers(x)
"""
STUDY = """
name: own
task: {{kind: images}}
model: {{kind: "nets.py:Net", width: {width}, layers: {layers}}}
training: {{steps: {steps}, loss: cross_entropy, learning_rate: 0.001, batch_size: {batch}}}
axes: {{weight_decay: [0.01]}}
fixed: {{data_fraction: 0.8}}
seeds: {seeds}
"""
SETTINGS = {  # (width, layers, batch size)
    "10,000 parameters, batches of 64": (128, 1, 64),
    "50,000 parameters, batches of 64": (180, 2, 64),
    "10,000 parameters, full batches": (128, 1, "full"),
}
CPU = torch.device("cpu")


def trials_of(folder: str, seeds: int, steps: int, setting: tuple[Any, ...]) -> list[NetworkTrial]:
    """Return the trials of one setting, a network each seed."""
    width, layers, batch = setting
    Path(folder, "nets.py").write_text(NETS)
    study = Path(folder, "study.yaml")
    study.write_text(STUDY.format(width=width, layers=layers, batch=batch, seeds=seeds, steps=steps))
    return networks(expand(load_study(study)))


class Pack:
    """Networks that go on training together."""

    def __init__(self, trials: Sequence[NetworkTrial]) -> None:
        self.members, self.done = list(range(len(trials))), 0
        self.kernel = make_kernel(trials, [examples_of(trial) for trial in trials], CPU)

    def steps(self, count: int) -> None:
        """Train all networks on for so many steps."""
        self.kernel.advance(self.members, self.done, self.done + count)
        self.done += count


class Plain:
    """One network as its user would train it, with its batches sliced beforehand."""

    def __init__(self, trial: NetworkTrial, **fastest: bool) -> None:
        examples = examples_of(trial)
        self.network: nn.Module = build_network(trial, examples.dataset).own  # type: ignore[assignment]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=0.001, betas=(0.9, 0.98), weight_decay=0.01, **fastest
        )
        inputs = torch.from_numpy(examples.dataset.inputs[examples.train]).reshape(-1, *examples.dataset.example_shape)
        labels = torch.from_numpy(examples.given)
        size = len(labels) if trial.batch_size == "full" else int(trial.batch_size)
        self.batches = list(zip(inputs.split(size), labels.split(size), strict=True))[: len(labels) // size]
        self.done = 0

    def steps(self, count: int) -> None:
        """Train on for so many steps."""
        for number in range(self.done, self.done + count):
            inputs, labels = self.batches[number % len(self.batches)]
            self.optimizer.zero_grad()
            F.cross_entropy(self.network(inputs), labels).backward()
            self.optimizer.step()
        self.done += count


def seconds(work: Callable[[int], None], count: int) -> float:
    started = time.process_time()
    work(count)
    return (time.process_time() - started) / count


def measure(setting: tuple[Any, ...], n_networks: int, repeats: int) -> dict[str, Any]:
    """Measure one setting."""
    with tempfile.TemporaryDirectory() as folder:
        trials = trials_of(folder, n_networks, 50, setting)
        pack = Pack(trials)
        plain = {"fused": Plain(trials[0], fused=True), "foreach": Plain(trials[0], foreach=True)}
        count = 40 if setting[2] == 64 else 10
        for one in (pack, *plain.values()):
            one.steps(5)
        rows = []
        for turn in range(repeats):
            order: dict[str, Any] = {"pack": pack, **plain}
            names = list(order)[:: 1 if turn % 2 else -1]
            rows.append({name: seconds(order[name].steps, count * (1 if name == "pack" else 8)) for name in names})
        each = [{**row, "pack": row["pack"] / n_networks} for row in rows]
        together = train_pack(trials[:8], device=CPU)
        alone = [train_pack([trial], device=CPU)[0] for trial in trials[:8]]
    apart = [
        np.max(np.abs(np.divide(a.curves["train_loss"], b.curves["train_loss"]) - 1))
        for a, b in zip(together, alone, strict=True)
    ]
    return {
        "parameters": sum(p.numel() for p in plain["fused"].network.parameters()),
        **{f"{name}_ms": round(1e3 * statistics.median(row[name] for row in each), 4) for name in each[0]},
        "times_faster": round(statistics.median(min(r["fused"], r["foreach"]) / r["pack"] for r in each), 2),
        "largest_relative_deviation_over_50_steps": float(f"{max(apart):.2g}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--networks", type=int, default=128)
    given = parser.parse_args()
    with steady_arithmetic():
        results = {name: measure(setting, given.networks, given.repeats) for name, setting in SETTINGS.items()}
    report("own_networks", results, networks=given.networks)


if __name__ == "__main__":
    main()
