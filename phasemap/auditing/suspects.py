"""Which labels are probably wrong, and what share of them is.

Every row is ranked by held-out evidence, with a probability. A row's evidence combines what the networks that never saw
it say of its label, what they say of the same label for its nearest neighbours, and the labels of those. How much
neighbours count is chosen by how well known flips, planted in copies of the data, are found; and these tell how far the
ranking is to be trusted.

How many labels are wrong can't be known from them alone: networks differ from a label because it is wrong, or because
they have seen too few rows like it. It is read off rows that are clear, those of each answer that the networks are
surest of: they are taken to be answered rightly, so that a label that differs is wrong, and to be labelled wrongly as
often as others (the idea of anchor points, Liu & Tao 2016, arXiv 1411.7718). Probabilities rise with the suspicion by a
fixed slope, and two intercepts give two accounts. The cautious one, for what costs money, takes the surest third for
clear, and the next third unless its labels differ more often. The other takes the surer two thirds in any case and,
since mistakes often strike where rows are not clear, holds a label for at least as likely wrong as not where another
class is favoured by a third of all that is said.

The share has a bound, and a point only where something beside the one label column tells it. From one column of labels
the rate is not identifiable (Liu et al. 2022, arXiv 2202.02016): without more, the answer is that it lies between 0 and
the best held-out error. What tells more is a second rater, or the sheet that people check: top suspects and a uniform
sample of the rest, with inclusion probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit

from phasemap.auditing.inputs import Table
from phasemap.auditing.measures import Bools, Estimate, Floats, of_draws, resampled, share
from phasemap.auditing.preparing import Prepared, as_text
from phasemap.results.folder import write_text
from phasemap.results.tables import read_frame
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Ints

NEIGHBOURS = 10
PLANTED_SHARE, FEWEST_PLANTED = 0.05, 20
WRONG_FROM = 0.5
AMBIGUOUS_BELOW = 0.6  # of the most probable class, by row and neighbours together
TRUSTED_AUC = 0.75
SUREST, SURER = 1 / 3, 2 / 3  # of the rows of an answer
CHANCE = 2.0  # standard errors by which rates may differ by chance
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
        _, surer = _differing(evidence, labels)
        cautious, wider = (
            _intercept(evidence.suspicion, min(max(float(rate), low), high))
            for rate in (clear_rate(evidence, labels).value, surer.mean())
        )
        doubtful = min(-SLOPE * DOUBT, _intercept(evidence.suspicion, high))
        return cls(intercept=max(cautious, wider, doubtful), cautious_intercept=cautious)

    def probability(self, suspicion: Floats) -> Floats:
        """Return the probability (n,) that a label is wrong."""
        return np.asarray(expit(self.intercept + SLOPE * suspicion))

    def cautious(self, suspicion: Floats) -> Floats:
        """Return the probability (n,) of a wrong label, unless networks have only seen too few rows."""
        return np.asarray(expit(self.cautious_intercept + SLOPE * suspicion))


def clear_rate(evidence: Evidence, labels: Ints) -> Estimate:
    """Return the share of labels that differ from the answer, among clear rows: those surest of each answer.

    The surest third of the rows of an answer is clear. The next third is too, unless its labels differ more often by
    more than two standard errors: then they differ because rows are harder, not only because labels are wrong. The
    interval is Clopper and Pearson's, over rows. It is the share of wrong labels if clear rows are answered rightly and
    labelled wrongly as often as others.
    """
    surest, surer = _differing(evidence, labels)
    clear = surest if _more_often(surer, surest) else surer
    return share(int(clear.sum()), len(clear))


def _differing(evidence: Evidence, labels: Ints) -> tuple[Bools, Bools]:
    """Return whether labels differ from the answers, of the surest third and of the surer two thirds of each answer."""
    answers = evidence.classes.argmax(axis=1)
    upper = np.sort(evidence.classes, axis=1)[:, -2:]
    order = np.argsort(upper[:, 0] - upper[:, 1], kind="stable")
    alike = [order[answers[order] == answer] for answer in np.unique(answers)]
    surest, surer = (np.concatenate([rows[: math.ceil(p * len(rows))] for rows in alike]) for p in (SUREST, SURER))
    return answers[surest] != labels[surest], answers[surer] != labels[surer]


def _more_often(surer: Bools, surest: Bools) -> bool:
    """Say whether labels differ more often in the rest of the surer rows than in the surest, beyond chance."""
    rest, rate = len(surer) - len(surest), float(surer.mean())
    if not rest:
        return False
    error = math.sqrt(rate * (1 - rate) * (1 / len(surest) + 1 / rest))
    return bool((surer.sum() - surest.sum()) / rest - surest.mean() > CHANCE * error)


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


SURE_SHARE = 0.3  # of the sheet are top suspects
COLUMNS = ("row", "given_label", "inclusion_probability", "verified_label")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Rows whose true class people looked up, and the rows of the sheet that were not drawn at random."""

    truth: dict[int, int]  # row -> class
    certain: frozenset[int]


