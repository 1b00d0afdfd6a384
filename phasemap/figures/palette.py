"""One colour, one letter and one hatch per label, the same in every figure (Okabe & Ito, colour-blind safe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from phasemap.phases.marks import BUILT_IN_MARKS, UNLABELLED_MARKS, Mark, marks
from phasemap.study.spec import PhaseRule

__all__ = [
    "FRONTIERS",
    "MARKS",
    "OKABE_ITO",
    "STEP_TIMES",
    "STROKES",
    "LineStyle",
    "Mark",
    "Stroke",
    "marks_of",
    "strokes",
]

MARKS = {**BUILT_IN_MARKS, **UNLABELLED_MARKS}
"""In the order of the legend."""


@lru_cache(maxsize=16)
def marks_of(rule: PhaseRule) -> Mapping[str, Mark]:
    """Return the mark of every label that a study's points can have, in the order of the legend."""
    return MARKS if rule.own is None else MappingProxyType({**marks(rule.own), **UNLABELLED_MARKS})


LineStyle = Literal["solid", "dashed", "dashdot", "dotted"]

FRONTIERS: dict[str, tuple[str, LineStyle]] = {
    "generalization": ("test accuracy {level:g}", "solid"),
    "inversion": ("generalization beats memorization", "dashed"),
}
"""Each frontier's meaning and line style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """How a line is drawn: never told apart by its colour alone."""

    label: str
    colour: str
    style: LineStyle = "solid"
    marker: str = ""


STROKES = {
    "train_accuracy": Stroke(label="train accuracy", colour="#d55e00", marker="o"),
    "test_accuracy": Stroke(label="test accuracy", colour="#0072b2", marker="s"),
    "clean_accuracy": Stroke(label="clean accuracy", colour="#009e73", style="dashed", marker="^"),
    "memorized_accuracy": Stroke(label="memorized accuracy", colour="#e69f00", style="dashdot", marker="v"),
    "recovered_accuracy": Stroke(label="recovered accuracy", colour="#56b4e9", style="dotted", marker="D"),
    "extracted_accuracy": Stroke(label="extracted accuracy", colour="#000000", style="dashed", marker="x"),
    "mean_ipr": Stroke(label="mean IPR", colour="#cc79a7", marker="P"),
    "train_loss": Stroke(label="train loss", colour="#d55e00", marker="o"),
    "test_loss": Stroke(label="test loss", colour="#0072b2", style="dashed", marker="s"),
    "u": Stroke(label="U", colour="#0072b2", marker="o"),
    "v": Stroke(label="V", colour="#e69f00", style="dashed", marker="s"),
    "w": Stroke(label="W", colour="#009e73", style="dashdot", marker="^"),
    "weight_norm": Stroke(label="all weights", colour="#000000", style="dotted", marker="D"),
}
"""Each quantity's line, the same in every figure."""

STEP_TIMES = {
    "memorization_step": ("m", Stroke(label="memorization", colour="#444444", style="dotted")),
    "grokking_step": ("g", Stroke(label="generalization", colour="#444444", style="dashed")),
    "unlearning_step": ("u", Stroke(label="unlearning", colour="#444444", style="dashdot")),
    "forgetting_step": ("f", Stroke(label="forgetting", colour="#444444", style="solid")),
}
"""The letter and the line of each step time."""

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#000000")
DARK_TO_LIGHT = ("#440154", "#404387", "#29788e", "#22a784", "#79d151")  # viridis without its palest end
STYLES: tuple[LineStyle, ...] = ("solid", "dashed", "dashdot", "dotted")
MARKERS = ("o", "s", "^", "v", "D", "P", "x")


def strokes(labels: Sequence[str], *, ordered: bool) -> list[Stroke]:
    """Return a line for each label; ``ordered`` labels go from dark to light."""
    return [
        Stroke(
            label=label,
            colour=_between(number / max(len(labels) - 1, 1)) if ordered else OKABE_ITO[number % len(OKABE_ITO)],
            style=STYLES[number % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)],
        )
        for number, label in enumerate(labels)
    ]


def _between(share: float) -> str:
    """Return the colour at a share of the way through DARK_TO_LIGHT."""
    place = share * (len(DARK_TO_LIGHT) - 1)
    low = min(int(place), len(DARK_TO_LIGHT) - 2)
    ends = [[int(DARK_TO_LIGHT[low + i][j : j + 2], 16) for j in (1, 3, 5)] for i in (0, 1)]
    mixed = [round(a + (b - a) * (place - low)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)
