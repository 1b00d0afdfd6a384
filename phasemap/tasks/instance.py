"""Instance-dependent corruption, after Xia et al. 2020 (arXiv 2006.07836, algorithm 2).

There each example has a flip rate q from a truncated normal distribution, and its label becomes wrong with that
probability, by softmax(x W_y) over the other classes, with W_y normal. Simplified here: one W for all true classes y;
and exactly as many examples are corrupted as asked for, by an order without replacement with weights q, whose mean is
the same at every share (so that corrupted sets are nested) and only the ratios of which matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.sampling import inverse_cdf
from phasemap.tasks.streams import stream

Floats = NDArray[np.float64]

RATE_MEAN, RATE_STD = 0.2, 0.1  # of the rates before they are cut to [0, 1]: the paper's at a noise rate of 20 %


def flip_rates(dataset: Dataset, seed: int) -> Floats:
    """Draw each example's rate (M,) from a normal distribution truncated to [0, 1]."""
    uniform = stream("instance_rates", seed, dataset.name).random(len(dataset.labels))
    from scipy.special import ndtr, ndtri  # for those alone who need it

    low, high = ndtr((np.array([0.0, 1.0]) - RATE_MEAN) / RATE_STD)
    rates = RATE_MEAN + RATE_STD * ndtri(low + (high - low) * uniform)
    return np.clip(rates, np.finfo(float).tiny, 1.0)


def race_times(dataset: Dataset, seed: int) -> Floats:
    """Draw each example's time (M,), exponential with its rate: the first ones are a weighted draw without replacement.

    (Efraimidis and Spirakis 2006.)
    """
    exponential = stream("instance_race", seed, dataset.name).exponential(size=len(dataset.labels))
    return exponential / flip_rates(dataset, seed)


def instance_labels(dataset: Dataset, seed: int) -> Ints:
    """Draw for each example (M,) a wrong label from softmax(x W) over the other classes.

    Features are standardized, constant ones count as 0. Tokens are one-hot: a row of W for each position and token.
    """
    scores = _scores(dataset, seed)
    scores[np.arange(len(scores)), dataset.labels] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return inverse_cdf(weights, stream("instance_labels", seed, dataset.name).random(len(weights)))


def _scores(dataset: Dataset, seed: int) -> Floats:
    """Return x W (M, C)."""
    source = stream("instance_weights", seed, dataset.name)
    if dataset.tokens:
        positions, tokens = dataset.inputs.shape[1], dataset.n_classes
        weights = source.standard_normal((positions, tokens, dataset.n_classes))
        return np.asarray(weights[np.arange(positions), dataset.inputs].sum(axis=1))
    features = dataset.inputs.astype(np.float64)
    deviation = features.std(axis=0)
    standardized = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return np.asarray(standardized @ source.standard_normal((features.shape[1], dataset.n_classes)))
