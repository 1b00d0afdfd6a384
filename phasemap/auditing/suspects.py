"""Which labels are probably wrong: every row ranked by held-out evidence, with a probability calibrated on this data.

Known flips are planted in copies of the data. A row's evidence combines what the networks that never saw it say of
its label, what they say of the same label for its nearest neighbours, and the labels of those. Among planted and
other rows of the copies, P(planted | evidence) = c s(a + b evidence) with a logistic s: it can't rise above the share
c of the planted among all wrong labels, and so tells how many labels were wrong before (after Elkan & Noto 2008,
learning from positive and unlabelled data). This holds as far as real mistakes look like the planted ones: half of
those are uniform, half go to the class that the row is most easily mistaken for. How much neighbours count is chosen
by how well planted flips are found on this data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, logit

from phasemap.auditing.answers import Bools, Floats
from phasemap.auditing.estimates import Estimate, of_draws, resampled
from phasemap.tasks.dataset import Ints

NEIGHBOURS = 10
PLANTED_SHARE, FEWEST_PLANTED = 0.05, 20
WRONG_FROM = 0.5
AMBIGUOUS_BELOW = 0.6  # of the most probable class, by row and neighbours together
TRUSTED_AUC = 0.75
LOWEST_RATE, HIGHEST_RATE = 1e-4, 0.9
INTERCEPT = (-0.5, 0.7)  # mean and deviation: where no class is favoured, labels are wrong about as often as not
SLOPE = (6.0, 0.4)  # median, and deviation of its logarithm


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How much a row's neighbours count, beside 1 for its own held-out probability."""

    held_out: float  # what the networks that never saw a neighbour say of it
    votes: float  # the neighbours' labels


