"""Level-set rules of the field for benchmarks/search.py: look-ahead rules of AEPsych, MILE, and contour improvement.

GlobalMI and EAVC (Letham et al. 2022, arXiv 2203.09751) look one binary answer ahead. Their model is AEPsych's
GPClassificationModel; each label against the rest is a level set, and worths are summed. MILE (Zanette et al. 2018,
arXiv 1811.09977) is what OptunaHub's level-set sampler (``samplers/drlse``) chooses by where the environment has one
value; the sampler's class itself searches design x environment, which no map here is. Expected feasibility (Bichon et
al. 2008) is the contour improvement. The last two look at the quantities, and sum over all thresholds of a map's rule.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from phasemap.search.boundary import BoundarySearch
from phasemap.search.modelled import Models
from phasemap.search.study_map import boundary_search
from phasemap.search.study_model import MapModel, map_model, readings_of, usable
from phasemap.study.spec import WHOLE_MAP, Study

QUERIES = 256  # AEPsych's default
BETA, TIE = 4.0, 1e-3  # the sampler's defaults: squared width of the interval, and the weight of the deviation
NODES = 20
SMALL = 1e-9


@dataclass(frozen=True)
class LevelSet:
    """What is believed of a surface at all n points, its level being 0: mean and covariance in prior deviations."""

    mean: np.ndarray  # (n,)
    covariance: np.ndarray  # (n, n)
    noise: float  # variance

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation (n,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), SMALL))


# --- acquisition rules, by their papers' formulas


def bivariate(h: np.ndarray, k: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Return P(X < h, Y < k) of a standard normal pair by Plackett's integral over the correlation's arc."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    arc = np.arcsin(np.clip(correlation, -1 + SMALL, 1 - SMALL))
    total = np.zeros(np.broadcast_shapes(h.shape, k.shape, arc.shape))
    for node, weight in zip(nodes, weights, strict=True):
        angle = arc * (node + 1) / 2
        total += weight * np.exp(-(h**2 + k**2 - 2 * h * k * np.sin(angle)) / (2 * np.cos(angle) ** 2))
    return np.asarray(ndtr(h) * ndtr(k) + total * arc / (4 * np.pi))


def look_ahead(found: LevelSet, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return P(f < 0) at q queries, the same after a probit answer 1 and 0 at each point (n, q), and P(1) (n, 1)."""
    wide = np.sqrt(1 + found.deviation**2)[:, None]
    a, b = found.mean[:, None] / wide, (-found.mean / found.deviation)[None, queries]
    correlation = -found.covariance[:, queries] / (found.deviation[None, queries] * wide)
    below, one = ndtr(b), ndtr(a)
    both = bivariate(a, b, correlation)
    return below[0], both / (one + SMALL), (below - both) / (1 - one + SMALL), one


def global_mi(found: LevelSet, queries: np.ndarray) -> np.ndarray:
    """Return the information (n,) that an answer at each point gives of which side the queries are on."""
    before, after_1, after_0, one = look_ahead(found, queries)
    expected = one * _entropy(after_1) + (1 - one) * _entropy(after_0)
    return np.asarray((_entropy(before) - expected).sum(axis=1))


def eavc(found: LevelSet, queries: np.ndarray) -> np.ndarray:
    """Return the expected absolute change (n,) of the volume below the level by an answer at each point."""
    before, after_1, after_0, one = look_ahead(found, queries)
    change_1, change_0 = (np.abs((before - after).sum(axis=1)) for after in (after_1, after_0))
    return np.asarray(one[:, 0] * change_1 + (1 - one[:, 0]) * change_0)


def mile(found: LevelSet) -> np.ndarray:
    """Return how many undecided points (n,) a value at each point is expected to put surely above the level."""
    width = np.sqrt(BETA) * found.deviation
    undecided = (found.mean - width <= 0) & (found.mean + width > 0)
    spread = found.covariance[:, undecided] / np.sqrt(found.deviation**2 + found.noise)[:, None]
    left = np.sqrt(np.maximum(found.deviation[undecided] ** 2 - spread**2, SMALL))
    sure = ndtr((found.mean[undecided] - np.sqrt(BETA) * left) / np.maximum(np.abs(spread), SMALL))
    return np.maximum(sure.sum(axis=1), TIE * found.deviation)


