"""What many trainings answer to every row; from it memorization, what accuracy is made of, what an outsider can tell.

Each measure is a number with its interval, from resampling trainings.

The score (Feldman & Zhang 2020, arXiv 2008.03703, equation 1) is the probability that a network answers a row by its
given label when it was trained on it, minus that when it was held out. Over balanced complementary halves its mean is
the generalization gap by construction.

Exposure is how well an outsider could tell which rows a network was trained on: the likelihood-ratio attack LiRA
(Carlini et al. 2022, arXiv 2112.03570), online, with Gaussians for each row's log-odds; the shadow networks are the
audit's own trainings, all but those of the attacked network's round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from phasemap.tasks.dataset import Ints

CONFIDENCE = 0.95
DRAWS = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def within(self, least: float, most: float) -> Estimate:
        """Return the estimate cut to what its quantity can be; undefined numbers stay so."""
        value, low, high = (min(max(number, least), most) for number in (self.value, self.low, self.high))
        return Estimate(value=value, low=low, high=high)

    def as_json(self) -> dict[str, float | None]:
        """Return plain numbers, null where undefined."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def of_rounds(values: ArrayLike) -> Estimate:
    """Return the mean of a measure over independent rounds of trainings, with Student's interval."""
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value=math.nan, low=math.nan, high=math.nan)
    mean = float(found.mean())
    error = float(stats.sem(found)) if len(found) > 1 else math.nan
    if not error > 0:
        return Estimate(value=mean, low=mean if error == 0 else math.nan, high=mean if error == 0 else math.nan)
    low, high = stats.t.interval(CONFIDENCE, len(found) - 1, loc=mean, scale=error)
    return Estimate(value=mean, low=float(low), high=float(high))


def of_shares(values: ArrayLike) -> Estimate:
    """Return the mean of a share (an accuracy, a rate) over rounds, with an interval that stays within 0 and 1."""
    return of_rounds(values).within(0.0, 1.0)


def of_draws(value: float, draws: ArrayLike) -> Estimate:
    """Return a value with the percentile interval of its bootstrap draws."""
    found = np.asarray(draws, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)))


