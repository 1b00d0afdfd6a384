"""Maps that are not phasemap's, made by code with fixed seeds: none of them was used to choose anything of the search.

Physics in closed form and by simulation, test functions of AEPsych, fractals, islands, and three maps of the paper's
networks. Each is a study with a rule of its own, whose quantities are what a simulator would return.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "search"))
from made_up import made_up
from stored_maps import StoredMap

from phasemap.results.merge import trial_schema
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.study.file import load_study
from phasemap.study.trials import grid_ids

ROOT = Path(__file__).parents[1]
Settings = dict[str, np.ndarray]  # each (n,), a row for every trial
Simulator = Callable[[Settings, np.random.Generator], dict[str, np.ndarray]]


def simulated(
    labels: Mapping[str, str], axes: Mapping[str, np.ndarray], simulate: Simulator, seeds: int = 1, noise_seed: int = 0
) -> StoredMap:
    """Return the full map of a simulator whose results are numbers, labelled by conditions on them."""

    def curves(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        return {name: value[:, None] for name, value in simulate({k: v[:, 0] for k, v in at.items()}, random).items()}

    one = {name: np.atleast_1d(values)[:1] for name, values in axes.items()}
    kinds = dict.fromkeys(simulate(one, np.random.default_rng(0)), "number")
    found = made_up(
        {"labels": dict(labels)},
        {name: values.tolist() for name, values in axes.items()},
        curves,
        kinds,
        seeds=seeds,
        noise_seed=noise_seed,
    )
    return StoredMap(found.study, found.trials)


def onsager() -> StoredMap:
    """Spontaneous magnetization of the Ising model on a square lattice (Yang 1952), the couplings' ratio varying."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        product = np.sinh(2 / at["temperature"]) * np.sinh(2 * at["ratio"] / at["temperature"])
        return {"magnetization": np.maximum(1 - product**-2.0, 0) ** 0.125}

    axes = {"temperature": np.linspace(0.5, 4, 21), "ratio": np.linspace(0.1, 2, 19)}
    return simulated({"ordered": "magnetization > 0.05", "disordered": "otherwise"}, axes, simulate)


def potts(n_states: int, labels: Mapping[str, str], field: np.ndarray, sweeps: int = 400, side: int = 12) -> StoredMap:
    """Shares of the spins by Metropolis on small lattices in a field on the first state: noisy, with three labels."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        n = len(at["temperature"])
        spins = random.integers(n_states, size=(n, side, side))
        black = np.indices((side, side)).sum(axis=0) % 2
        heat, field = (at[name][:, None, None] for name in ("temperature", "field"))
        for _ in range(sweeps):
            for colour in (0, 1):
                other = (spins + random.integers(1, n_states, spins.shape)) % n_states
                gain = field * ((other == 0) * 1.0 - (spins == 0))
                for axis, step in ((1, 1), (1, -1), (2, 1), (2, -1)):
                    beside = np.roll(spins, step, axis)
                    gain += (other == beside) * 1.0 - (spins == beside)
                taken = (random.random(spins.shape) < np.exp(np.minimum(gain / heat, 0))) & (black == colour)
                spins = np.where(taken, other, spins)
        shares = np.stack([(spins == state).mean(axis=(1, 2)) for state in range(n_states)], axis=1)
        return {"favoured": shares[:, 0], "largest_other": shares[:, 1:].max(axis=1)}

    top = 1.4 if n_states > 2 else 3.0
    return simulated(labels, {"temperature": np.linspace(0.4, top, 17), "field": field}, simulate, 2)


def alloy() -> StoredMap:
    """A regular solution: one phase, metastable between binodal and spinodal, unstable below; slightly lopsided."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        x, t = at["composition"], at["temperature"]
        odds = np.where(np.abs(x - 0.5) < 1e-9, 1.0, (1 - 2 * x) / np.log((1 - x) / np.where(x == 0.5, 0.4, x)) * 2)
        return {"supersaturation": np.log(odds / t), "curvature": t / (4 * x * (1 - x)) - 1}

    labels = {"unstable": "curvature < 0", "metastable": "supersaturation > 0", "one_phase": "otherwise"}
    axes = {"composition": np.linspace(0.02, 0.97, 20), "temperature": np.linspace(0.1, 1.2, 23)}
    return simulated(labels, axes, simulate)


