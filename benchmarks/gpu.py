"""Is what a GPU trains right, and how fast is it? One command of at most eight minutes on a machine with a CUDA card.

    python benchmarks/gpu.py                        # on the first card
    python benchmarks/gpu.py --device cpu --tiny    # a smoke test: every part runs, its numbers mean nothing

Needs torch, numpy, pandas, pyarrow and phasemap (with pydantic and PyYAML; no Ray, no SciPy). Prints one JSON document
on stdout and the README's table on stderr. The checks come first: labels of a small grid and curves against the CPU's,
the loss against a plain autograd loop, a repetition and a continued checkpoint to the bit, and each kind of network;
the exit code is 1 if one fails. Then it measures, until the time is over: what is left out then is named.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from phasemap._version import __version__
from phasemap.phases.labelling import label_frame
from phasemap.study.networks import NETWORK_IDENTITY, NetworkTrial
from phasemap.study.spec import PhaseRule
from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.cards import card_here
from phasemap.training.costs import card_bytes
from phasemap.training.cuda import SWITCH
from phasemap.training.grouped import GroupedKernel
from phasemap.training.initial import initial_mlp
from phasemap.training.kernel import make_kernel
from phasemap.training.population import steady_arithmetic, train_pack
from phasemap.training.recording import Hooks, TrialResult, record_steps
from phasemap.training.timing import wait_for

CPU = torch.device("cpu")
SECONDS = 480.0
NEAR_LOSS, SAME_LABELS = 1e-3, 0.9  # how near losses must be, and how many labels of the grid the same
SMALL = {"modulus": 23, "width": 64, "steps": 400, "data_fraction": 0.6}
TINY = {"modulus": 7, "width": 16, "steps": 12, "data_fraction": 0.6, "heads": 2}
PAPER = {"modulus": 97, "width": 500, "steps": 2000, "data_fraction": 0.5}
KINDS: dict[str, dict[str, Any]] = {
    "two layers, square": {},
    "two layers, ReLU, cross entropy": {"activation": "relu", "loss": "cross_entropy"},
    "two layers, dropout": {"dropout": 0.3},
    "two layers, minibatches": {"batch_size": 16},
    "BatchNorm": {"norm": "batch"},
    "four layers": {"depth": 4, "activation": "relu", "learning_rate": 0.003},
    "Transformer": {"model": "transformer", "width": 32, "heads": 4, "activation": "relu", "learning_rate": 0.003},
    "features": {"task": "arrays", "activation": "relu", "width": 32},
}
FIGURE_3A = {"fractions": np.linspace(0.1, 0.9, 17), "networks": 76}


class Budget:
    """The time that is left."""

    def __init__(self, seconds: float) -> None:
        self.end, self.left_out = time.perf_counter() + seconds, list[str]()

    def allows(self, what: str) -> bool:
        """Whether there is time for something; if not, it is noted."""
        if time.perf_counter() < self.end:
            return True
        self.left_out.append(what)
        return False


def trials_of(number: int, **settings: Any) -> list[NetworkTrial]:
    """Return so many trials that differ by seed and weight decay."""
    made = []
    for seed in range(number):
        values = {**NETWORK_IDENTITY.defaults, "task": "modular_addition", "weight_decay": float(seed % 4), **settings}
        made.append(NetworkTrial(trial_id=NETWORK_IDENTITY.trial_id(values, seed), seed=seed, values=values))
    return made


def kernel_of(trials: list[NetworkTrial], device: torch.device) -> GroupedKernel:
    """Make the kernel that a GPU uses, also where the device is a CPU."""
    examples = [examples_of(trial) for trial in trials]
    gpus = device.type == "cpu" and trials[0].model == "mlp" and trials[0].depth == 2 and trials[0].norm == "none"
    if gpus and examples[0].dataset.tokens:
        return BatchedKernel(trials, examples, device)
    return make_kernel(trials, examples, device)


def train(trials: list[NetworkTrial], device: torch.device, **hooks: Any) -> list[TrialResult]:
    """Train a pack with its weights, as a worker does."""
    return train_pack(
        trials, device=device, record=("weights",), hooks=Hooks(**hooks), kernel=lambda t, _, d: kernel_of(list(t), d)
    )


def labels(results: list[TrialResult]) -> list[str]:
    """Label trained networks from their curves."""
    tables = []
    for result in results:
        table = pd.DataFrame({name: np.asarray(curve) for name, curve in result.curves.items()})
        facts = {name: result.facts[name] for name in result.facts}
        tables.append(
            table.assign(
                **facts, step=result.steps, **{"trial_id": result.trial.trial_id}, corruption=result.trial.corruption
            )
        )
    found = label_frame(pd.concat(tables, ignore_index=True), PhaseRule())
    return [str(found.loc[result.trial.trial_id, "subphase"]) for result in results]


def far(results: list[TrialResult], others: list[TrialResult]) -> float:
    """Return by how much, in relation, training losses differ at most."""
    pairs = [(r.curves["train_loss"], o.curves["train_loss"]) for r, o in zip(results, others, strict=True)]
    return max(float(np.max(np.abs(np.subtract(a, b)) / np.abs(b))) for a, b in pairs)


def check_grid(device: torch.device, base: dict[str, Any]) -> dict[str, Any]:
    """Compare the labels of a small grid with those of the CPU's kernel."""
    grid = list(itertools.product((0.0, 0.15, 0.3, 0.45), (0.0, 2.0, 8.0)))
    pairs = [trials_of(1, **base | {"corruption": c, "weight_decay": w})[0] for c, w in grid]
    here = labels(train(pairs, device))
    there = labels(train_pack(pairs, device=CPU))
    same = float(np.mean([a == b for a, b in zip(here, there, strict=True)]))
    return {"same_labels": round(same, 3), "trials": len(grid), "passed": same >= SAME_LABELS}


