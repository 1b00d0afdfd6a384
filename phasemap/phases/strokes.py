"""The line of each quantity, step time and frontier: fixed for built-in names, else by position (Okabe & Ito)."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LineStyle = str
"""solid, dashed, dotted, dashdot, or dashdotN: a dash and N dots."""


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
    "u": Stroke(label="U, from the first token", colour="#0072b2", marker="o"),
    "v": Stroke(label="V, from the second token", colour="#e69f00", style="dashed", marker="s"),
    "w": Stroke(label="W, to the output", colour="#009e73", style="dashdot", marker="^"),
    "weight_norm": Stroke(label="all weights", colour="#000000", style="dotted", marker="D"),
}
"""The lines of built-in quantities, the same in every figure."""

TIMES = {
    "memorization_step": ("m", Stroke(label="memorization", colour="#444444", style="dotted")),
    "grokking_step": ("g", Stroke(label="generalization", colour="#444444", style="dashed")),
    "unlearning_step": ("u", Stroke(label="unlearning", colour="#444444", style="dashdot")),
    "forgetting_step": ("f", Stroke(label="forgetting", colour="#444444", style="solid")),
}
"""The letter and the line of each built-in step time."""

FRONTIER_STYLES: Mapping[str, LineStyle] = {"generalization": "solid", "inversion": "dashed"}
FRONTIER_WORDS = {
    ("generalization", "test_accuracy"): "test accuracy {level:g}",
    ("inversion", "recovered_accuracy"): "generalization beats memorization",
}
"""What the built-in frontiers, by name and quantity, mean."""

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#000000")
DARK_TO_LIGHT = ("#440154", "#404387", "#29788e", "#22a784", "#79d151")  # viridis without its palest end
STYLES: tuple[LineStyle, ...] = ("solid", "dashed", "dashdot", "dotted")
MARKERS = ("o", "s", "^", "v", "D", "P", "x")
TIME_COLOUR = "#444444"


def readable(name: str) -> str:
    """Write a column's name for people."""
    return name.replace("_", " ")


def quantity_strokes(names: Iterable[str]) -> dict[str, Stroke]:
    """Return the line of each quantity: those of built-in names are fixed, others have by position what is free."""
    fixed = {name: STROKES.get(name) for name in names}
    taken = {(stroke.colour, stroke.style) for stroke in fixed.values() if stroke}
    looks = zip(*map(itertools.cycle, (OKABE_ITO, STYLES, MARKERS)), strict=True)
    free = (look for look in looks if look[:2] not in taken)
    return {name: stroke or _stroke(name, *next(free)) for name, stroke in fixed.items()}


def _stroke(name: str, colour: str, style: LineStyle, marker: str) -> Stroke:
    return Stroke(label=readable(name), colour=colour, style=style, marker=marker)


def time_strokes(names: Iterable[str]) -> dict[str, tuple[str, Stroke]]:
    """Return the letter and the line of each step time: a letter of its name that no other has."""
    names = list(names)
    strokes_by_name = {name: TIMES[name] for name in names if name in TIMES}
    taken, styles = {letter for letter, _ in strokes_by_name.values()}, itertools.cycle(STYLES[1:])
    for name in names:
        if name not in strokes_by_name:
            letters = (*name.lower(), *string.ascii_lowercase, *string.ascii_uppercase, *string.digits)
            letter = next((one for one in letters if one.isalnum() and one not in taken), "*")
            taken.add(letter)
            strokes_by_name[name] = letter, Stroke(label=readable(name), colour=TIME_COLOUR, style=next(styles))
    return {name: strokes_by_name[name] for name in names}


def frontier_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """Return the line style of each frontier: those of built-in names are fixed, others have what is free."""
    names = list(names)
    taken = {FRONTIER_STYLES[name] for name in names if name in FRONTIER_STYLES}
    more = (f"dashdot{dots}" for dots in itertools.count(2))
    free = (style for style in itertools.chain(STYLES, more) if style not in taken)
    return {name: FRONTIER_STYLES[name] if name in FRONTIER_STYLES else next(free) for name in names}


def dashes(style: LineStyle) -> tuple[float, ...]:
    """Return the lengths of a style's marks and gaps, in widths of the line; none of a solid one."""
    dots = int(style.removeprefix("dashdot") or 1) if style.startswith("dashdot") else 0
    return {"solid": (), "dashed": (4.0, 2.2), "dotted": (1.0, 1.8)}.get(style, (5.0, 1.8) + (1.0, 1.8) * dots)


def style_words(style: LineStyle) -> str:
    """Name a style in a sentence."""
    dots = style.removeprefix("dashdot")
    return f"a dash and {dots} dots" if dots.isdigit() else style.replace("dashdot", "dash-dotted")


def frontier_words(name: str, quantity: str, against: str | None, level: float) -> str:
    """Say what a frontier is: its name, and where it lies."""
    if (name, quantity) in FRONTIER_WORDS:
        return FRONTIER_WORDS[name, quantity].format(level=level)
    return f"{readable(name)}: {readable(quantity)} = {f'{level:g}' if against is None else readable(against)}"


def strokes(labels: Sequence[str], *, ordered: bool) -> list[Stroke]:
    """Return a line for each label; ``ordered`` labels go from dark to light."""
    return [
        Stroke(
            label=label,
            colour=shade(number / max(len(labels) - 1, 1)) if ordered else OKABE_ITO[number % len(OKABE_ITO)],
            style=STYLES[number % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)],
        )
        for number, label in enumerate(labels)
    ]


def shade(share: float) -> str:
    """Return the colour at a share of the way through DARK_TO_LIGHT."""
    place = share * (len(DARK_TO_LIGHT) - 1)
    low = min(int(place), len(DARK_TO_LIGHT) - 2)
    ends = [[int(DARK_TO_LIGHT[low + i][j : j + 2], 16) for j in (1, 3, 5)] for i in (0, 1)]
    mixed = [round(a + (b - a) * (place - low)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)
