"""The command line: parse, call, print."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasemap._version import __version__

if TYPE_CHECKING:
    from phasemap.api import Run

EXIT_FAILED, EXIT_WRONG, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 130

storage_option = click.option(
    "--storage", metavar="DIR", help="Where runs are kept; default ./runs. With it, RUN is a run's name."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else there."
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show the run's log messages on stderr.")
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a study's value, e.g. training.steps=500.",
)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --storage, --json and -v, and turn users' mistakes into messages with the contract's exit codes."""

    @storage_option
    @json_option
    @verbose_option
    @wraps(command)
    def wrapped(*args: Any, verbose: bool, **kwargs: Any) -> Any:
        if verbose:
            _log_to_stderr()
        return _guarded(command, *args, **kwargs)

    return wrapped


def _guarded(command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    from phasemap.study.problems import UnreachableError, UserError

    try:
        return command(*args, **kwargs)
    except UserError as error:
        _fail(str(error), EXIT_WRONG, as_json=kwargs.get("as_json", False))
    except UnreachableError as error:
        _fail(str(error), EXIT_UNREACHABLE, as_json=kwargs.get("as_json", False))
    except KeyboardInterrupt:
        _fail(
            "interrupted; what was finished is kept, and the same command continues",
            EXIT_INTERRUPTED,
            as_json=kwargs.get("as_json", False),
        )


def _fail(message: str, code: int, *, as_json: bool) -> None:
    click.echo(f"phasemap: {message}", err=True)
    if as_json:
        click.echo(json.dumps({"error": message, "exit_code": code}))
    sys.exit(code)


def _log_to_stderr() -> None:
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("phasemap").addHandler(handler)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="phasemap")
def cli() -> None:
    """Map where neural networks generalize and where they memorize.

    A study (a YAML file) goes in; its trials are trained on Ray, labelled, and merged into a phase diagram.

    \b
    Start:  phasemap init my_study.yaml
            phasemap run my_study.yaml
            phasemap show runs/my_study
    """


@cli.command()
@click.argument("study", type=click.Path(path_type=Path))
@common
@set_option
@click.option("--address", metavar="ADDR", help="A Ray cluster; 'auto' inside one. Default: Ray on this machine.")
@click.option("--cpus", type=click.IntRange(min=1), help="CPUs of the embedded Ray; default all.")
@click.option("--in-process", is_flag=True, help="Train in this process, without Ray.")
@click.option("--retry-failed", is_flag=True, help="Train only the trials that failed before.")
@click.option("--fresh", is_flag=True, help="Move the run's old folder aside and start anew.")
def run(
    study: Path,
    storage: str | None,
    as_json: bool,
    overrides: tuple[str, ...],
    address: str | None,
    cpus: int | None,
    in_process: bool,
    retry_failed: bool,
    fresh: bool,
) -> None:
    """Run STUDY, or continue its run: only what is missing is trained."""
    from phasemap.api import Run, execute
    from phasemap.results.folder import RunFolder, storage_path
    from phasemap.running.driver import check_folder, make_plan
    from phasemap.study.file import load_study

    loaded = load_study(study, overrides)
    folder = RunFolder(storage_path(storage) / loaded.name)
    if fresh and folder.path.exists():
        click.echo(f"moved {folder.path} to {folder.move_aside()}", err=True)
    for change in check_folder(loaded, folder):
        click.echo(f"changed: {change}", err=True)
    plan = make_plan(loaded, folder, retry_failed=retry_failed)
    click.echo(
        f"{loaded.name}: {plan.n_trials} trials; {plan.n_reused} reused, {plan.n_missing} to train in "
        f"{len(plan.packs)} packs (about {_duration(plan.core_seconds)} of one core)",
        err=True,
    )
    _interrupt_on_terminate()
    outcome = execute(loaded, folder, address=address, cpus=cpus, in_process=in_process, retry_failed=retry_failed)
    done = Run(folder)
    for trial_id in outcome.failures:
        error = done.trials.set_index("trial_id").at[trial_id, "error"]
        click.echo(f"failed: trial {trial_id}: {error}", err=True)
    content = {
        "run": str(folder.path),
        "n_trials": plan.n_trials,
        "n_trained": outcome.n_trained,
        "n_reused": outcome.n_reused,
        "failures": list(outcome.failures),
        "phase_counts": _counts(done, "phase"),
    }
    text = (
        f"{outcome.n_trained} trained, {outcome.n_reused} reused, {len(outcome.failures)} failed; "
        f"{_words(content['phase_counts'])}\ntables and diagram.png: {folder.path}"
    )
    _print(content, text, as_json=as_json)
    sys.exit(EXIT_FAILED if outcome.failures else 0)


