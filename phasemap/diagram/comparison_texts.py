"""A comparison of two runs written out: as plain values for JSON, and as the comment of a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from phasemap.diagram.coordinates import show_value
from phasemap.diagram.diagram import panel_rows
from phasemap.phases.marks import marks_of
from phasemap.results.encoding import records

if TYPE_CHECKING:
    from phasemap.diagram.compare import Comparison

MARKER = "<!-- phasemap diff -->"
"""The first line, by which a comment of before is found and replaced."""
MOST_CELLS = 20  # that are listed
MOST_COLUMNS, MOST_ROWS = 60, 40  # of a map in letters
CHANGED = "*"


def comparison_markdown(
    comparison: Comparison, claims: Iterable[tuple[str, str, str]] = (), picture: str | None = None
) -> str:
    """Write a comparison as GitHub's markdown; ``claims`` are texts with their verdicts in A and in B."""
    changed = comparison.points[comparison.points["changed"]]
    lines = [
        MARKER,
        f"### Phase diagram: {comparison.verdict}",
        "",
        f"A {_code(comparison.name_a)}, B {_code(comparison.name_b)}: {_plain(comparison.reason)}. {len(changed)} of "
        f"{comparison.n_points} points have a different label; {comparison.n_only_a} only in A, "
        f"{comparison.n_only_b} only in B.",
        "",
        *(f"- differs: {_code(text)}" for text in comparison.differences),
        "",
    ]
    if picture:
        lines += [f"![phase diagrams of A and B, and where they differ]({picture})", ""]
    rows = [[_code(text), _word(a, b, a), _word(a, b, b)] for text, a, b in claims]
    lines += _table(["claim", "A", "B"], rows)
    names = [name for name in changed if name not in ("phase_a", "phase_b", "changed")]
    cells = changed[names].head(MOST_CELLS)
    lines += _table(names, [[_shown(value) for value in row] for row in cells.itertuples(index=False)])
    if len(changed) > MOST_CELLS:
        lines += [f"... and {len(changed) - MOST_CELLS} more", ""]
    if len(comparison.shifts):
        shown = comparison.shifts.head(MOST_CELLS)
        lines += [f"Frontiers, {_plain(comparison.shift_words)}:", ""]
        lines += _table(list(shown), [[_shown(value) for value in row] for row in shown.itertuples(index=False)])
    return "\n".join([*lines, *_maps(comparison)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    cells = [list(head), ["---"] * len(head), *rows]
    return [*("| " + " | ".join(row) + " |" for row in cells), ""]


def _word(a: str, b: str, own: str) -> str:
    return own if a == b else f"**{own}**"


def _code(text: str) -> str:
    """Return text as code, in which nothing has a meaning; a bar would end a table's cell."""
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


def _plain(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_<>[]|#" else c for c in text)


def _shown(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else _plain(show_value(value))


def _maps(comparison: Comparison) -> list[str]:
    """Draw B in letters, with a sign where A has a different label: it shows where no picture can be hosted."""
    a, b = comparison.diagram_a, comparison.diagram_b
    marks = {**marks_of(b.study.phases), **marks_of(a.study.phases)}
    if len(a.x.values) > MOST_COLUMNS or len(a.y.values) > MOST_ROWS:
        return []
    panel = b.panels[0]
    places = panel_rows(b.study, b.x, b.y, {**b.fixed, **panel.facet})
    changed = set(comparison.points.index[comparison.points["changed"]])
    wide = max(len(show_value(value)) for value in a.y.values)
    lines = []
    for row in reversed(range(len(a.y.values))):
        cells = []
        for place, label in zip(places[row], panel.grid["subphase"][row], strict=True):
            letter = " " if pd.isna(label) else marks[label].letter or " "
            cells.append(letter + (CHANGED if place in changed else " "))
        lines.append(f"{show_value(a.y.values[row]):>{wide}} {''.join(cells)}".rstrip())
    used = dict.fromkeys(str(label) for label in panel.grid["subphase"].ravel() if not pd.isna(label))
    legend = ", ".join(f"{marks[label].letter or 'blank'} {marks[label].title}" for label in used)
    first, last = show_value(a.x.values[0]), show_value(a.x.values[-1])
    across = f"{a.x.axis.name} from {first} to {last} to the right"
    title = f"B, {CHANGED} where A has a different label; {legend}"
    return [
        "<details><summary>The map in letters</summary>",
        "",
        "```",
        *lines,
        f"{across}; {title}",
        "```",
        "</details>",
        "",
    ]


def comparison_content(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; numbers that are not known are null."""
    return {
        "verdict": comparison.verdict,
        "reason": comparison.reason,
        "differences": list(comparison.differences),
        "same_networks": comparison.same.whole,
        "n_same_networks": comparison.same.n_same,
        "n_points": comparison.n_points,
        "n_only_a": comparison.n_only_a,
        "n_only_b": comparison.n_only_b,
        "p_seeds": comparison.p_seeds,
        "p_map": comparison.p_map,
        "transitions": {
            level: {
                "agreement": t.agreement,
                "kappa": None if t.kappa != t.kappa else t.kappa,
                "counts": {str(a): {str(b): int(n) for b, n in row.items()} for a, row in t.counts.iterrows()},
            }
            for level, t in comparison.transitions.items()
        },
        "changed_points": records(comparison.points[comparison.points["changed"]]),
        "shifts": records(comparison.shifts),
        "shifts_paired_over_seeds": list(comparison.paired_seeds),
        "shifts_are": comparison.shift_words,
    }