def check_sheet_size(size: int | None, n_rows: int) -> None:
    """UserError unless the data have so many rows."""
    if size is not None and not 1 <= size <= n_rows:
        raise UserError(f"--verify-sheet {size} is not possible; allowed: 1 to {n_rows} rows")


def write_sheet(path: Path, suspects: pd.DataFrame, size: int) -> None:
    """Write a sheet of rows to be checked, in random order and without a hint which of them are suspects.

    ``suspects`` has every row, most suspect first. The first 30 % of the sheet are certain; the others are drawn
    uniformly from what is left.
    """
    n_sure = int(SURE_SHARE * size)
    source = np.random.default_rng([size, *suspects["row"].head(20)])  # the same sheet for the same audit
    rest = suspects.iloc[n_sure:]
    drawn = rest.iloc[source.choice(len(rest), size - n_sure, replace=False)]
    sheet = pd.concat(
        [
            suspects.iloc[:n_sure].assign(inclusion_probability=1.0),
            drawn.assign(inclusion_probability=(size - n_sure) / len(rest)),
        ]
    )
    sheet = sheet.assign(verified_label="")[list(COLUMNS)].iloc[source.permutation(len(sheet))]
    write_text(path, sheet.to_csv(index=False))


def read_verified(path: Path, classes: tuple[str, ...], n_rows: int) -> Verified:
    """Read a sheet that people have filled in; rows without a verified label are left out.

    UserError for rows or labels that the data don't have.
    """
    if not path.is_file():
        raise UserError(f"--verified {path} does not exist; allowed: a sheet that --verify-sheet wrote, filled in")
    frame = read_frame(path)
    missing = [name for name in ("row", "inclusion_probability", "verified_label") if name not in frame]
    if missing:
        raise UserError(f"{path} has no column '{missing[0]}'; allowed: the sheet that --verify-sheet wrote, filled in")
    sheet, frame = frame, frame[frame["verified_label"].notna()]
    if not len(frame):
        raise UserError(f"{path} has no verified label yet; fill in the column verified_label")
    labels = as_text(frame["verified_label"])
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise UserError(
            f"{path} names '{unknown[0]}', which is not a class of the data; allowed: {', '.join(classes[:20])}"
        )
    rows = frame["row"].to_numpy()
    if sheet["row"].duplicated().any() or not np.isin(sheet["row"], np.arange(n_rows)).all():
        raise UserError(
            f"{path} has a row twice, or rows that the data don't have; allowed: 0 to {n_rows - 1}, once each"
        )
    chance = sheet["inclusion_probability"]
    if not chance.between(0, 1, inclusive="right").all() or chance[chance < 1].nunique() > 1:
        raise UserError(f"{path}: inclusion_probability was changed; leave it as --verify-sheet wrote it")
    numbers = {name: number for number, name in enumerate(classes)}
    truth = {int(row): numbers[label] for row, label in zip(rows, labels, strict=True)}
    return Verified(truth=truth, certain=frozenset(map(int, sheet.loc[chance == 1, "row"])))


