"""What a user asks of an audit, and the sentences in which it answers, by language and code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from phasemap.results.commands import portable_path


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
    """Return a language's texts: ``notices``, ``actions`` and ``page``, templates by their codes."""
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
