"""Which labels are probably wrong: every row ranked by held-out evidence, with a probability.

A row's evidence combines what the networks that never saw it say of its label, what they say of the same label for its
nearest neighbours, and the labels of those. How much neighbours count is chosen by how well known flips, planted in
copies of the data, are found; and these tell how far the ranking is to be trusted.

How many labels are wrong can't be known from them alone: networks differ from a label because it is wrong, or because
they have seen too few rows like it. It is read off rows that are clear, those of each answer that the networks are
surest of: they are taken to be answered rightly, so that a label that differs is wrong, and to be labelled wrongly as
often as others (the idea of anchor points, Liu & Tao 2016, arXiv 1411.7718). Probabilities rise with the suspicion by a
fixed slope, and two intercepts give two accounts. The cautious one, for what costs money, takes the surest half for
clear and counts no more labels as wrong. The other takes the surer two thirds and, since mistakes often strike where
rows are not clear, holds a label for at least as likely wrong as not where another class is favoured by a third of all
that is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit

from phasemap.auditing.estimates import Estimate, Floats, of_draws, resampled, share
from phasemap.auditing.memorization import Bools
from phasemap.tasks.dataset import Ints

NEIGHBOURS = 10
PLANTED_SHARE, FEWEST_PLANTED = 0.05, 20
WRONG_FROM = 0.5
AMBIGUOUS_BELOW = 0.6  # of the most probable class, by row and neighbours together
TRUSTED_AUC = 0.75
SUREST, SURER = 1 / 2, 2 / 3  # of the rows of an answer
SLOPE, DOUBT = 6.0, 1 / 3  # of the log-odds by suspicion; the suspicion from which a label is as likely wrong as not
LOWEST_RATE, HIGHEST_RATE = 1e-4, 0.9


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

    def of_rows(self, rows: Ints) -> Evidence:
        """Return the evidence about some of the rows."""
        return Evidence(suspicion=self.suspicion[rows], classes=self.classes[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How suspicion turns into the probability of a wrong label."""

    intercept: float  # of the log-odds, by suspicion
    cautious_intercept: float

    @classmethod
    def of(cls, evidence: Evidence, labels: Ints, low: float = 0.0, high: float = 1.0) -> Calibration:
        """Calibrate on the evidence about n rows with given labels (n,), of which ``low`` to ``high`` may be wrong."""
        surest, surer = (
            _intercept(evidence.suspicion, min(max(clear_rate(evidence, labels, portion).value, low), high))
            for portion in (SUREST, SURER)
        )
        wider = min(max(surer, -SLOPE * DOUBT), _intercept(evidence.suspicion, high))
        return cls(intercept=max(surest, wider), cautious_intercept=surest)

    def probability(self, suspicion: Floats) -> Floats:
        """Return the probability (n,) that a label is wrong."""
        return np.asarray(expit(self.intercept + SLOPE * suspicion))

    def cautious(self, suspicion: Floats) -> Floats:
        """Return the probability (n,) of a wrong label, unless networks have only seen too few rows."""
        return np.asarray(expit(self.cautious_intercept + SLOPE * suspicion))


def clear_rate(evidence: Evidence, labels: Ints, portion: float = SUREST) -> Estimate:
    """Return the share of labels that differ from the answer, among the surest rows of each answer.

    The interval is Clopper and Pearson's, over rows. It is the share of wrong labels if these rows are answered rightly
    and labelled wrongly as often as others.
    """
    answers = evidence.classes.argmax(axis=1)
    upper = np.sort(evidence.classes, axis=1)[:, -2:]
    surest = np.argsort(upper[:, 0] - upper[:, 1], kind="stable")
    alike = [surest[answers[surest] == answer] for answer in np.unique(answers)]
    clear = np.concatenate([rows[: math.ceil(portion * len(rows))] for rows in alike])
    return share(int((answers[clear] != labels[clear]).sum()), len(clear))


def _intercept(suspicion: Floats, rate: float) -> float:
    """Return the intercept with which a share ``rate`` of the rows is expected to be wrong."""
    wanted = float(np.clip(rate, LOWEST_RATE, HIGHEST_RATE))
    return float(brentq(lambda intercept: expit(intercept + SLOPE * suspicion).mean() - wanted, -50, 50))


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
    neighbourhood: Neighbourhood = USUAL

    @classmethod
    def of(cls, copies: Sequence[Copy], near: Ints) -> Planted:
        """Choose how much neighbours (n, k) count."""
        chosen = choose(copies, near)
        suspicion = np.concatenate([copy.suspicion(near, chosen) for copy in copies])
        planted = np.concatenate([copy.planted for copy in copies])
        return cls(suspicion=suspicion, planted=planted, neighbourhood=chosen)


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


def check(copies: Planted, rate: float) -> SelfCheck:
    """Say how well planted flips were found, with intervals over which rows were planted.

    A share ``rate`` of the other rows is taken to be wrong too and to look like the planted ones: against those the
    AUC is a half, and they stand among the top rows.
    """
    suspicion, rate = copies.suspicion, min(rate, HIGHEST_RATE)
    flips, others = np.flatnonzero(copies.planted), np.flatnonzero(~copies.planted)
    against_right = (_above_others(suspicion, copies.planted) - rate / 2) / (1 - rate)
    top = np.argsort(-suspicion, kind="stable")[: round(len(flips) + rate * len(others))]
    among_top = np.isin(flips, top)
    return SelfCheck(planted=len(flips), auc=_over_flips(against_right), found=_over_flips(among_top))


def _over_flips(values: np.ndarray) -> Estimate:
    """Return the mean over planted flips, within 0 and 1."""
    draws = resampled(lambda drawn: float(values[drawn].mean()), len(values))
    return of_draws(float(values.mean()), draws).within(0.0, 1.0)


def suspect_table(
    evidence: Evidence, probability: Floats, memorized: Floats, labels: Ints, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Return every row, most suspect first, with the likeliest reason for whatever doubt there is about it.

    wrong: probably a wrong label. Else ambiguous, where row and neighbours favour no class clearly; else rare: right by
    all one can tell, but answered well only when it was trained on (or, if at all, by little).
    """
    names = np.array(classes)
    others = evidence.classes.copy()
    others[np.arange(len(labels)), labels] = -1
    suggested = np.where(probability >= WRONG_FROM, others.argmax(axis=1), evidence.classes.argmax(axis=1))
    unclear = evidence.classes.max(axis=1) < AMBIGUOUS_BELOW
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
    return table.iloc[np.lexsort((-np.nan_to_num(memorized), -evidence.suspicion, -probability))].reset_index(drop=True)
