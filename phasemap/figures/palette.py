"""One colour, one letter and one hatch per label, the same in every figure (Okabe & Ito, colour-blind safe)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a label is shown."""

    name: str
    letter: str
    colour: str
    hatch: str = ""

    @property
    def title(self) -> str:
        """The label as a person reads it."""
        return self.name.replace("_", " ")

    @property
    def ink(self) -> str:
        """Black or white, whichever is readable on the colour."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


MARKS = {
    mark.name: mark
    for mark in (
        Mark(name="clean_fit", letter="L", colour="#c3e3f6"),
        Mark(name="coexistence", letter="C", colour="#56b4e9"),
        Mark(name="partial_inversion", letter="P", colour="#009e73"),
        Mark(name="full_inversion", letter="I", colour="#0072b2"),
        Mark(name="undetermined", letter="U", colour="#f0e442"),
        Mark(name="grokking", letter="G", colour="#0072b2"),
        Mark(name="memorization", letter="M", colour="#e69f00"),
        Mark(name="forgetting", letter="F", colour="#cc79a7"),
        Mark(name="confusion", letter="X", colour="#999999"),
        Mark(name="diverged", letter="D", colour="#ffffff", hatch="xxxx"),
        Mark(name="failed", letter="!", colour="#ffffff", hatch="...."),
        Mark(name="missing", letter="", colour="#ffffff", hatch="////"),
    )
}
"""In the order of the legend."""

LineStyle = Literal["solid", "dashed"]

FRONTIERS: dict[str, tuple[str, LineStyle]] = {
    "generalization": ("test accuracy {level:g}", "solid"),
    "inversion": ("generalization beats memorization", "dashed"),
}
"""Each frontier's meaning and line style."""
