"""The command that tests a run's claims."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from phasemap.cli.complete import of_run
from phasemap.cli.shared import EXIT_FAILED, print_result

if TYPE_CHECKING:
    from phasemap.api import Run
    from phasemap.diagram.claims import ClaimResult

VERDICTS = ("holds", "fails", "undecided")
SCALE = ("task", "modulus", "model", "width", "depth", "steps")


@click.command()
@of_run
@click.option(
    "--claim", "more", metavar="TEXT", multiple=True, help="Test one more claim, which the study need not have."
)
def check(run: str, storage: str | None, as_json: bool, more: tuple[str, ...]) -> None:
    """Test the study's claims on a run: each holds, fails or is undecided over the seeds.

    Exits with 1 if a claim fails.
    """
    from phasemap.api import open_run

    opened = open_run(run, storage)
    results = opened.check([*opened.study.claims, *more])
    horizon = filter(None, [opened.study.phases.horizon_words])
    text = (
        "\n".join([*map(_block, results), _totals(results), *horizon])
        if results
        else f"{opened.study.name} has no claims"
    )
    print_result(_content(opened, results) if as_json else None, text, as_json=as_json)
    sys.exit(EXIT_FAILED if any(result.verdict == "fails" for result in results) else 0)


def _totals(results: Sequence[ClaimResult]) -> str:
    counts = _counts(results)
    return f"{counts['holds']} of {len(results)} claims hold, {counts['fails']} fail, {counts['undecided']} undecided"


def _counts(results: Sequence[ClaimResult]) -> dict[str, int]:
    return {verdict: sum(result.verdict == verdict for result in results) for verdict in VERDICTS}


def _block(result: ClaimResult) -> str:
    from phasemap.diagram.claim_links import link_words

    lines = [f"{result.verdict:<11}{result.text}"]
    lines += [f"{'':<11}{link_words(link, result.n_seeds)}" for link in result.links]
    if result.reason:
        lines.append(f"{'':<11}{result.reason}")
    return "\n".join(lines)


def _content(run: Run, results: Sequence[ClaimResult]) -> dict[str, Any]:
    from phasemap.results.commands import portable_path
    from phasemap.results.provenance import read_provenance
    from phasemap.study.trials import count_trials, values_of

    study, executions = run.study, read_provenance(run.folder)
    told = [name for name in SCALE if name in study.declared] or list(study.declared)
    values = {name: [value for _, value in values_of(study, name)] for name in told}
    trained = [execution for execution in executions if execution.trained]
    return {
        "run": portable_path(run.location),  # the document is kept with papers and pages
        "study": study.name,
        "question": study.question,
        "rule": study.phases.rule,
        "at_step": study.phases.at_step,
        "scale": {name: several[0] if len(several) == 1 else several for name, several in values.items()},
        "axes": {axis.name: list(axis.values) for axis in study.axes},
        "n_seeds": len(study.seeds),
        "n_trials": count_trials(study),
        "n_done": int(run.trials["status"].isin(["ok", "diverged"]).sum()),
        "core_hours": round(sum(execution.core_hours for execution in executions), 6),
        "execution": (trained or executions)[-1].content if executions else None,  # the last that trained
        "counts": _counts(results),
        "claims": [_claim(result) for result in results],
    }


def _claim(result: ClaimResult) -> dict[str, Any]:
    """Return a claim's result; a number that is not known is null, and the reason says why."""
    names = ("verdict", "left", "right", "difference", "interval", "n_seeds", "n_trials", "n_expected", "reason")
    of_links = ("left", "comparison", "right", "difference", "interval", "verdict")
    links = [{name: getattr(link, name) for name in of_links} for link in result.links]
    return {"claim": result.text, **{name: getattr(result, name) for name in names}, "links": links}
