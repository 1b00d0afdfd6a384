"""The sheet that people check: top suspects and a uniform sample of the rest, with inclusion probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phasemap.auditing.preparing import as_text
from phasemap.auditing.reading import read_frame
from phasemap.results.folder import write_text
from phasemap.study.problems import UserError

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
        raise UserError(f"--verified {path} is not there; allowed: a sheet that --verify-sheet wrote, filled in")
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
            f"{path} names '{unknown[0]}', which is no class of the data; allowed: {', '.join(classes[:20])}"
        )
    rows = frame["row"].to_numpy()
    if sheet["row"].duplicated().any() or not np.isin(sheet["row"], np.arange(n_rows)).all():
        raise UserError(
            f"{path} has rows twice, or rows that the data don't have; allowed: 0 to {n_rows - 1}, once each"
        )
    chance = sheet["inclusion_probability"]
    if not chance.between(0, 1, inclusive="right").all() or chance[chance < 1].nunique() > 1:
        raise UserError(f"{path}: inclusion_probability was changed; leave it as --verify-sheet wrote it")
    numbers = {name: number for number, name in enumerate(classes)}
    truth = {int(row): numbers[label] for row, label in zip(rows, labels, strict=True)}
    return Verified(truth=truth, certain=frozenset(map(int, sheet.loc[chance == 1, "row"])))
