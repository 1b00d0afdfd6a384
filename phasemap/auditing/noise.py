"""The share of wrong labels: a bound, and a point only where something beside the one label column tells it.

From one column of labels the rate is not identifiable (Liu et al. 2022, arXiv 2202.02016): without more, the answer is
that it lies between 0 and the best held-out error. What tells more is a second rater, or the sheet that people check:
top suspects and a uniform sample of the rest, with inclusion probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap.auditing.estimates import Estimate, Floats, of_draws, resampled, share
from phasemap.auditing.preparing import Prepared, as_text
from phasemap.auditing.reading import Table
from phasemap.results.folder import write_text
from phasemap.results.tables import read_frame
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Ints

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