def resampled(statistic: Callable[[NDArray[np.int64]], float], n: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return a statistic of n units under drawing them again with replacement: (draws,)."""
    source = np.random.default_rng(seed)
    return np.array([statistic(source.integers(n, size=n)) for _ in range(draws)])


def share(hits: int, n: int) -> Estimate:
    """Return a share of counted units with its exact (Clopper-Pearson) interval."""
    if not n:
        return Estimate(value=math.nan, low=0.0, high=1.0)
    found = stats.binomtest(hits, n)
    interval = found.proportion_ci(CONFIDENCE, method="exact")
    return Estimate(value=hits / n, low=float(interval.low), high=float(interval.high))


Bools = NDArray[np.bool_]

ENOUGH_TRAININGS = 200
"""Trainings from which on claims about single rows are made (half of them per side: errors of at most 0.07)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers of T trainings to n rows with C classes, against the labels that they were given."""

    trained: Bools  # (T, n) whether the row was trained on
    right: Bools  # (T, n) whether the answer is the given label
    log_odds: NDArray[np.float32]  # (T, n) log p / (1 - p) of the given label
    held_out: NDArray[np.float32]  # (n, C) mean probabilities of the trainings that had not seen the row


def collect(labels: Ints, n_classes: int, trainings: Iterable[tuple[Bools, NDArray[np.float32]]]) -> Answers:
    """Put together what trainings answer to all n rows: each which rows it saw (n,), and log probabilities (n, C)."""
    n, every = len(labels), np.arange(len(labels))
    trained, right, odds = [], [], []
    sums = np.zeros((n, n_classes), dtype=np.float32)
    counts = np.zeros(n, dtype=np.float32)
    for inside, logs in trainings:
        given = logs[every, labels].astype(np.float64)
        trained.append(inside)
        right.append(logs.argmax(axis=1) == labels)
        odds.append(log_odds(given).astype(np.float32))
        sums[~inside] += np.exp(logs[~inside])
        counts += ~inside
    with np.errstate(invalid="ignore"):
        held_out = sums / counts[:, None]
    return Answers(trained=np.array(trained), right=np.array(right), log_odds=np.array(odds), held_out=held_out)


def log_odds(log_probability: Floats) -> Floats:
    """Return log p / (1 - p) from log p, finite also where p rounds to 1 (Carlini et al. 2022, section VI-A)."""
    return log_probability - np.log(np.maximum(-np.expm1(log_probability), 1e-12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Memorization scores of n rows with their standard errors."""

    score: Floats  # (n,)
    error: Floats  # (n,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """Training accuracy = held-out accuracy + memorization of probably right labels + of probably wrong labels."""

    train_accuracy: Estimate
    held_out_accuracy: Estimate
    useful: Estimate
    harmful: Estimate
    gap: Estimate  # of accuracies: the sum of both kinds of memorization


def scores(answers: Answers) -> Scores:
    """Return each row's memorization score and its binomial standard error; NaN for rows never on both sides."""
    inside, right = answers.trained, answers.right
    n_in, n_out = inside.sum(axis=0), (~inside).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share_in = (right & inside).sum(axis=0) / n_in
        share_out = (right & ~inside).sum(axis=0) / n_out
        variance = share_in * (1 - share_in) / (n_in - 1) + share_out * (1 - share_out) / (n_out - 1)
        return Scores(score=share_in - share_out, error=np.sqrt(variance))


def decompose(answers: Answers, wrong: Floats) -> Decomposition:
    """Split training accuracy by each row's probability (n,) of having a wrong label; intervals over rounds."""
    parts = np.array([_parts(answers, pair, wrong) for pair in rounds(answers)])  # (rounds, 4)
    trained, held_out = (of_shares(column) for column in parts.T[:2])
    useful, harmful = (of_rounds(column) for column in parts.T[2:])
    return Decomposition(
        train_accuracy=trained,
        held_out_accuracy=held_out,
        useful=useful,
        harmful=harmful,
        gap=of_rounds(parts[:, 0] - parts[:, 1]),
    )


def rounds(answers: Answers) -> list[slice]:
    """Return the networks of each round, two complements."""
    return [slice(start, start + 2) for start in range(0, len(answers.trained), 2)]


def _parts(answers: Answers, pair: slice, wrong: Floats) -> tuple[float, float, float, float]:
    inside, right = answers.trained[pair], answers.right[pair]
    as_trained = (right & inside).any(axis=0).astype(float)  # each row is inside one of the two
    as_held_out = (right & ~inside).any(axis=0).astype(float)
    memorized = as_trained - as_held_out
    return (
        float(as_trained.mean()),
        float(as_held_out.mean()),
        float((memorized * (1 - wrong)).mean()),
        float((memorized * wrong).mean()),
    )


FALSE_POSITIVES = 0.01
FEWEST_SHADOWS = 64  # networks on a side, below which one variance serves all rows (the paper's section VI-C)
FEWEST_ROUNDS = 4
FEWEST_SIDES = 3  # trainings that saw a row, and as many that did not: one of them is attacked
MOST_ROUNDS = 50  # attacked
LEAST_DEVIATION = 1e-6


def exposure(answers: Answers) -> Estimate:
    """Return the true positive rate at 1 % false positives, a mean over attacked rounds."""
    found = rounds(answers)
    if len(found) < FEWEST_ROUNDS:
        return of_shares([])
    members, others = _Sums.of(answers, answers.trained), _Sums.of(answers, ~answers.trained)
    return of_shares([_attacked(answers, pair, members, others) for pair in found[:MOST_ROUNDS]])


def attack(answers: Answers) -> tuple[Estimate, str]:
    """Return the exposure of trainings on any subsets, a mean over them, and by which attack.

    LiRA where each row has three trainings or more on either side, else a threshold on the log-odds (Yeom et al. 2018,
    arXiv 1709.01604), which tells less.
    """
    inside, n = answers.trained.sum(axis=0), len(answers.trained)
    if min(inside.min(), (n - inside).min()) >= FEWEST_SIDES:
        members, others = _Sums.of(answers, answers.trained), _Sums.of(answers, ~answers.trained)
        return of_shares([_attacked(answers, slice(t, t + 1), members, others) for t in range(n)]), "lira"
    mixed = [t for t in range(n) if 0 < answers.trained[t].sum() < answers.trained.shape[1]]
    found = [true_positive_rate(answers.log_odds[t].astype(np.float64), answers.trained[t]) for t in mixed]
    return of_shares(found), "threshold"


@dataclass(frozen=True, slots=True)
class _Sums:
    """Each row's number of networks, and the sums of their log-odds and of the squares of these: (n,) each."""

    counts: Floats
    sums: Floats
    squares: Floats

    @classmethod
    def of(cls, answers: Answers, chosen: np.ndarray, part: slice = slice(None)) -> _Sums:
        odds = np.where(chosen[part], answers.log_odds[part], 0).astype(np.float64)
        return cls(chosen[part].sum(axis=0).astype(float), odds.sum(axis=0), (odds**2).sum(axis=0))

    def without(self, other: _Sums) -> _Sums:
        return _Sums(self.counts - other.counts, self.sums - other.sums, self.squares - other.squares)

    def moments(self) -> tuple[Floats, Floats | float]:
        """Return each row's mean and deviation, one deviation for all where the networks are few."""
        mean = self.sums / self.counts
        spread = np.maximum(self.squares - self.counts * mean**2, 0.0)
        if self.counts.min() < FEWEST_SHADOWS:
            return mean, float(np.sqrt(spread.sum() / (self.counts - 1).sum())) + LEAST_DEVIATION
        return mean, np.sqrt(spread / (self.counts - 1)) + LEAST_DEVIATION


def _attacked(answers: Answers, pair: slice, members: _Sums, others: _Sums) -> float:
    """Attack both networks of a round at once: every row is a member of one and not of the other."""
    seen = members.without(_Sums.of(answers, answers.trained, pair)).moments()
    unseen = others.without(_Sums.of(answers, ~answers.trained, pair)).moments()
    target = answers.log_odds[pair].astype(np.float64)
    ratio = stats.norm.logpdf(target, *seen) - stats.norm.logpdf(target, *unseen)
    return true_positive_rate(ratio.ravel(), answers.trained[pair].ravel())


def true_positive_rate(score: Floats, member: np.ndarray, false_positives: float = FALSE_POSITIVES) -> float:
    """Return the share of members above the lowest threshold that at most 1 % of the non-members exceed."""
    others = np.sort(score[~member])
    threshold = others[len(others) - 1 - int(false_positives * len(others))]
    return float((score[member] > threshold).mean())
