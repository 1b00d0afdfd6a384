"""Commands that show runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasemap.cli.complete import complete_axis, complete_fix, complete_metric, of_run
from phasemap.cli.shared import STATE_UNKNOWN, common, grid_of, print_result, search_words, words
from phasemap.figures import KINDS, PHASES, SCALES, SIZES

if TYPE_CHECKING:
    from phasemap.api import Run
    from phasemap.runs import RunStatus

MOST_SLOW = 5
SLOW_TIMES, SLOW_SECONDS = 4.0, 10.0  # the median of like trials, and seconds above it, from which a trial is slow
SAME_COST = ("corruption", "weight_decay", "learning_rate", "init_scale")  # axes that training's time does not rest on


@click.command("list")
@common
def list_command(storage: str | None, as_json: bool) -> None:
    """List the runs of a storage."""
    from phasemap.api import Run
    from phasemap.results.folder import check_storage, list_runs
    from phasemap.study.errors import UserError

    check_storage(storage)
    rows, lines = [], []
    for folder in list_runs(storage):
        row: dict[str, Any] = {"name": folder.name, "run": folder.location}
        try:
            status = Run(folder).status
            row |= {
                "n_trials": status.n_trials,
                "n_done": status.n_done,
                "phase_counts": status.phase_counts,
                "at_step": status.at_step,
                "state": status.state,
                "last_outcome": status.last.outcome,
                "last_started": status.last.started,
            }
            lines.append(f"{folder.name:<24} {_list_words(status)}")
        except UserError as error:  # one bad folder must not hide the others
            row["error"] = str(error)
            lines.append(f"{folder.name:<24} {str(error).splitlines()[0]}")
        rows.append(row)
    print_result(rows, "\n".join(lines) or "no runs", as_json=as_json)


def _list_words(status: RunStatus) -> str:
    horizon = f" (labels at step {status.at_step})" if status.at_step is not None else ""
    return f"{status.progress}  {status.state or STATE_UNKNOWN}  {words(status.phase_counts)}{horizon}"


@click.command()
@of_run
def show(run: str, storage: str | None, as_json: bool) -> None:
    """Show a run in the terminal: counts per phase, the diagram, unusually slow trials, what failed."""
    from phasemap.api import open_run
    from phasemap.phases.labelling import rules_differ
    from phasemap.results.encoding import records
    from phasemap.study.trials import trials_of_run

    opened = open_run(run, storage)
    trials, points, axes = opened.trials, opened.points, list(opened.study.axis_names)
    bad = trials[trials["status"].isin(["failed", "diverged"])]
    differ = rules_differ(trials)
    content = {
        "run": opened.location,
        "n_trials": trials_of_run(opened.study, len(trials)),
        "n_done": int(trials["status"].isin(["ok", "diverged"]).sum()),
        "phase_counts": opened.counts("phase"),
        "subphase_counts": opened.counts("subphase"),
        "point_phase_counts": points["phase"].dropna().value_counts().to_dict(),
        "point_subphase_counts": points["subphase"].dropna().value_counts().to_dict(),
        "n_measured_points": int((points["n_seeds"] > 0).sum()),
        "n_inferred_points": int(points["inferred"].sum()),
        "expected_wrong": opened.expected_wrong,
        "n_missing_points": int(points["phase"].isna().sum()),
        "rules_disagree": differ and differ[0],
        "unlabelled": _reasons(trials),
        "at_step": opened.study.phases.at_step,
        "last_record": None if trials["horizon"].isna().all() else int(trials["horizon"].max()),
        "unfinished": records(bad[["trial_id", "status", "error"]]),
        "slowest": records(trials.nlargest(MOST_SLOW, "train_seconds")[[*axes, "seed", "trial_id", "train_seconds"]]),
    }
    if as_json:
        print_result(content, "", as_json=True)
        return
    _print_run(opened, content, differ)


def _print_run(opened: Run, content: Mapping[str, Any], differ: tuple[int, int] | None) -> None:
    """Print for people what ``show`` found; ``differ`` is on how many trials the built-in rules do."""
    from rich.console import Console

    from phasemap.figures.small import terminal_figure
    from phasemap.figures.spec import figure_spec

    trials, axes = opened.trials, list(opened.study.axis_names)
    console = Console(highlight=False)
    console.print(f"{opened.study.name}: {opened.status.progress}", style="bold")
    labelled = bool(opened.study.phases.labels)
    if labelled:
        console.print(f"trials: {words(content['phase_counts'])}")
        console.print(f"points: {words(content['point_subphase_counts'])}")
    if opened.study.search.kind != "grid":
        console.print(f"map: {search_words(opened)}")
    two = f"; the two built-in rules differ on {differ[0]} of {differ[1]} trials" if differ else ""
    way = f"no labels; add some with a rule file: phasemap relabel {content['run']} --rule FILE"
    console.print(f"labelled by {opened.study.phases.rule}{_at_step(content)}{two}" if labelled else way, markup=False)
    if stopped := int((trials["status"] == "stopped").sum()):
        console.print(f"stopped: {stopped} imported trials were stopped before their end")
    for reason, count in content["unlabelled"].items():
        console.print(f"unlabelled: {count} trials, {reason}", markup=False)
    console.print()
    if opened.study.scattered:
        from phasemap.figures.scatter import coarse_spec

        spec = coarse_spec(opened.study, opened.points)
        console.print("the points lie on no grid; each cell shows the label that most of its points have")
    else:
        spec = figure_spec(opened.diagram().data)
    console.print(terminal_figure(spec, console.width), soft_wrap=True)
    for row in _slow(trials, axes):
        console.print(
            f"slow: {row['train_seconds']:.1f} s (usual: {row['usual']:.1f} s)  "
            f"trial {row['trial_id']}  {_point_words(row, axes)}",
            markup=False,
            soft_wrap=True,
        )
    for row in content["unfinished"]:
        console.print(f"{row['status']}: trial {row['trial_id']} {row['error'] or ''}", markup=False)


def _reasons(trials: Any) -> dict[str, int]:
    """Count the trials without a label by why they have none."""
    return trials["label_reason"].value_counts().to_dict()


def _at_step(content: Mapping[str, Any]) -> str:
    """Say at which step labels were taken, where that is not the end of the training."""
    if content["at_step"] is None:
        return ""
    return f" at step {content['at_step']} (last record: step {content['last_record']})"


def _slow(trials: Any, axes: Sequence[str]) -> Any:
    """Return the trials that took many times what others of their size took, the slowest first."""
    from phasemap.results.encoding import records

    like = [name for name in axes if name not in SAME_COST]
    seconds = trials["train_seconds"]
    groups = [trials[name].astype(str) for name in like] or [trials["status"].isna()]
    usual = seconds.groupby(groups).transform("median")
    slow = trials.assign(usual=usual)[(seconds > SLOW_TIMES * usual) & (seconds > usual + SLOW_SECONDS)]
    return records(slow.nlargest(MOST_SLOW, "train_seconds")[[*axes, "seed", "trial_id", "train_seconds", "usual"]])


def _point_words(row: Mapping[str, Any], axes: Sequence[str]) -> str:
    from phasemap.diagram.coordinates import show_value

    return ", ".join(f"{name} {show_value(row[name])}" for name in [*axes, "seed"])


@click.command()
@of_run
@click.option(
    "-x", metavar="AXIS", shell_complete=complete_axis, help="The axis to the right; default the study's first."
)
@click.option(
    "-y",
    metavar="AXIS",
    shell_complete=complete_axis,
    help="The axis up; default the study's second. 'step' is an axis too.",
)
@click.option(
    "--facet",
    metavar="AXIS",
    multiple=True,
    shell_complete=complete_axis,
    help="Axes that vary between panels; default the remaining ones.",
)
@click.option(
    "--fix", metavar="AXIS=VALUE", multiple=True, shell_complete=complete_fix, help="Hold an axis at one of its values."
)
@click.option(
    "--metric",
    metavar="NAME",
    shell_complete=complete_metric,
    help="phase, subphase (default of phases) or the name of a quantity.",
)
@click.option("--band", is_flag=True, help="Phases: draw where each frontier may lie (90 %).")
@click.option("--cells", is_flag=True, help="Phases: write each cell's letter, not the regions' names.")
@click.option(
    "--scale", type=click.Choice(SCALES), default=SCALES[0], help="Phases: value draws the axes true to scale."
)
@click.option("--grid", metavar="AXIS=N[:log],...", help="Infer the map of points that lie on no grid.")
@click.option("--kind", type=click.Choice(KINDS), default="phases", show_default=True, help="What to draw.")
@click.option("--size", type=click.Choice(SIZES), help="Fit one or two columns of a page; default: as wide as needed.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="png, svg or pdf; default NAME-KIND.png here.")
def plot(
    run: str,
    storage: str | None,
    as_json: bool,
    kind: str,
    metric: str | None,
    fix: tuple[str, ...],
    grid: str | None,
    size: str | None,
    output: Path | None,
    **axes: Any,
) -> None:
    """Draw a run's phase diagram, a map of one quantity, or what its networks did.

    \b
    phases   the diagram, or --metric QUANTITY as a map
    curves   accuracies over the steps; --metric QUANTITY: a line for each value of -x
    norms    weight norms over the steps
    ipr      how periodic the neurons are, before and after  (record: [ipr])
    neurons  the most and the least periodic neuron; gains   (record: [neurons])
    pruning  accuracies, or --metric a loss, while pruning; over -x width the neurons needed  (record: [pruning])
    logits   of the corrupted examples                       (record: [logits])

    Points that lie on no grid are drawn where they were measured, with --grid over the map inferred from them: in
    lighter colours, and white where nothing is known.

    In all kinds but phases each point has a panel: -x to the right, -y and --facet down.
    """
    from phasemap.api import open_run
    from phasemap.figures.spec import first_metric
    from phasemap.figures.static import check_format, save_figure
    from phasemap.study.yaml_lines import read_assignment

    opened = open_run(run, storage)
    metric = metric or (first_metric(opened.study) if kind == PHASES else None)
    parts = [opened.study.name, None if kind == PHASES else kind, metric]
    path = output or Path("-".join(filter(None, parts)) + ".png")
    check_format(path)
    held = dict(read_assignment(text, "--fix") for text in fix)
    spec = opened.figure(kind, metric=metric, fix=held, grid=grid_of(grid), **axes)
    save_figure(spec, path, size)
    for cut in re.findall(r"only the first \d+ of \d+ panels are drawn", spec.subtitle, re.IGNORECASE):
        click.echo(f"{cut.lower()}; --fix AXIS=VALUE chooses others", err=True)
    print_result(
        {"file": str(path), "kind": kind, "metric": metric, "n_panels": len(spec.panels)},
        str(path),
        as_json=as_json,
    )