def check_loop(device: torch.device, base: dict[str, Any]) -> dict[str, Any]:
    """Compare fifty steps with a plain loop: one-hot inputs, autograd, torch.optim.AdamW, on the CPU."""
    (trial,) = trials_of(1, **base | {"steps": min(50, base["steps"]), "weight_decay": 2.0})
    seen = examples_of(trial)
    p, inputs = trial.modulus, torch.from_numpy(seen.dataset.inputs[seen.train])
    one_hot = [F.one_hot(inputs[:, i], p).float() for i in (0, 1)]
    targets = F.one_hot(torch.from_numpy(seen.given), p).float()
    u, v, w = (part.clone().requires_grad_() for part in initial_mlp(trial, p).split(p))
    optimizer = torch.optim.AdamW(
        [u, v, w], lr=trial.learning_rate, betas=trial.betas, eps=trial.eps, weight_decay=trial.weight_decay
    )
    losses = {}
    for step in range(1, trial.steps + 1):
        optimizer.zero_grad()
        F.mse_loss((one_hot[0] @ u + one_hot[1] @ v).square() @ w.t(), targets).backward()
        optimizer.step()
        with torch.no_grad():
            losses[step] = float(F.mse_loss((one_hot[0] @ u + one_hot[1] @ v).square() @ w.t(), targets))
    (result,) = train([trial], device)
    most = max(
        abs(loss / losses[step] - 1) for step, loss in zip(result.steps, result.curves["train_loss"], strict=True)
    )
    return {"largest_difference": most, "passed": most < NEAR_LOSS}


