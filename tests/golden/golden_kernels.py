"""What the explicit kernels compute: curves of 50 steps and the weights after them, to the bit where bits can be met.

Bits depend on the processor (which products a library takes) and on the libraries, so these stand beside them.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from golden_files import Golden, differences

from phasemap.results.provenance import surroundings
from phasemap.study.names import ACCURACIES, QUANTITIES
from phasemap.study.networks import NETWORK_IDENTITY, NetworkTrial
from phasemap.training.kernel import make_kernel
from phasemap.training.population import train_pack

STEPS = 50
NEAR = 1e-4  # relative, of losses and norms elsewhere
HITS = 2  # examples that may be answered otherwise elsewhere
LIBRARIES = ("torch", "numpy", "numba")

TOKENS = {"task": "modular_addition", "modulus": 11, "width": 24, "steps": STEPS, "data_fraction": 0.7}
FEATURES = {"task": "arrays", "path": "data.npz", "width": 16, "steps": STEPS, "data_fraction": 0.6}
TRANSFORMER = TOKENS | {"model": "transformer", "width": 16, "depth": 1, "heads": 2, "learning_rate": 0.003}

CASES: dict[str, dict[str, Any]] = {
    "mlp on tokens": TOKENS | {"corruption": 0.2, "weight_decay": 2.0},
    "mlp on tokens, dropout": TOKENS | {"corruption": 0.2, "dropout": 0.3},
    "mlp on tokens, relu and cross entropy": TOKENS | {"activation": "relu", "loss": "cross_entropy", "seed": 3},
    "mlp on tokens, multiplication and several blocks": TOKENS
    | {"task": "modular_multiplication", "modulus": 29, "width": 320, "corruption": 0.4, "weight_decay": 10.0},
    "mlp on features": FEATURES | {"corruption": 0.3, "weight_decay": 1.0},
    "mlp on features, relu, cross entropy and dropout": FEATURES
    | {"activation": "relu", "loss": "cross_entropy", "dropout": 0.2},
    "transformer": TRANSFORMER | {"corruption": 0.2, "weight_decay": 0.5},
    "transformer, cross entropy, dropout and tied weights": TRANSFORMER
    | {"loss": "cross_entropy", "dropout": 0.1, "weight_tying": True, "activation": "relu"},
}


FUSED = tuple(name for name in CASES if "on tokens" in name)
"""What the fused kernel trains too, where numba is installed."""


def trial_of(**settings: Any) -> NetworkTrial:
    """Return a trial with everything else at its default."""
    seed = settings.pop("seed", 0)
    values = {**NETWORK_IDENTITY.defaults, **settings}
    return NetworkTrial(trial_id=NETWORK_IDENTITY.trial_id(values, seed), seed=seed, values=values)


def write_data() -> None:
    """Write the arrays of the features: points around three centres."""
    source = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez("data.npz", X=np.eye(3)[y].repeat(2, axis=1) + 0.25 * source.standard_normal((60, 6)), y=y)


@cache
def environment() -> dict[str, str]:
    """Return what bits depend on, of this machine."""
    return {
        "processor": surroundings()["processor"],
        "capability": torch.backends.cpu.get_cpu_capability(),
        **{name: version(name) for name in LIBRARIES if find_spec(name)},
    }


def make(name: str, *, fused: bool = False) -> dict[str, Any]:
    """Train a case alone by the kernel that covers it, or by its fused form."""
    write_data()
    settings = CASES[name]
    trial = trial_of(**settings)
    kernel = partial(make_kernel, fused=fused)
    (result,) = train_pack([trial], device=torch.device("cpu"), record=("weights",), kernel=kernel)
    assert trial.explicit
    assert result.weights is not None
    parts = [np.ascontiguousarray(result.weights[name]).tobytes() for name in sorted(result.weights)]
    return {
        "environment": environment(),
        "kernel": result.kernel,
        "settings": {k: v for k, v in {"seed": trial.seed, **trial.settings}.items() if k in settings},
        "n_train": result.facts["n_train"],
        "n_corrupted": result.facts["n_corrupted"],
        "steps": result.steps,
        "curves": {name: result.curves[name] for name in QUANTITIES},
        "weights": {name: list(part.shape) for name, part in result.weights.items()},
        "weights_sha256": hashlib.sha256(b"".join(parts)).hexdigest(),
    }


def compare(golden: Any, found: Any) -> list[str]:
    """Compare to the bit where processor and libraries are those of the golden file, else within NEAR and HITS."""
    if golden["environment"] == found["environment"]:
        return differences(golden, found)
    left_out = ("environment", "curves", "weights_sha256")
    told = differences(*({k: v for k, v in one.items() if k not in left_out} for one in (golden, found)))
    for name, values in golden["curves"].items():
        others = found["curves"].get(name, [])
        if len(others) != len(values):
            told.append(f"curves.{name}: {len(values)} values are now {len(others)}")
            continue
        off = [i for i, pair in enumerate(zip(values, others, strict=True)) if not near(name, *pair, golden)]
        told += [f"curves.{name}[{i}]: {values[i]} is now {others[i]}" for i in off]
    return told


def near(name: str, one: float | str, other: float | str, golden: Any) -> bool:
    """Whether two values of a quantity are as near as on two machines; one that is undefined is a word."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if name in ACCURACIES or name == "rule_capture":
        fewest = golden["n_corrupted"] if name in ("memorized_accuracy", "recovered_accuracy") else 20
        return abs(one - other) <= HITS / max(1, fewest)
    return math.isclose(one, other, rel_tol=NEAR)


def file_name(name: str, *, fused: bool = False) -> str:
    """Return the name of a case's golden file."""
    return f"kernel_{'fused_' if fused else ''}{name.replace(',', '').replace(' ', '_')}"


GOLDEN = (
    *(Golden(name=file_name(name), make=partial(make, name), compare=compare) for name in CASES),
    *(
        Golden(name=file_name(name, fused=True), make=partial(make, name, fused=True), compare=compare)
        for name in FUSED
    ),
)
