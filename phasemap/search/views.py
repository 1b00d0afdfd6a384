"""Two views of a map's labels, by the rule's quantities and by surfaces of the labels, blended and made calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from phasemap.search.labelling import Codes, Labelling, OneHot
from phasemap.search.surfaces import Prediction
from phasemap.search.target import Floats, Places

DRAWS = 64  # of the surfaces, labelled one by one
LEAST_LIKELY = 0.5 / DRAWS  # that no draw had a label is no proof
PRIOR = 1.0  # trials that speak for each view beforehand
ROUNDS = 100  # of expectation maximization
USUAL = 0.25  # the deviation of a temperature's logarithm that is expected beforehand
TEMPERATURES = (0.25, 4.0)


def views_of(labelling: Labelling, n_quantities: int) -> tuple[Labelling, ...]:
    """Return what labels a map: the labelling, and where it is by quantities also that of the labels themselves.

    Where a quantity jumps from below a label's range to above it, its surface passes through that range between two
    trials, which the labels' surfaces do not.
    """
    alone = isinstance(labelling, OneHot) or not n_quantities
    return (labelling,) if alone else (labelling, OneHot(len(labelling.group), doubt=0.0))


def draw(
    labelling: Labelling, expected: Prediction, places: Places, n: int, n_seeds: int, random: np.random.Generator
) -> Codes:
    """Return codes (1 + n_seeds, n, m) of n draws at m points: of what all seeds share, and then of each seed.

    The last of the surfaces are those of the labels.
    """
    n_surfaces, n_labels = expected.mean.shape[1], len(labelling.group)
    of_labels, doubt = (True, labelling.doubt) if isinstance(labelling, OneHot) else (False, 0.0)
    expected = expected.part(slice(None), range(n_surfaces)[slice(-n_labels, None) if of_labels else slice(-n_labels)])
    shape = (n, *expected.mean.shape)
    shared = expected.mean + np.hypot(expected.spread, doubt) * random.standard_normal(shape)
    seeds = [shared + expected.noise * random.standard_normal(shape) for _ in range(n_seeds)]
    return np.stack([labelling.label(one, places) for one in (shared, *seeds)])


@dataclass(frozen=True, slots=True)
class Blend:
    """How far views are believed: the draws of each, and the temperature of the shares that their mixture gives."""

    draws: tuple[int, ...]
    temperature: float

    def calibrated(self, shares: Floats) -> Floats:
        """Return shares (..., labels) of the draws as probabilities."""
        sharp = shares ** (1 / self.temperature)
        return np.asarray(sharp / sharp.sum(axis=-1, keepdims=True))


def blended(
    views: Sequence[Labelling],
    left_out: Prediction,
    places: Places,
    codes: Codes,
    weight: Floats,
    random: np.random.Generator,
) -> Blend:
    """Return the blend that gives the labels of n trials the best log score, each by what the others say of it.

    ``left_out`` is what is expected of each trial by the others; a trial counts by its ``weight`` (n,). Stacking of
    predictive distributions (Yao et al. 2018), and then temperature scaling (Guo et al. 2017).
    """
    weight = weight * len(weight) / max(weight.sum(), 1)
    n_codes = len(views[0].group)
    drawn = [draw(view, left_out, places, DRAWS, 1, random)[1] for view in views]
    shares = np.stack([[(one == code).mean(axis=0) for code in range(n_codes)] for one in drawn])  # (views, codes, n)
    shares = np.maximum(shares, LEAST_LIKELY)
    seen = shares[:, codes, np.arange(len(codes))]
    part = np.full(len(views), 1 / len(views))
    for _ in range(ROUNDS):
        told = part[:, None] * seen
        part = PRIOR + (told / told.sum(axis=0)) @ weight
        part = part / part.sum()
    mixed = np.log(np.tensordot(part, shares, 1))  # (codes, n)

    def loss(logarithm: float) -> float:
        sharp = mixed / np.exp(logarithm)
        score = sharp[codes, np.arange(len(codes))] - np.log(np.exp(sharp).sum(axis=0))
        return float((logarithm / USUAL) ** 2 / 2 - score @ weight)

    best = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    draws = np.round(np.cumsum(part) * DRAWS).astype(int)
    return Blend(tuple(np.diff(draws, prepend=0).tolist()), float(np.exp(best.x)))