FEWEST_RATERS = 3
ROUNDS_OF_EM = 50
SMOOTHING = 0.01  # of a rater's counts, so that no answer is impossible
RATER_DRAWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseRate:
    """What is known of the share of wrong labels."""

    bound: float  # it is at most this
    point: Estimate | None
    basis: str  # none | verified_sheet | verified_column | raters | declared_model

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and highest share that may be."""
        return (0.0, self.bound) if self.point is None else (self.point.low, self.point.high)

    @classmethod
    def declared(cls, bound: float, clear: Estimate) -> NoiseRate:
        """Return the rate of clear rows as that of all, as declared, within the bound."""
        value, low, high = (min(end, bound) for end in (clear.value, clear.low, clear.high))
        return cls(bound=bound, point=Estimate(value=value, low=low, high=high), basis="declared_model")

    def as_json(self) -> dict[str, Any]:
        """Return what audit.json holds."""
        point = None if self.point is None else self.point.as_json()
        return {"bound": [0.0, self.bound], "point": point, "basis": self.basis}


def best_error(held_out: np.ndarray, labels: Ints, others: Floats) -> float:
    """Return the lowest held-out error found: of the networks' joint answer (n, C), or of single networks' means."""
    known = ~np.isnan(held_out).any(axis=1)
    together = float((held_out[known].argmax(axis=1) != labels[known]).mean())
    return float(min([together, *others]))


def from_verified(labels: Ints, truth: Mapping[int, int], certain: frozenset[int] = frozenset()) -> Estimate:
    """Estimate the rate from rows whose true class was looked up, with an exact interval.

    Rows in ``certain`` were chosen whatever they are (inclusion probability 1) and count as themselves, or as unknown
    where they were not looked up; the others are a uniform sample of all that is not certain. With no certain rows
    this is Clopper and Pearson's interval.
    """
    sampled = [row for row in truth if row not in certain]
    wrong_sure = sum(truth[row] != labels[row] for row in certain if row in truth)
    unknown = sum(row not in truth for row in certain)
    rest = len(labels) - len(certain)
    found = share(sum(bool(truth[row] != labels[row]) for row in sampled), len(sampled))
    if rest == len(sampled):
        found = Estimate(value=found.value, low=found.value, high=found.value)

    def whole(rate: float, missing: float) -> float:
        return float(wrong_sure + missing * unknown + (rate * rest if rest else 0.0)) / len(labels)

    return Estimate(value=whole(found.value, 0.5), low=whole(found.low, 0.0), high=whole(found.high, 1.0))


def from_raters(labels: Ints, ratings: Ints, n_classes: int) -> Estimate:
    """Estimate the rate from three or more raters' classes (n, raters), -1 where a rater gave none.

    Dawid & Skene 1979: raters, and the label as one more of them, err independently of each other given the true
    class, each with a matrix of their own. The interval is over rows, which here are the sample.
    """
    ratings = np.column_stack([ratings, labels])
    posterior = true_classes(ratings, n_classes)
    wrong = 1 - posterior[np.arange(len(labels)), labels]

    def again(rows: Ints) -> float:
        found = true_classes(ratings[rows], n_classes)
        return float((1 - found[np.arange(len(rows)), labels[rows]]).mean())

    return of_draws(float(wrong.mean()), resampled(again, len(labels), draws=RATER_DRAWS))


def true_classes(ratings: Ints, n_classes: int) -> Floats:
    """Return each row's distribution over true classes (n, C) by Dawid and Skene's expectation maximization."""
    given = np.stack([ratings == c for c in range(n_classes)], axis=2).astype(float)  # (n, raters, C)
    posterior = given.sum(axis=1) + SMOOTHING
    posterior /= posterior.sum(axis=1, keepdims=True)
    for _ in range(ROUNDS_OF_EM):
        matrix = np.einsum("nt,nrc->rtc", posterior, given) + SMOOTHING
        matrix /= matrix.sum(axis=2, keepdims=True)
        logs = np.log(posterior.mean(axis=0) + 1e-12) + np.einsum("nrc,rtc->nt", given, np.log(matrix))
        posterior = np.exp(logs - logs.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior


def rater_codes(raters: pd.DataFrame, classes: tuple[str, ...]) -> Ints:
    """Return raters' labels as classes (n, raters), -1 where missing or of no class of the data."""
    numbers = {name: number for number, name in enumerate(classes)}
    columns = [[numbers.get(text, -1) for text in as_text(raters[name])] for name in raters]
    return np.array(columns, dtype=np.int64).T


def noise_rate(
    bound: float, table: Table, data: Prepared, verified: Verified | None, declared: Estimate | None
) -> NoiseRate:
    """Say what is known of the rate by the strongest evidence there is: people, then raters, then a declared model.

    ``declared`` is the rate if mistakes are spread as evenly as was declared.
    """
    if verified is not None:
        point = from_verified(data.labels, verified.truth, verified.certain)
        return NoiseRate(bound=bound, point=point, basis="verified_sheet")
    if table.verified is not None:
        return NoiseRate(bound=bound, point=_of_column(table.verified, data), basis="verified_column")
    if table.raters is not None:
        codes = rater_codes(table.raters, data.classes)
        return NoiseRate(bound=bound, point=from_raters(data.labels, codes, data.n_classes), basis="raters")
    if declared is not None:
        return NoiseRate.declared(bound, declared)
    return NoiseRate(bound=bound, point=None, basis="none")


def _of_column(verified: pd.Series, data: Prepared) -> Estimate:
    rows = np.flatnonzero(verified.notna())
    numbers = {name: number for number, name in enumerate(data.classes)}
    truth = {int(row): numbers.get(text, -1) for row, text in zip(rows, as_text(verified.iloc[rows]), strict=True)}
    return from_verified(data.labels, truth)
