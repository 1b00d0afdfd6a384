"""What a user asks of an audit and gives it: options, a file of labelled data, and the sentences that answer.

The data are CSV, Parquet, .npz, or .npy beside another .npy of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from phasemap.results.commands import portable_path
from phasemap.results.tables import read_frame
from phasemap.study.errors import UserError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of the data are what; in an .npz the names of its arrays, beside a .npy paths of further ones."""

    label: str
    group: str | None = None
    time: str | None = None
    raters: tuple[str, ...] = ()
    verified: str | None = None
    cost: str | None = None
    drop: tuple[str, ...] = ()

    @property
    def special(self) -> tuple[str, ...]:
        """The columns that are not features."""
        named = (self.label, self.group, self.time, *self.raters, self.verified, self.cost, *self.drop)
        return tuple(name for name in named if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What things cost and are worth, in one currency."""

    cost_label: float = 1.0  # of one row's review by a person
    cost_example: float = 5.0  # of one more labelled row
    value_error: float = 1.0  # of one wrong answer avoided
    volume: float = 100_000.0  # answers that the model will give
    relabel_error: float = 0.05  # share of reviews that end with a wrong label
    spend: float | None = None  # the total budget to be decided about; None: a tenth of the rows, reviewed


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One audit: the data, and what is to be done with them."""

    data: Path | None  # None: predictions alone
    columns: Columns
    output: Path
    encoding: str = "utf-8"
    budget_minutes: float = 5.0
    language: str = "en"
    regularizer: str | None = None  # of the small network; None: weight decay
    noise_model: str | None = None
    verify_sheet: int | None = None
    verified: Path | None = None
    predictions: Path | None = None
    program: str | None = None  # what is trained, in place of the small network
    embed_rows: bool = False
    prices: Prices = field(default_factory=Prices)

    def as_json(self) -> dict[str, Any]:
        """Return the options as audit.json holds them."""
        return {name: _shown(value) for name, value in asdict(self).items()}


def _shown(value: Any) -> Any:
    """Show a value; a path (a column's name beside a .npy is one too) as it may be shown elsewhere."""
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_shown(inner) for inner in value]
    names_file = isinstance(value, Path) or (isinstance(value, str) and value.endswith(".npy"))
    return portable_path(value) if names_file else value


@lru_cache(maxsize=2)
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return a language's texts: ``progress``, ``notices``, ``actions``, ``phases`` and ``page``, each by its code."""
    content: Mapping[str, Mapping[str, str]] = yaml.safe_load(
        (Path(__file__).parent / "texts_data" / f"{language}.yaml").read_text(encoding="utf-8")
    )
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One remark: its code, by which the texts in each language are found, and the values that they name."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, language: str) -> str:
        """Return the remark in a language."""
        return texts(language)["notices"][self.code].format(**self.values)

    def as_json(self) -> dict[str, Any]:
        """Return the remark as audit.json holds it."""
        return {"code": self.code, **self.values, "text": self.text("en")}


TABLES = (".csv", ".parquet")
ARRAYS = (".npz", ".npy")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """The data as they are in the file; row i is the file's row i, counted from 0."""

    source: str
    features: pd.DataFrame | NDArray[Any]  # columns (n, columns), or an array (n, ...)
    labels: pd.Series  # (n,)
    group: pd.Series | None = None
    time: pd.Series | None = None
    raters: pd.DataFrame | None = None  # (n, raters)
    verified: pd.Series | None = None  # missing where a row was not verified
    cost: pd.Series | None = None


def read_table(path: Path, columns: Columns, encoding: str = "utf-8") -> Table:
    """Read a data file; UserError names what can't be used."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; allowed: a {', '.join((*TABLES, *ARRAYS))} file")
    ending = path.suffix.lower()
    if ending in TABLES:
        return _of_frame(path, read_frame(path, encoding), columns)
    if ending in ARRAYS:
        return _of_arrays(path, columns)
    raise UserError(f"{path} has the ending '{path.suffix}'; allowed: {', '.join((*TABLES, *ARRAYS))}")


def _of_frame(path: Path, frame: pd.DataFrame, columns: Columns) -> Table:
    missing = [name for name in columns.special if name not in frame]
    if missing:
        known = list(map(str, frame.columns))
        hints = [f"'{name}'{did_you_mean(name, known)}" for name in missing]
        hint = "; columns are separated by comma, semicolon, tab or |" if len(known) == 1 else ""
        raise UserError(f"{path} has no column {', '.join(hints)}; it has {_listed(known)}{hint}")
    features = frame.drop(columns=list(dict.fromkeys(columns.special)))
    if not features.shape[1]:
        raise UserError(f"{path} has no column left for features besides {_listed(columns.special)}")
    return _table(path, features, columns, frame.__getitem__)


def _table(
    path: Path, features: pd.DataFrame | NDArray[Any], columns: Columns, column: Callable[[str], pd.Series]
) -> Table:
    def found(name: str | None) -> pd.Series | None:
        return None if name is None else column(name)

    return Table(
        source=str(path),
        features=features,
        labels=column(columns.label),
        group=found(columns.group),
        time=found(columns.time),
        raters=pd.DataFrame({name: column(name) for name in columns.raters}) if columns.raters else None,
        verified=found(columns.verified),
        cost=found(columns.cost),
    )


def _of_arrays(path: Path, columns: Columns) -> Table:
    """Take features from the array X (or all of a .npy) and everything else from arrays by their names."""
    content = _load(path)
    if isinstance(content, np.ndarray):
        named = [name for name in columns.special if name not in columns.drop]
        arrays = {name: _beside(path, name) for name in named} | {"X": content}
    else:
        arrays = content
    missing = [name for name in ("X", *columns.special) if name not in arrays]
    if missing:
        raise UserError(f"{path} has no array '{missing[0]}'; it has {_listed(arrays)}; allowed: X and the labels")
    features = arrays["X"]
    if features.dtype.kind not in "fiub" or not features.ndim:
        raise UserError(f"{path}: X holds {features.dtype} of the shape {features.shape}; allowed: numbers (rows, ...)")
    for name in columns.special:
        if arrays[name].shape[:1] != features.shape[:1] or arrays[name].ndim != 1:
            raise UserError(
                f"{path}: {name} has the shape {arrays[name].shape}, X has {len(features)} rows; allowed: one each"
            )
    return _table(path, features, columns, lambda name: pd.Series(arrays[name]))


def _beside(path: Path, name: str) -> NDArray[Any]:
    """Load the .npy that an option names, from the working directory or beside the features."""
    for place in (Path(name), path.parent / name):
        if place.suffix.lower() == ".npy" and place.is_file():
            found = _load(place)
            if isinstance(found, np.ndarray):
                return found
    raise UserError(f"{path} holds only features: '{name}' must be a .npy file with one value for each row")


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            return {name: np.asarray(content[name]) for name in content.files}
    except Exception as error:  # whatever a damaged file may raise
        why = "it holds Python objects" if "pickle" in str(error) else "it is damaged, or not a NumPy file"
        raise UserError(f"{path} can't be read: {why}; allowed: arrays of numbers or text (numpy.savez)") from None


def _listed(names: Iterable[object], most: int = 12) -> str:
    texts: Sequence[str] = [f"'{name}'" for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "") or "nothing"
