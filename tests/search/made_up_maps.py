"""Made-up maps, each drawn anew by a seed: where their borders lie, and the noise between seeds."""

from __future__ import annotations

import numpy as np
from made_up import LOGS, MadeUpMap, made_up, sigmoid


def bumps(random, x, y, size=0.25):
    """Return a smooth random field of x and y in [0, 1], about between -1 and 1."""
    found = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    for _ in range(3):
        a, b, phase = random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(0, 2 * np.pi)
        found += np.sin(2 * np.pi * (a * x + b * y) * size * 4 + phase) / 3
    return found


LEARNING = {
    "parameters": {"good": 0.8},
    "labels": {
        "diverging": "cost > 3 * min(cost)",
        "learned": "score >= good",
        "lost": "earlier(score) >= good",
        "slow": "cost < 0.05",
        "stuck": "otherwise",
    },
    "groups": {"useful": ["learned", "slow"]},
    "frontiers": {"skill": "score = good"},
}


def learning(seed: int, shape=(24, 24)) -> MadeUpMap:
    """Accuracies that rise, and fall again; a loss over several orders of magnitude that may turn round."""

    def curves(at, random):
        x, y = at["rate"], at["width"]
        noise = random.normal(size=(len(x), 1))
        top = sigmoid(14 * (0.55 * bumps(random, x, y) + y - 0.45) + 0.25 * noise)
        fall = sigmoid(20 * (x - 0.75 - 0.1 * np.sin(6 * y)) + 0.25 * noise)
        score = top * sigmoid(12 * (LOGS - 0.4)) * (1 - 0.9 * fall * sigmoid(30 * (LOGS - 0.8)))
        cost = 10 ** (-3 * (1 - x) * y * LOGS - 0.5 * LOGS + 0.05 * noise)
        wild = sigmoid(25 * (x - y - 0.45 - 0.1 * bumps(random, x, y)) + 0.25 * noise)
        return {"score": score, "cost": cost * (1 + 30 * wild * sigmoid(30 * (LOGS - 0.7)))}

    axes = {"rate": list(np.linspace(0, 1, shape[0])), "width": list(np.linspace(0, 1, shape[1]))}
    return made_up(LEARNING, axes, curves, {"score": "accuracy", "cost": "loss"}, noise_seed=seed)


TIMES = {
    "labels": {
        "at_once": "step(score >= 0.9) <= 100",
        "late": "step(score >= 0.9) <= 1000",
        "steep": "slope > 0.01 and heat >= 0.5",
        "flat": "slope <= 0.01",
        "never": "otherwise",
    },
    "frontiers": {"steepness": "slope = 0.01"},
}


def times(seed: int, shape=(25, 25)) -> MadeUpMap:
    """Steps that are reached early, late or never; a number over eight orders of magnitude; an exact setting."""

    def curves(at, random):
        x, y = at["heat"], at["depth"]
        noise = random.normal(size=(len(x), 1))
        start = 0.3 + 0.9 * x + 0.45 * bumps(random, x, y) + 0.3 * (y - 0.5) + 0.01 * noise
        slope = 10 ** (6 * (y - 0.5) + 3 * bumps(random, x, y) - 2 + 0.05 * noise)
        return {"score": sigmoid(30 * (LOGS - start)), "slope": slope * np.ones_like(LOGS)}

    axes = {"heat": list(np.linspace(0, 1, shape[0])), "depth": list(np.linspace(0, 1, shape[1]))}
    return made_up(TIMES, axes, curves, {"score": "accuracy", "slope": "number"}, noise_seed=seed)


FORCES = {
    "labels": {
        "slides": "pull > grip",
        "creeps": "pull > 0.8 * grip and kind_of_floor = 1",
        "hums": "tone > -0.5 and tone < 0.5",
        "high": "tone >= 0.5",
        "rests": "otherwise",
    },
    "groups": {"moves": ["slides", "creeps"], "sounds": ["hums", "high"]},
    "frontiers": {"balance": "pull = grip", "pitch": "tone = 0.5"},
}


def forces(seed: int, shape=(20, 20, 2)) -> MadeUpMap:
    """Two numbers that are compared; plateaus of a third with jumps between; an axis of two values that labels know."""

    def curves(at, random):
        x, y, kind = at["load"], at["angle"], at["kind_of_floor"]
        noise = random.normal(size=(len(x), 3, 1))
        pull = 40 * y + 8 * bumps(random, x, y) + 0.3 * noise[:, 0]
        grip = 30 * x * (1 + 0.3 * kind) + 5 + 0.3 * noise[:, 1]
        tone = np.round(2 * sigmoid(60 * (bumps(random, x, y) - 0.1 * kind)) - 1) + 0.15 * noise[:, 2]
        return {name: value * np.ones_like(LOGS) for name, value in (("pull", pull), ("grip", grip), ("tone", tone))}

    n, m, k = shape
    floors = list(map(float, range(k)))
    axes = {"load": list(np.linspace(0, 1, n)), "angle": list(np.linspace(0, 1, m)), "kind_of_floor": floors}
    return made_up(FORCES, axes, curves, dict.fromkeys(("pull", "grip", "tone"), "number"), noise_seed=seed)
