"""The command that compares two runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phasemap.cli.complete import complete_run
from phasemap.cli.shared import EXIT_FAILED, common, print_result

if TYPE_CHECKING:
    import pandas as pd

    from phasemap.api import Run
    from phasemap.diagram.compare import Comparison

MOST_ROWS = 20


@click.command()
@click.argument("run_a", shell_complete=complete_run)
@click.argument("run_b", shell_complete=complete_run)
@common
@click.option("--fail-on-change", is_flag=True, help="Exit with 1 unless the runs are equal within the seeds' noise.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="html (tables and picture), png, svg or pdf.")
@click.option("--format", "form", type=click.Choice(["text", "markdown"]), default="text", show_default=True)
def diff(
    run_a: str, run_b: str, storage: str | None, as_json: bool, fail_on_change: bool, output: Path | None, form: str
) -> None:
    """Compare RUN_A with RUN_B: which points changed their phase, and how far the frontiers moved.

    --format markdown gives what a comment on a pull request needs: the verdict, both runs' claims, the changed points
    and, with -o, the picture by that name.

    A map has changed if its labels differ by more than the seeds differ among themselves, or if single points do.
    """
    from phasemap.api import open_run
    from phasemap.diagram.comparison_texts import comparison_content

    a, b = open_run(run_a, storage), open_run(run_b, storage)
    comparison = a.diff(b)
    if output:
        from phasemap.figures.difference import save_difference

        save_difference(comparison, output)
    content = {**comparison_content(comparison), "file": str(output) if output else None}
    text = _markdown(a, b, comparison, output) if form == "markdown" else "\n".join(_lines(comparison, output))
    print_result(content, text, as_json=as_json)
    sys.exit(EXIT_FAILED if fail_on_change and not comparison.equal else 0)


def _markdown(a: Run, b: Run, comparison: Comparison, output: Path | None) -> str:
    """Write a comparison for a pull request, with the claims of both runs tested on each."""
    from phasemap.diagram.comparison_texts import comparison_markdown

    claims = [
        (text, _verdict(a, text), _verdict(b, text)) for text in dict.fromkeys((*a.study.claims, *b.study.claims))
    ]
    shown = output.name if output and output.suffix.lower() in (".png", ".svg") else None
    return comparison_markdown(comparison, claims, shown)


def _verdict(run: Run, claim: str) -> str:
    """Return what a run says of a claim, which may be another run's and look at axes that this one lacks."""
    from phasemap.study.errors import UserError

    try:
        return run.check([claim])[0].verdict
    except UserError:
        return "can't be tested"


def _lines(comparison: Comparison, output: Path | None) -> list[str]:
    """Write a comparison for people."""
    changed = comparison.points[comparison.points["changed"]]
    lines = [f"A {comparison.name_a}, B {comparison.name_b}: {comparison.verdict}", comparison.reason, ""]
    lines += [f"differs: {text}" for text in comparison.differences]
    lines.append(
        f"{comparison.n_points} points compared; {comparison.n_only_a} only in A, {comparison.n_only_b} only in B"
    )
    for level, t in comparison.transitions.items():
        lines.append(f"{level}: agreement {t.agreement:.1%}, kappa {t.kappa:.2f}")
    lines += ["", "A down, B to the right:", comparison.transitions["phase"].counts.to_string(), ""]
    if len(changed):
        columns = [c for c in changed if c not in ("phase_a", "phase_b", "changed")]
        lines += _cut(changed[columns], f"{len(changed)} points with a different label:")
    if len(comparison.shifts):
        title = "frontiers, where both cross a row (shift B - A with 95 % interval):"
        lines += _cut(comparison.shifts, f"{title}\n{comparison.shift_words}")
    return [*lines, *([str(output)] if output else [])]


def _cut(frame: pd.DataFrame, title: str) -> list[str]:
    text = frame.head(MOST_ROWS).to_string(index=False, float_format="{:.3g}".format)
    more = [f"... {len(frame) - MOST_ROWS} more (--json has all)"] if len(frame) > MOST_ROWS else []
    return [title, text, *more, ""]