USUAL = Neighbourhood(2.0, 0.25)
OTHERS = (Neighbourhood(0.5, 1.0), Neighbourhood(0.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks against the given label of n rows."""

    suspicion: Floats  # (n,) rising with the doubt about the given label
    classes: Floats  # (n, C) what row and neighbours together say


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """P(wrong | suspicion) in the copies with planted flips, and what it says of the rate without them."""

    intercept: float
    slopes: tuple[float, float]  # of suspicion, and what is added where another class is favoured (above zero)
    planted_share: float  # of the rows of a copy
    caught_share: float  # c: of the planted among all wrong labels of a copy
    n_classes: int

    @property
    def rate(self) -> float:
        """The share of wrong labels before flips were planted, under the planted kinds of noise.

        A flip that met a wrong label made it right again in one of C - 1 cases.
        """
        apart = self.planted_share * (1 / self.caught_share - 1) / (1 - self.planted_share)
        return float(np.clip(apart / (1 + apart / (self.n_classes - 1)), LOWEST_RATE, HIGHEST_RATE))

    def probability(self, suspicion: Floats) -> Floats:
        """Return the probability that a label is wrong in the data as given."""
        wrong_planted = self.planted_share * (1 - self.rate / (self.n_classes - 1))
        with_planted = wrong_planted + self.rate * (1 - self.planted_share)
        rise = _pieces(suspicion) @ np.array(self.slopes)
        return np.asarray(expit(self.intercept + rise + logit(self.rate) - logit(with_planted)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copy:
    """A copy of the data with planted flips, and what networks that were trained on its rows say."""

    labels: Ints  # (n,) with the flips
    planted: Bools  # (n,)
    held_out: np.ndarray  # (n, C)

    def suspicion(self, near: Ints, neighbourhood: Neighbourhood) -> Floats:
        """Return the suspicion of the copy's rows, (n,)."""
        return evidence(self.held_out, self.labels, near, self.held_out, self.labels, neighbourhood).suspicion


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """The rows of all copies one after another, and what the planted ones among them tell."""

    suspicion: Floats  # (m,)
    planted: Bools  # (m,)
    calibration: Calibration
    neighbourhood: Neighbourhood = USUAL

    @classmethod
    def of(cls, copies: Sequence[Copy], near: Ints, n_classes: int) -> Planted:
        """Choose how much neighbours (n, k) count, and calibrate."""
        chosen = choose(copies, near)
        suspicion = np.concatenate([copy.suspicion(near, chosen) for copy in copies])
        planted = np.concatenate([copy.planted for copy in copies])
        calibration = calibrate(suspicion, planted, n_classes)
        return cls(suspicion=suspicion, planted=planted, calibration=calibration, neighbourhood=chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """How well planted flips were found on this very data, among labels of which some were wrong before."""

    planted: int
    auc: Estimate  # of planted flips against right labels
    found: Estimate  # share of the planted among as many top rows as labels are expected to be wrong in the copies

    @property
    def trusted(self) -> bool:
        """Whether the ranking is to be trusted on this data."""
        return bool(self.auc.low >= TRUSTED_AUC)


def plant(labels: Ints, held_out: np.ndarray, seed: int) -> tuple[Ints, Bools]:
    """Flip some labels: half uniformly, half to the row's most probable other class; (labels, planted), (n,) each."""
    n, n_classes = held_out.shape
    source = np.random.default_rng([seed, n])
    count = min(max(round(PLANTED_SHARE * n), FEWEST_PLANTED), n // 5)
    rows = source.permutation(n)[:count]
    flipped = labels.copy()
    uniform, confused = rows[: count // 2], rows[count // 2 :]
    flipped[uniform] = (labels[uniform] + source.integers(1, n_classes, len(uniform))) % n_classes
    others = np.nan_to_num(held_out[confused]).copy()
    others[np.arange(len(confused)), labels[confused]] = -1
    flipped[confused] = others.argmax(axis=1)
    return flipped, flipped != labels


def neighbours(inputs: np.ndarray, asked: np.ndarray | None = None) -> Ints:
    """Return each row's nearest other rows (n, NEIGHBOURS), or those of the rows asked for among ``inputs``."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(inputs)
    return np.asarray(index.kneighbors(asked, return_distance=False), dtype=np.int64)


def choose(copies: Sequence[Copy], near: Ints) -> Neighbourhood:
    """Return the neighbourhood by which planted flips are found best.

    Another than the usual one must find them better by more than one standard error of the difference, flip by flip.
    """
    place = {
        neighbourhood: np.concatenate([_above_others(c.suspicion(near, neighbourhood), c.planted) for c in copies])
        for neighbourhood in (USUAL, *OTHERS)
    }
    gains = {neighbourhood: place[neighbourhood] - place[USUAL] for neighbourhood in OTHERS}
    better = [n for n, gain in gains.items() if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))]
    return max(better, key=lambda n: float(gains[n].mean()), default=USUAL)


def _above_others(suspicion: Floats, planted: Bools) -> Floats:
    """Return, for each planted row, the share of the other rows that lie below it; their mean is the AUC."""
    within = stats.rankdata(suspicion[planted])
    return np.asarray((stats.rankdata(suspicion)[planted] - within) / (~planted).sum())


def evidence(
    own: np.ndarray, asked: Ints, near: Ints, held_out: np.ndarray, labels: Ints, neighbourhood: Neighbourhood = USUAL
) -> Evidence:
    """Weigh the evidence against given labels ``asked`` (m,), from rows' own held-out probabilities (m, C).

    ``near`` (m, k) points to the rows with probabilities ``held_out`` (n, C) and ``labels`` (n,). Suspicion is the
    margin of the best other class over the given one, in [-1, 1].
    """
    rows = np.arange(len(asked))
    support = own.copy()  # (m, C)
    for neighbour in near.T:
        support += (neighbourhood.held_out / near.shape[1]) * held_out[neighbour]
        support[rows, labels[neighbour]] += neighbourhood.votes / near.shape[1]
    support /= 1 + neighbourhood.held_out + neighbourhood.votes
    given = support[rows, asked]
    others = support.copy()
    others[rows, asked] = -1
    return Evidence(suspicion=(others.max(axis=1) - given).astype(np.float64), classes=support.astype(np.float64))


def _pieces(suspicion: Floats) -> Floats:
    """Return (m, 2): suspicion, and its part above zero."""
    return np.stack([suspicion, np.maximum(suspicion, 0)], axis=1)


def calibrate(suspicion: Floats, planted: Bools, n_classes: int) -> Calibration:
    """Fit c s(a + b evidence) to which rows (m,) of the copies were planted, by the largest posterior.

    b may be larger where another class is favoured over the given one; it is never below zero. Few planted flips leave
    open whether labels are told apart poorly or are often wrong; so a and b have priors (``INTERCEPT``, ``SLOPE``).
    """
    pieces = _pieces(suspicion)

    def loss(parameters: Floats) -> float:
        chance = expit(parameters[0]) * expit(parameters[1] + pieces @ np.exp(parameters[2:]))
        likelihood = np.where(planted, np.log(chance + 1e-12), np.log1p(-chance + 1e-12)).sum()
        prior = ((parameters[1] - INTERCEPT[0]) / INTERCEPT[1]) ** 2
        prior += (((parameters[2:] - np.log(SLOPE[0])) / SLOPE[1]) ** 2).sum()
        return float(prior / 2 - likelihood) / len(suspicion)

    starts = [(c, a, 1.0, 1.0) for c in (-1.5, 0.0, 2.0) for a in (-1.0, 1.0)]
    bounds = [(-5, 7), (-60, 20), (-4, 4.5), (-4, 4.5)]
    found = min((minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts), key=lambda r: r.fun)
    share = float(planted.mean())
    return Calibration(
        intercept=float(found.x[1]),
        slopes=(float(np.exp(found.x[2])), float(np.exp(found.x[3]))),
        planted_share=share,
        caught_share=float(np.clip(expit(found.x[0]), share, 1.0)),
        n_classes=n_classes,
    )


def check(copies: Planted) -> SelfCheck:
    """Say how well planted flips were found, with intervals over which rows were planted.

    A share of the other rows, as the calibration has it, is taken to be wrong too and to look like the planted ones:
    against those the AUC is a half, and they stand among the top rows.
    """
    suspicion, rate = copies.suspicion, copies.calibration.rate
    flips, others = np.flatnonzero(copies.planted), np.flatnonzero(~copies.planted)
    against_right = (_above_others(suspicion, copies.planted) - rate / 2) / (1 - rate)
    top = np.argsort(-suspicion, kind="stable")[: round(len(flips) + rate * len(others))]
    among_top = np.isin(flips, top)
    return SelfCheck(planted=len(flips), auc=_over_flips(against_right), found=_over_flips(among_top))


def _over_flips(values: np.ndarray) -> Estimate:
    """Return the mean over planted flips, within 0 and 1."""
    draws = resampled(lambda drawn: float(values[drawn].mean()), len(values))
    found = of_draws(float(values.mean()), draws)
    value, low, high = (float(np.clip(v, 0.0, 1.0)) for v in (found.value, found.low, found.high))
    return Estimate(value=value, low=low, high=high)


def suspect_table(
    found: Evidence, probability: Floats, memorized: Floats, labels: Ints, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Return every row, most suspect first, with the likeliest reason for whatever doubt there is about it.

    wrong: probably a wrong label. Else ambiguous, where row and neighbours favour no class clearly; else rare: right by
    all one can tell, but answered well only when it was trained on (or, if at all, by little).
    """
    names = np.array(classes)
    others = found.classes.copy()
    others[np.arange(len(labels)), labels] = -1
    suggested = np.where(probability >= WRONG_FROM, others.argmax(axis=1), found.classes.argmax(axis=1))
    unclear = found.classes.max(axis=1) < AMBIGUOUS_BELOW
    kind = np.select([probability >= WRONG_FROM, unclear], ["wrong", "ambiguous"], "rare")
    table = pd.DataFrame(
        {
            "row": np.arange(len(labels)),
            "given_label": names[labels],
            "suggested_label": names[suggested],
            "probability": probability,
            "kind": kind,
        }
    )
    return table.iloc[np.lexsort((-np.nan_to_num(memorized), -found.suspicion, -probability))].reset_index(drop=True)