@cli.command()
@click.argument("study", type=click.Path(path_type=Path))
@common
@set_option
@click.option("--cpus", type=click.IntRange(min=1), help="CPUs to plan for; default those of this machine.")
def plan(study: Path, storage: str | None, as_json: bool, overrides: tuple[str, ...], cpus: int | None) -> None:
    """Say what running STUDY would take: trials, packs, what is there already, time and memory."""
    from phasemap.results.folder import RunFolder, storage_path
    from phasemap.running.driver import check_folder, make_plan
    from phasemap.running.estimate import estimate
    from phasemap.study.file import load_study

    loaded = load_study(study, overrides)
    folder = RunFolder(storage_path(storage) / loaded.name)
    changes = check_folder(loaded, folder)
    made = make_plan(loaded, folder)
    cost = estimate(made, loaded.resources, cpus or os.cpu_count() or 1)
    content = {
        "study": loaded.name,
        "n_points": made.n_trials // len(loaded.seeds),
        "n_trials": made.n_trials,
        "n_reused": made.n_reused,
        "n_missing": made.n_missing,
        "n_packs": len(made.packs),
        "changes": changes,
        **cost,
    }
    text = (
        f"{loaded.name}: {content['n_points']} points x {len(loaded.seeds)} seeds = {made.n_trials} trials\n"
        f"already there: {made.n_reused}; to train: {made.n_missing} in {len(made.packs)} packs\n"
        f"estimated: {_duration(cost['wall_seconds'])} on {cost['slots']} packs at once, "
        f"{cost['core_hours']:.3g} core-hours, {cost['memory_bytes'] / 1e9:.2g} GB"
    )
    _print(content, "\n".join([text, *(f"changed: {change}" for change in changes)]), as_json=as_json)


@cli.command("list")
@common
def list_command(storage: str | None, as_json: bool) -> None:
    """List the runs of a storage."""
    from phasemap.api import Run
    from phasemap.results.folder import list_runs
    from phasemap.results.provenance import read_provenance
    from phasemap.study.trials import count_trials

    rows = []
    for folder in list_runs(storage):
        found, executions = Run(folder), read_provenance(folder)
        rows.append(
            {
                "name": folder.name,
                "run": str(folder.path),
                "n_trials": count_trials(found.study),
                "n_done": int(found.trials["status"].isin(["ok", "diverged"]).sum()),
                "phase_counts": _counts(found, "phase"),
                "last_outcome": executions[-1]["outcome"] if executions else None,
                "last_started": executions[-1]["started"] if executions else None,
            }
        )
    lines = [
        f"{r['name']:<24} {r['n_done']}/{r['n_trials']} trials  {r['last_outcome']}  {_words(r['phase_counts'])}"
        for r in rows
    ]
    _print(rows, "\n".join(lines) or "no runs", as_json=as_json)


@cli.command()
@click.argument("run")
@common
def show(run: str, storage: str | None, as_json: bool) -> None:
    """Show a run in the terminal: counts per phase, the diagram, what failed."""
    from rich.console import Console

    from phasemap.api import open_run
    from phasemap.figures.spec import figure_spec
    from phasemap.figures.terminal import terminal_figure
    from phasemap.study.trials import count_trials

    found = open_run(run, storage)
    trials, points = found.trials, found.points
    bad = trials[trials["status"].isin(["failed", "diverged"])]
    both = trials.dropna(subset="subphase")
    content = {
        "run": str(found.path),
        "n_trials": count_trials(found.study),
        "n_done": int(trials["status"].isin(["ok", "diverged"]).sum()),
        "phase_counts": _counts(found, "phase"),
        "subphase_counts": _counts(found, "subphase"),
        "point_phase_counts": points["phase"].dropna().value_counts().to_dict(),
        "point_subphase_counts": points["subphase"].dropna().value_counts().to_dict(),
        "n_missing_points": int(points["phase"].isna().sum()),
        "rules_disagree": int((both["subphase"] != both["subphase_doshi2024"]).sum()),
        "unfinished": json.loads(bad[["trial_id", "status", "error"]].to_json(orient="records")),
    }
    if as_json:
        _print(content, "", as_json=True)
        return
    console = Console(highlight=False)
    console.print(f"{found.study.name}: {content['n_done']}/{content['n_trials']} trials", style="bold")
    console.print(f"trials: {_words(content['phase_counts'])}")
    console.print(f"points: {_words(content['point_subphase_counts'])}")
    console.print(
        f"the rules memorized_fraction and doshi2024 disagree on {content['rules_disagree']} of {len(both)} trials"
        if found.study.phases.rule != "doshi2024"
        else "labelled by the paper's rule, doshi2024"
    )
    console.print()
    console.print(terminal_figure(figure_spec(found.diagram().data), console.width), soft_wrap=True)
    for row in content["unfinished"]:
        console.print(f"{row['status']}: trial {row['trial_id']} {row['error'] or ''}")