def fluid() -> StoredMap:
    """A van der Waals fluid in reduced units: stiffness and pressure; stretched liquid has a negative pressure."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        v, t = at["volume"], at["temperature"]
        stiffness = 24 * t / (3 * v - 1) ** 2 - 6 / v**3
        return {"stiffness": np.arcsinh(stiffness), "pressure": np.arcsinh(8 * t / (3 * v - 1) - 3 / v**2)}

    labels = {
        "unstable": "stiffness < 0",
        "stretched": "pressure < 0",
        "dense": "pressure > 1.5",
        "fluid": "otherwise",
    }
    axes = {"volume": np.geomspace(0.45, 5, 21), "temperature": np.linspace(0.5, 1.2, 19)}
    return simulated(labels, axes, simulate)


def discrimination() -> StoredMap:
    """AEPsych's novel discrimination function (Owen et al. 2021); detected where its probability passes 3/4."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        f = at["frequency"]
        context = 2 * (0.05 + 0.4 * (-1 + 0.2 * f) ** 2 * f**2)
        return {"response": np.log(2 * (at["amplitude"] + 1) / context + 0.05)}

    axes = {"frequency": np.linspace(-1, 1, 20), "amplitude": np.linspace(-1, 1, 20)}
    return simulated({"detected": f"response > {np.log(0.6745 + 0.05):.4f}", "missed": "otherwise"}, axes, simulate)


def hearing() -> StoredMap:
    """AEPsych's audiogram (Song et al. 2017; Dubno et al. 2013, metabolic and sensory), each answer by a probit."""
    octaves = np.log2([0.25, 0.5, 1, 2, 3, 4, 6, 8])
    thresholds = np.array([20.26, 20.71, 21.97, 37.49, 53.18, 64.02, 75.01, 76.61])  # dB

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        excess = at["intensity"] - CubicSpline(octaves, thresholds)(at["octave"])
        return {"response": excess / 5 + random.standard_normal(len(excess))}

    axes = {"octave": np.linspace(-2, 3, 21), "intensity": np.linspace(-10, 100, 21)}
    return simulated({"heard": "response > 0", "not_heard": "otherwise"}, axes, simulate, 2)


def newton() -> StoredMap:
    """Newton's method for z^3 = 1: which root a start leads to. The border is a fractal."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        z = at["x"] + 1j * at["y"]
        for _ in range(40):
            z = z - (z**3 - 1) / (3 * z**2)
        return {"real": z.real, "imaginary": z.imag}

    labels = {"one": "real > 0", "upper": "imaginary > 0", "lower": "otherwise"}
    axes = {"x": np.linspace(-1.53, 1.47, 24), "y": np.linspace(-1.41, 1.49, 24)}
    return simulated(labels, axes, simulate)


def henon() -> StoredMap:
    """The map of Hénon: orbits that escape, are periodic, or chaotic by their Lyapunov exponent; rough inside."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        x, y, dx, dy, total = 0 * at["a"], 0 * at["a"], 0 * at["a"] + 1, 0 * at["a"], 0 * at["a"]
        inside = np.ones(len(x), dtype=bool)
        for step in range(600):
            x, y, dx, dy = 1 - at["a"] * x**2 + y, at["b"] * x, -2 * at["a"] * x * dx + dy, at["b"] * dx
            inside &= np.abs(x) < 10
            x, y = np.where(inside, x, 0), np.where(inside, y, 0)
            size = np.maximum(np.hypot(dx, dy), 1e-300)
            total += np.log(size) * (step >= 200)
            dx, dy = dx / size, dy / size
        return {"exponent": np.where(inside, total / 400, 0), "bounded": inside * 1.0}

    labels = {"escapes": "bounded < 0.5", "chaotic": "exponent > 0", "periodic": "otherwise"}
    return simulated(labels, {"a": np.linspace(0.8, 1.6, 21), "b": np.linspace(-0.3, 0.35, 21)}, simulate)


