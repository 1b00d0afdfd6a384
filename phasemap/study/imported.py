"""A study whose trials somebody else made: their settings are read off them, and they may lie on no grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from phasemap.study.axes import Axis, Scale
from phasemap.study.identity import Identity
from phasemap.study.program_file import ProgramReader
from phasemap.study.program_study import PROGRAM_KEYS, ProgramStudy
from phasemap.study.values import describe

MEASURED = "measured.parquet"
"""The file beside a study's, with its points (one row each) where they lie on no grid."""
_FIXED = PROGRAM_KEYS.index("fixed")


class ImportedStudy(ProgramStudy):
    """A study of a sweep that was made elsewhere."""

    file_keys = (*PROGRAM_KEYS[:_FIXED], "measured", "grid", *PROGRAM_KEYS[_FIXED:])
    measured: tuple[tuple[Any, ...], ...] = ()  # the points, in place of every combination of the axes' values
    grid: tuple[tuple[str, str], ...] = ()  # on which the map of such points is inferred, by axis as 33 or 33:log

    @property
    def identity(self) -> Identity:
        """What ids are made of: all settings but those that a trial lacks, so that a later setting changes no id."""
        constant = {"program": self.signature.name, "version": self.version}
        return Identity(constant=constant, defaults=dict.fromkeys(self.declared))

    @property
    def scattered(self) -> bool:
        """Whether the points are not every combination of the axes' values, but lie where they were measured."""
        return bool(self.measured)

    @property
    def inferred_grid(self) -> Mapping[str, str]:
        """The grid on which a map of scattered points is inferred."""
        return dict(self.grid) if self.measured else {}

    @property
    def n_points(self) -> int:
        """Count the points."""
        return len(self.measured) or super().n_points

    def points(self) -> Iterator[tuple[Any, ...]]:
        """Yield the points: those that were measured, or every combination of axis values, the last axis fastest."""
        return iter(self.measured) if self.measured else super().points()


def measured_axis(name: str, values: Sequence[Any], drawn: Scale) -> Axis:
    """Return an axis of values that lie on no grid: each once, in ``in_order``."""
    return Axis(name=name, values=tuple(in_order(values)), drawn=drawn)


def in_order(values: Iterable[Any]) -> list[Any]:
    """Return distinct values of one type in their order; nothing comes last."""
    return sorted(dict.fromkeys(values), key=lambda value: (value is None, 0 if value is None else value))


@dataclass
class ImportedReader(ProgramReader):
    """Turns the study file of an imported run into its study; points that lie on no grid stand in a file beside it."""

    columns: Mapping[str, list[Any]] = field(default_factory=dict)

    def study(self) -> ImportedStudy:
        """Return the study; StudyError names every mistake in it."""
        if self.document.content.get("measured") is not None:
            self.columns = self._measured()
        study = super().study()
        assert isinstance(study, ImportedStudy)
        return study

    def further(self) -> dict[str, Any]:
        """Return the points that lie on no grid."""
        grid = self.document.content.get("grid") or {}
        return {
            "measured": tuple(zip(*self.columns.values(), strict=True)),
            "grid": tuple((str(name), str(asked)) for name, asked in grid.items()),
        }

    def axes(self, content: Any) -> tuple[Axis, ...]:
        """Read the axes: their values, or the scales of those whose values stand in the file of points."""
        if not self.columns or not isinstance(content, dict):
            return super().axes(content)
        for name, scale in content.items():
            if name not in self.columns or scale not in get_args(Scale):
                names, scales = ", ".join(self.columns), ", ".join(get_args(Scale))
                self.wrong(("axes", name), f"= {describe(scale)} is not allowed; allowed: {scales}, of {names}")
        self.stop_if_wrong()
        self.columns = {name: self.columns[name] for name in content}
        return tuple(measured_axis(name, self.columns[name], scale) for name, scale in content.items())

    def unquoted(self) -> None:
        """Say nothing of words like no: the file was written by phasemap."""

    def _measured(self) -> dict[str, list[Any]]:
        import pyarrow.parquet as pq

        path = Path(self.document.source).parent / MEASURED
        try:
            columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
        except (OSError, ValueError) as error:
            self.wrong(("measured",), f"= {MEASURED} can't be read: {str(error).splitlines()[0]}")
            self.stop_if_wrong()
        return columns
