"""The training engine against a plain one-hot autograd loop and the core's own matrix rate, in one process.

    python benchmarks/engine.py [--repeats 15]

Prints JSON: per setting the milliseconds a step and network of the explicit kernel, plain and fused (where numba is
installed), and of the loop, their ratios, and the share of the core's large-matrix rate that 6 B N p operations a step
amount to. One thread, by the process's own time. The rates of one machine vary from minute to minute, so all are
measured in turn, many times, and the medians of the ratios are given.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from common import report

from phasemap.planning.kernels import fused_available
from phasemap.study.networks import NETWORK_IDENTITY, NetworkTrial
from phasemap.tasks.examples import examples_of
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.initial import initial_mlp
from phasemap.training.population import steady_arithmetic

if fused_available():
    from phasemap.training.explicit_fused import FusedKernel

CPU = torch.device("cpu")
KERNELS = [ExplicitKernel, *([FusedKernel] if fused_available() else [])]


def trial(**settings: object) -> NetworkTrial:
    values = {**NETWORK_IDENTITY.defaults, "task": "modular_addition", **settings}
    return NetworkTrial(trial_id=NETWORK_IDENTITY.trial_id(values, 0), seed=0, values=values)


class PlainLoop:
    """One network as most people write it: one-hot inputs, autograd, torch.optim.AdamW.

    ``apart`` follows the definition, U e_m + V e_n, with one product per token; else the two one-hot inputs are
    concatenated before one product.
    """

    def __init__(self, trial: NetworkTrial, *, apart: bool) -> None:
        examples = examples_of(trial)
        p, pairs = trial.modulus, torch.from_numpy(examples.dataset.inputs[examples.train])
        one_hot = [F.one_hot(pairs[:, i], p).float() for i in (0, 1)]
        self.labels = torch.from_numpy(examples.given)
        self.targets = F.one_hot(self.labels, p).float()
        u, v, w = initial_mlp(trial, p).split(p)
        self.inputs = one_hot if apart else [torch.cat(one_hot, dim=1)]
        self.embeddings = [part.t().clone().requires_grad_() for part in ([u, v] if apart else [torch.cat([u, v])])]
        self.readout = w.clone().requires_grad_()
        self.optimizer = torch.optim.AdamW(
            [*self.embeddings, self.readout], lr=trial.learning_rate, betas=trial.betas, weight_decay=trial.weight_decay
        )
        self.trial = trial

    def scores(self, dropout: float) -> torch.Tensor:
        """Answer the training examples."""
        hidden = sum(x @ weights.t() for x, weights in zip(self.inputs, self.embeddings, strict=True))
        hidden = F.dropout(hidden, dropout)
        active = hidden**2 if self.trial.activation == "square" else torch.relu(hidden)
        return active @ self.readout.t()

    def accuracy(self) -> float:
        """Return the share of training examples that are answered as their labels say."""
        with torch.no_grad():
            return float((self.scores(0.0).argmax(dim=1) == self.labels).float().mean())

    def step(self) -> None:
        """Take one step."""
        self.optimizer.zero_grad()
        scores = self.scores(self.trial.dropout)
        loss = F.mse_loss(scores, self.targets) if self.trial.loss == "mse" else F.cross_entropy(scores, self.labels)
        loss.backward()
        self.optimizer.step()


def seconds(work: Callable[[], object], times: int) -> float:
    """Return this process's time on the CPU for one call: what else the machine does counts for little."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def matrix_rate(n: int = 2048) -> float:
    """Return the floating-point operations a second of one large product."""
    a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    return 2 * n**3 / seconds(lambda: torch.mm(a, b, out=out), 2)


class Pack:
    """A pack that goes on training by one kernel."""

    def __init__(self, base: NetworkTrial, size: int, kernel: type[ExplicitKernel]) -> None:
        trials = [
            NetworkTrial(trial_id=str(i), seed=i, values={**base.values, "weight_decay": float(i % 4)})
            for i in range(size)
        ]
        self.members, self.done = list(range(size)), 0
        self.kernel = kernel(trials, [examples_of(t) for t in trials], CPU)
        self.seconds(2)  # to warm up

    def seconds(self, steps: int) -> float:
        """Train on and return the seconds a step and network."""
        after, self.done = self.done, self.done + steps
        return seconds(lambda: self.kernel.advance(self.members, after, self.done), 1) / steps / len(self.members)


def measure(base: NetworkTrial, *, pack: int, steps: int, repeats: int) -> dict[str, float]:
    """Measure one setting: the kernels in turn, with dropout also without it, and the plain loops."""
    packs = {kernel.name: Pack(base, pack, kernel) for kernel in KERNELS}
    if base.dropout:
        packs |= {
            f"{k.name} without": Pack(dataclasses.replace(base, values={**base.values, "dropout": 0.0}), pack, k)
            for k in KERNELS
        }
    loops = {"loop": PlainLoop(base, apart=True), "concatenated": PlainLoop(base, apart=False)}
    operations = 6 * len(loops["loop"].labels) * base.width * base.modulus
    rows = []
    for turn in range(repeats):
        rate = matrix_rate()
        order = list(packs)[:: 1 if turn % 2 else -1]
        row = {name: packs[name].seconds(steps) for name in order}
        row |= {name: seconds(loop.step, max(3, steps // 2)) for name, loop in loops.items()}
        rows.append(row | {"full": operations / rate})
    found = {"matrix_gflops": round(operations / statistics.median(row["full"] for row in rows) / 1e9, 1)}
    for name in packs | loops:
        found[f"{name} ms"] = round(1e3 * statistics.median(row[name] for row in rows), 3)

    def ratio(what: str, slower: str, faster: str) -> None:
        found[what] = round(statistics.median(row[slower] / row[faster] for row in rows), 3)

    for kernel in (k.name for k in KERNELS):
        ratio(f"{kernel}: share of matrix rate", "full", kernel)
        ratio(f"{kernel}: times faster than loop", "loop", kernel)
        ratio(f"{kernel}: times faster than concatenated", "concatenated", kernel)
        if base.dropout:
            ratio(f"{kernel}: rate of that without dropout", f"{kernel} without", kernel)
    if len(KERNELS) > 1:
        ratio("fused: times faster than plain", *(k.name for k in KERNELS))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    large = {"modulus": 97, "width": 500, "data_fraction": 0.5}
    small = {"modulus": 31, "width": 128, "data_fraction": 0.6}
    with steady_arithmetic():
        results = {
            "p97_N500": measure(trial(**large), pack=1, steps=10, repeats=repeats),
            "p97_N500_relu": measure(trial(**large, activation="relu"), pack=1, steps=10, repeats=repeats),
            "p97_N500_cross_entropy": measure(trial(**large, loss="cross_entropy"), pack=1, steps=10, repeats=repeats),
            "p97_N500_dropout": measure(trial(**large, dropout=0.3), pack=1, steps=10, repeats=repeats),
            "p31_N128_pack32": measure(trial(**small), pack=32, steps=40, repeats=repeats),
        }
    report("engine", results, threads=1)


if __name__ == "__main__":
    main()