@cli.command()
@click.argument("run")
@common
@click.option("-x", metavar="AXIS", help="The axis to the right; default the study's first.")
@click.option("-y", metavar="AXIS", help="The axis up; default the study's second. 'step' is an axis too.")
@click.option("--facet", metavar="AXIS", multiple=True, help="Axes that vary between panels; default the others.")
@click.option("--fix", metavar="AXIS=VALUE", multiple=True, help="Hold an axis at one of its values.")
@click.option("--metric", default="subphase", show_default=True, help="phase, subphase or the name of a quantity.")
@click.option("--kind", type=click.Choice(["phases"]), default="phases", show_default=True, help="What to draw.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="png, svg or pdf; default NAME-METRIC.png here.")
def plot(
    run: str,
    storage: str | None,
    as_json: bool,
    x: str | None,
    y: str | None,
    facet: tuple[str, ...],
    fix: tuple[str, ...],
    metric: str,
    kind: str,
    output: Path | None,
) -> None:
    """Draw a run's phase diagram, or a map of one quantity."""
    from phasemap.api import open_run
    from phasemap.figures.spec import figure_spec
    from phasemap.figures.static import check_format, save_figure

    found = open_run(run, storage)
    path = output or Path(f"{found.study.name}-{metric}.png")
    check_format(path)
    diagram = found.diagram(x=x, y=y, fix=dict(map(_assignment, fix)), facet=facet)
    spec = figure_spec(diagram.data, metric)
    save_figure(spec, path)
    _print(
        {"file": str(path), "kind": kind, "metric": metric, "n_panels": len(spec.panels)},
        str(path),
        as_json=as_json,
    )


@cli.command()
@click.argument("run")
@common
@click.option("--rule", metavar="NAME-or-FILE", help="memorized_fraction, doshi2024, or a file like a study's phases.")
@click.option("--at-step", type=click.IntRange(min=1), help="Label as if the training had ended at this step.")
def relabel(run: str, storage: str | None, as_json: bool, rule: str | None, at_step: int | None) -> None:
    """Label a run again from its stored curves; nothing is trained."""
    from phasemap.api import open_run
    from phasemap.api import relabel as relabel_run

    found = open_run(run, storage)
    before = found.trials.set_index("trial_id")["subphase"]
    done = relabel_run(found, rule, at_step)
    after = done.trials.set_index("trial_id")["subphase"]
    changed = int((after.fillna("") != before.reindex(after.index).fillna("")).sum())
    content = {"run": str(done.path), "n_changed": changed, "phase_counts": _counts(done, "phase")}
    _print(
        content,
        f"{changed} of {len(after)} trials changed; {_words(content['phase_counts'])}",
        as_json=as_json,
    )


@cli.command()
@click.argument("run")
@common
@click.option("--table", type=click.Choice(["trials", "points", "curves"]), default="points", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="csv or parquet by the ending.")
def export(run: str, storage: str | None, as_json: bool, table: str, output: Path) -> None:
    """Write one of a run's tables as csv or parquet."""
    from phasemap.api import open_run
    from phasemap.results.export import export_table

    frame = getattr(open_run(run, storage), table)
    export_table(frame, output)
    _print({"file": str(output), "table": table, "n_rows": len(frame)}, str(output), as_json=as_json)


@cli.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors and other programs."""
    from phasemap.study.writing import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path), default="study.yaml")
def init(file: Path) -> None:
    """Write a commented study to start from."""
    _guarded(_init, file)


def _init(file: Path) -> None:
    from phasemap.results.folder import write_text
    from phasemap.study.problems import UnreachableError, UserError
    from phasemap.study.writing import template

    if file.exists():
        raise UserError(f"{file} exists already; allowed: a new file")
    name = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "_" for c in file.stem)[:64] or "study"
    try:
        write_text(file, template(name))
    except OSError as error:
        raise UnreachableError(f"{file} can't be written: {error.strerror}") from None
    click.echo(f"{file}: now `phasemap plan {file}`, then `phasemap run {file}`")


def _assignment(text: str) -> tuple[str, str]:
    from phasemap.study.problems import UserError

    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--fix {text}: allowed: AXIS=VALUE")
    return name.strip(), value.strip()


def _counts(run: Run, column: str) -> dict[str, int]:
    return {str(name): int(n) for name, n in run.trials[column].dropna().value_counts().items()}


def _words(counts: Any) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in counts.items()) or "no labels yet"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _print(content: Any, text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(content) if as_json else text)


def _interrupt_on_terminate() -> None:
    """Let SIGTERM end a run as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def main() -> None:
    """Run the command line."""
    cli(prog_name="phasemap")