def check_repeat(device: torch.device, base: dict[str, Any]) -> dict[str, Any]:
    """Train a pack with dropout twice, and once more from a checkpoint: the weights must be the same to the bit."""
    trials, saved = trials_of(4, **base | {"dropout": 0.2, "steps": min(60, base["steps"])}), list[bytes]()
    first = train(trials, device, save=saved.append, save_seconds=0.0)
    runs = {"repeated": train(trials, device), "continued": train(trials, device, saved=saved[len(saved) // 2])}
    found: dict[str, Any] = {
        name: all(
            np.array_equal(a.weights[part], b.weights[part])
            for a, b in zip(first, again, strict=True)
            if a.weights is not None and b.weights is not None
            for part in a.weights
        )
        for name, again in runs.items()
    }
    return found | {"passed": all(found.values())}


def check_kind(device: torch.device, settings: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Train one kind of network; without random draws its losses must be near the CPU's."""
    trials = trials_of(3, **base | settings | {"steps": min(40, base["steps"])})
    results = train(trials, device)
    finite = all(result.status == "ok" for result in results)
    if trials[0].dropout or trials[0].batch_size != "full":  # a CPU draws others
        return {"finite": finite, "passed": finite}
    most = far(results, train_pack(trials, device=CPU))
    return {"largest_difference": most, "passed": finite and most < 10 * NEAR_LOSS}


def told(check: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Return what a check finds, or how it failed."""
    try:
        return check(*arguments)
    except Exception as error:  # a benchmark must tell all that it finds
        return {"passed": False, "error": f"{type(error).__name__}: {str(error)[:300]}"}


def _features(folder: str) -> str:
    """Write a data set of features, whose classes a linear map tells, and return its path."""
    draws = np.random.default_rng(0)
    inputs = draws.normal(size=(300, 20)).astype(np.float32)
    labels = (inputs @ draws.normal(size=(20, 4))).argmax(axis=1)
    path = Path(folder) / "features.npz"
    np.savez(path, X=inputs, y=labels)
    return str(path)


def checks(device: torch.device, budget: Budget, *, tiny: bool) -> dict[str, Any]:
    """Return what every check found."""
    base = TINY if tiny else SMALL
    found = {"repeat": told(check_repeat, device, base), "plain loop": told(check_loop, device, base)}
    with tempfile.TemporaryDirectory() as folder:
        arrays = {"path": _features(folder)}
        for kind, settings in KINDS.items():
            if budget.allows(kind):
                own = arrays if settings.get("task") == "arrays" else {}
                found[kind] = told(check_kind, device, settings | own, base)
    if budget.allows("labels of a grid"):
        found["labels of a grid"] = told(check_grid, device, base)
    return found


@contextmanager
def graphs(*, wanted: bool) -> Iterator[None]:
    """Let kernels that are made here record their steps as CUDA graphs, or not."""
    before = os.environ.pop(SWITCH, None)
    os.environ |= {SWITCH: "1"} if wanted else {}
    try:
        yield
    finally:
        os.environ.pop(SWITCH, None)
        os.environ |= {SWITCH: before} if before is not None else {}


def seconds(work: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def product_rate(precision: str, device: torch.device, n: int) -> float:
    """Return the operations a second of large products."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        seconds(lambda: a @ b, device)
        return max(2 * n**3 * 5 / seconds(lambda: [a @ b for _ in range(5)], device) for _ in range(3))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def speed(
    trials: list[NetworkTrial], device: torch.device, rates: dict[str, float], *, graphed: bool, at_least: float
) -> dict[str, Any]:
    """Measure the steps and a record of a pack, and what it takes of the card's memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    free = torch.cuda.memory_allocated() if device.type == "cuda" else 0
    members = list(range(len(trials)))
    with steady_arithmetic(), graphs(wanted=graphed):
        kernel = kernel_of(trials, device)
        kernel.advance(members, 0, 8)
        kernel.evaluate(members)
        done, steps, spent = 8, 8, 0.0
        while spent < at_least:
            after = done
            spent = seconds(lambda: kernel.advance(members, after, after + steps), device)  # noqa: B023
            done, per_step, steps = done + steps, spent / steps, steps * 2
        record = seconds(lambda: kernel.evaluate(members), device)
    first, rows = trials[0], len(examples_of(trials[0]).train)
    operations = 6 * rows * first.width * first.modulus * len(trials)
    found: dict[str, Any] = {
        "milliseconds_a_step": 1e3 * per_step,
        "milliseconds_a_record": 1e3 * record,
        "networks_a_second": len(trials) / (per_step * first.horizon + record * len(record_steps(first.horizon))),
        "share_of_product_rate": operations / per_step / rates[first.precision],
    }
    if device.type == "cuda":
        found["megabytes_a_network"] = (torch.cuda.max_memory_allocated() - free) / 1e6 / len(trials)
        found["megabytes_computed"] = card_bytes(first) / 1e6
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def cases(
    device: torch.device, precisions: tuple[str, ...], *, tiny: bool
) -> Iterator[tuple[str, int, dict[str, Any], bool]]:
    """Yield what is measured, the most important first: its name, networks, settings, and whether steps are graphs."""
    base = TINY if tiny else PAPER
    little = TINY if tiny else {"modulus": 31, "width": 128, "steps": 1000, "data_fraction": 0.75}
    on_a_card = device.type == "cuda"
    for number in (1, 2) if tiny else (64, 1, 8, 256):
        yield "p 97, N 500", number, base, False
    number = 2 if tiny else 64
    for precision in precisions[1:]:
        yield f"the same, {precision}", number, base | {"precision": precision}, False
    yield "the same, dropout 0.3", number, base | {"dropout": 0.3}, False
    yield "the same, minibatches of 256", number, base | {"batch_size": 8 if tiny else 256}, False
    if on_a_card:
        yield "the same, CUDA graphs", number, base, True
    for graphed in (False, True) if on_a_card else (False,):
        for many in (2,) if tiny else (64, 1024):
            yield f"p 31, N 128{', CUDA graphs' if graphed else ''}", many, little, graphed


def measured(device: torch.device, budget: Budget, precisions: tuple[str, ...], *, tiny: bool) -> dict[str, Any]:
    """Measure every case for which there is time."""
    rates = {precision: product_rate(precision, device, 64 if tiny else 8192) for precision in precisions}
    rows: list[dict[str, Any]] = []
    for name, number, settings, graphed in cases(device, precisions, tiny=tiny):
        if budget.allows(f"{name}, {number} networks"):
            found = attempt(trials_of(number, **settings), device, rates, graphed=graphed, tiny=tiny)
            rows.append({"setting": f"tiny networks for: {name}" if tiny else name, "networks": number, **found})
    return {
        "teraflops_of_products": {name: float(f"{rate / 1e12:.4g}") for name, rate in rates.items()},
        "speed": rows,
        "figure_3a": figure_3a(device, budget, rates, tiny=tiny),
    }


def attempt(
    trials: list[NetworkTrial], device: torch.device, rates: dict[str, float], *, graphed: bool, tiny: bool
) -> dict[str, Any]:
    """Return what was measured of a pack, or why it could not be."""
    try:
        return speed(trials, device, rates, graphed=graphed, at_least=0.01 if tiny else 1.5)
    except (RuntimeError, MemoryError) as error:  # out of memory is a RuntimeError
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def figure_3a(device: torch.device, budget: Budget, rates: dict[str, float], *, tiny: bool) -> dict[str, Any]:
    """Compute figure 3a's time from packs of 76 networks at five of its 17 data fractions."""
    base, number = (TINY, 2) if tiny else (PAPER, FIGURE_3A["networks"])
    fractions, found = FIGURE_3A["fractions"], dict[float, float]()
    for fraction in fractions[[8, 0, 16]] if tiny else fractions[[8, 0, 16, 4, 12]]:
        if budget.allows(f"figure 3a, data fraction {fraction:.2f}"):
            trials = trials_of(number, **base | {"data_fraction": float(fraction)})
            row = attempt(trials, device, rates, graphed=False, tiny=tiny)
            if "error" not in row:
                found[float(fraction)] = number / row["networks_a_second"]
    if not found:
        return {"error": "nothing was measured"}
    known = sorted(found)
    packs = np.interp(fractions, known, [found[fraction] for fraction in known])
    return {"seconds": float(f"{packs.sum():.4g}"), "measured_data_fractions": known, "networks": 17 * number}


def table(document: dict[str, Any]) -> str:
    """Put the results into the README's table."""
    head = f"{document['device']}, torch {document['torch']}, phasemap {document['phasemap']}"
    if document["tiny"]:
        head += ": A SMOKE TEST OF TINY NETWORKS, NO MEASUREMENT"
    lines = [
        head,
        "",
        "| setting | networks at once | ms a step | networks a second | of the product rate | MB a network |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for row in document["measured"]["speed"]:
        if "error" in row:
            lines.append(f"| {row['setting']} | {row['networks']} | {row['error']} | | | |")
            continue
        lines.append(
            f"| {row['setting']} | {row['networks']} | {row['milliseconds_a_step']:g} | {row['networks_a_second']:g} | "
            f"{100 * row['share_of_product_rate']:.0f} % | {row.get('megabytes_a_network', '')} |"
        )
    figure = document["measured"]["figure_3a"]
    if "seconds" in figure:
        lines += ["", f"Figure 3a, computed from packs at some data fractions: {figure['seconds']:g} s"]
    failed = [name for name, found in document["checks"].items() if not found["passed"]]
    lines.append(f"Checks that failed: {', '.join(failed) or 'none'}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: a smoke test")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which no further part is begun")
    options = parser.parse_args()
    card = card_here()
    if options.device == "cuda" and card is None:
        sys.exit("gpu.py: PyTorch finds no CUDA device here; allowed: --device cpu --tiny, a smoke test")
    if options.device == "cpu" and not options.tiny:
        sys.exit("gpu.py: --device cpu measures nothing of a GPU; allowed: --device cpu --tiny, a smoke test")
    device = torch.device(options.device)
    on_card = card if device.type == "cuda" else None
    budget = Budget(options.seconds - (60 if options.seconds > 120 else 0))  # the last part takes a while, too
    started = time.perf_counter()
    document: dict[str, Any] = {
        "benchmark": "gpu",
        "device": str(on_card) if on_card else "CPU",
        "card": dataclasses.asdict(on_card) if on_card else None,
        "tiny": options.tiny,
        "phasemap": __version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "checks": checks(device, budget, tiny=options.tiny),
        "measured": measured(device, budget, on_card.precisions if on_card else ("full",), tiny=options.tiny),
        "left_out": budget.left_out,
    }
    document["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(document, indent=2))
    print(table(document), file=sys.stderr)
    sys.exit(0 if all(found["passed"] for found in document["checks"].values()) else 1)


if __name__ == "__main__":
    main()