def competition() -> StoredMap:
    """Two competing species from random starts (Lotka-Volterra): one wins, the other, or both stay; three labels, noisy
    where the start decides.
    """

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        x, y = 0.1 + 0.2 * random.random((2, len(at["on_first"])))
        for _ in range(4000):
            x, y = x + 0.05 * x * (1 - x - at["on_first"] * y), y + 0.05 * y * (1 - y - at["on_second"] * x)
        return {"first": np.log(np.maximum(x, 1e-6)), "second": np.log(np.maximum(y, 1e-6))}

    labels = {"both": "first > -4 and second > -4", "first_wins": "first > -4", "second_wins": "otherwise"}
    axes = {"on_first": np.linspace(0.2, 1.9, 19), "on_second": np.linspace(0.2, 1.9, 19)}
    return simulated(labels, axes, simulate, 2)


def islands(seed: int = 0, shape: tuple[int, int] = (24, 24), size: int = 3, n: int = 2, seeds: int = 1) -> StoredMap:
    """One smooth border, and n square islands of the other label that nothing around tells of."""
    random = np.random.default_rng([seed, 7])
    slope, level = random.uniform(-0.5, 0.5), random.uniform(0.25, 0.75) * shape[1]
    corners = [random.integers(0, np.array(shape) - size + 1) for _ in range(n)]

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        height = (at["y"] - level - slope * (at["x"] - shape[0] / 2)) / 2
        for left, low in corners:
            inside = (at["x"] >= left) & (at["x"] < left + size) & (at["y"] >= low) & (at["y"] < low + size)
            height = np.where(inside, -height, height)
        return {"height": np.tanh(height)}

    axes = {"x": np.arange(float(shape[0])), "y": np.arange(float(shape[1]))}
    return simulated({"above": "height > 0", "below": "otherwise"}, axes, simulate, seeds)


def four_axes(rough: float = 0.0) -> StoredMap:
    """Two borders over four axes of nine values each, smooth or with waves."""

    def simulate(at: Settings, random: np.random.Generator) -> dict[str, np.ndarray]:
        a, b, c, d = (at[name] for name in "abcd")
        waves = rough * np.sin(7 * a + 3 * b) * np.cos(6 * c - 4 * d)
        height, depth = a + 0.6 * b**2 - 0.8 * c * d - 0.35, np.sin(2 * c) + d - 0.5 * a - 1.1
        return {"height": height + waves, "depth": depth - waves}

    labels = {"high": "height > 0 and depth <= 0", "deep": "depth > 0", "low": "otherwise"}
    return simulated(labels, {name: np.linspace(0, 1, 9) for name in "abcd"}, simulate)


def paper(study_file: str, name: str) -> StoredMap:
    """Return a full map of the paper's networks that was trained with one seed a point."""
    study = load_study(ROOT / "studies" / "paper" / f"{study_file}.yaml")
    study = study.model_copy(update={"seeds": study.seeds[:1], "name": name})
    points = pd.read_parquet(ROOT / "docs" / "reproduction" / name / "points.parquet")
    n_train = (points["data_fraction"] * _examples(study)).round()
    trials = points.assign(
        trial_id=list(grid_ids(study)),
        seed=study.seeds[0],
        status="ok",
        n_train=n_train,
        n_corrupted=(points["corruption_effective"] * n_train).round(),
        n_classes=study.setting("modulus"),
    )
    return StoredMap(study, trials.reindex(columns=trial_schema(SHARD_SCHEMA, study.phases).names))


def _examples(study: Any) -> int:
    return int(study.setting("modulus")) ** 2


MAPS: dict[str, Callable[[], StoredMap]] = {
    "onsager": onsager,
    "ising": lambda: potts(
        2,
        {"up": "favoured > 0.75", "down": "favoured < 0.25", "disordered": "otherwise"},
        np.linspace(-1, 1, 17),
    ),
    "potts": lambda: potts(
        4,
        {"favoured": "favoured > 0.6", "broken": "largest_other > 0.6", "disordered": "otherwise"},
        np.linspace(-0.6, 0.6, 17),
    ),
    "alloy": alloy,
    "fluid": fluid,
    "discrimination": discrimination,
    "hearing": hearing,
    "newton": newton,
    "henon": henon,
    "competition": competition,
    "islands": islands,
    "paper_weight_decay": lambda: paper("fig03a_subgrid", "fig03a_subgrid"),
    "paper_multiplication": lambda: paper("fig31_in_full", "fig31_in_full"),
    "paper_dropout": lambda: paper("small/fig03b_dropout", "small_fig03b_dropout"),
}


@cache
def load_other(name: str) -> StoredMap:
    """Make one of the maps."""
    return MAPS[name]()