def expected_feasibility(found: LevelSet) -> np.ndarray:
    """Return the expected depth (n,) of each point's value inside a band of two deviations about the level."""
    mean, deviation = found.mean, found.deviation
    band = 2 * deviation
    at, low, high = -mean / deviation, (-band - mean) / deviation, (band - mean) / deviation
    density = lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    return np.asarray(
        mean * (2 * ndtr(at) - ndtr(low) - ndtr(high))
        - deviation * (2 * density(at) - density(low) - density(high))
        + band * (ndtr(high) - ndtr(low))
    )


def _entropy(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 1e-12, 1 - 1e-12)
    return np.asarray(-(share * np.log2(share) + (1 - share) * np.log2(1 - share)))


# --- models


def thresholds(study: Study) -> dict[str, tuple[float, ...]]:
    """Return the numbers with which a rule compares each column; of built-in rules those that decide the phases."""
    if study.phases.own is None:
        good, memorized = study.phases.generalized, study.phases.memorized
        return {"test_accuracy": (good,), "train_accuracy": (memorized,), "peak_test_accuracy": (good,)}
    return {reading.column: reading.thresholds for reading in readings_of(study, WHOLE_MAP)}


def surfaces(known: Any) -> tuple[BoundarySearch, MapModel]:
    """Return the surfaces through what a method knows, lengths fitted as in our search, and the model of the map."""
    study = known.full.searched(kind="boundary").study
    model, search = map_model(study, usable(study, known.trials)), boundary_search(study)
    search.fit(model.observed, model.labelling)
    return search, model


def level_sets(known: Any) -> list[LevelSet]:
    """Return each threshold of the rule as a level set of our surfaces."""
    search, model = surfaces(known)
    expected = search.surfaces.predict(search.coordinates)
    levels, first, found = thresholds(known.full.study), Models(model.models).firsts, []
    for group, process in search.surfaces._processes:
        noise = process.kernel_.k2.noise_level
        covariance = process.predict(search.coordinates, return_cov=True)[1]
        covariance = (covariance if covariance.ndim == 2 else covariance[..., 0]) - noise * np.eye(len(known.at))
        prior = process.kernel_.k1.k1.constant_value
        for part, column in zip(model.models, first, strict=True):
            for level in levels.get(part.column, ()) if column in group.columns else ():
                mean = expected.mean[:, column] - part.scale.there(np.array([level]))[0]
                found.append(LevelSet(mean / expected.prior[column], covariance / prior, noise / prior))
    return found


def psychophysical(known: Any) -> dict[str, tuple[LevelSet, np.ndarray]]:
    """Return AEPsych's model of each label against the rest, and the label's probability (n,); fits start warm."""
    import torch
    from aepsych.models import GPClassificationModel

    places, labels = known.labels
    at = known.at / np.maximum(known.at.max(axis=0), 1)
    x, every = (torch.tensor(part, dtype=torch.float64) for part in (at[places], at))
    names, found = np.unique(labels), {}
    torch.manual_seed(known.seed)
    for name in names[: 1 if len(names) <= 2 else None]:
        y = torch.tensor(labels == name, dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = known.memory.get(name)
            if model is None:
                model = known.memory[name] = GPClassificationModel(dim=at.shape[1]).double()
                model.fit(x, y)
            else:
                model.update(x, y)
            with torch.no_grad():
                posterior = model.posterior(every)
                mean = posterior.mean[:, 0].numpy()
                covariance = posterior.distribution.covariance_matrix.numpy()
        level_set = LevelSet(mean, covariance, 1.0)
        found[name] = (level_set, ndtr(mean / np.sqrt(1 + level_set.deviation**2)))
    if len(names) == 2:
        found[names[1]] = (found[names[0]][0], 1 - found[names[0]][1])
    return found


def label_shares(known: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and their probabilities (n, labels) by AEPsych's models."""
    found = psychophysical(known)
    share = np.stack([probability for _, probability in found.values()], axis=1)
    return np.asarray(list(found)), share / np.maximum(share.sum(axis=1, keepdims=True), SMALL)


def label_level_sets(known: Any) -> list[LevelSet]:
    """Return the level sets of AEPsych's models; of two labels there is one."""
    found = [level_set for level_set, _ in psychophysical(known).values()]
    return found[:1] if len(found) == 2 else found
