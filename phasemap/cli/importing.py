"""The command that brings finished sweeps of others in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasemap.cli.shared import common, grid_of, print_result, words

if TYPE_CHECKING:
    from phasemap.runs import Run
    from phasemap.sweeps.writing import Imported


@click.command("import")
@click.argument("source")
@common
@click.option(
    "--axes", metavar="NAME,...", required=True, help="The settings that span the map; the first is drawn to the right."
)
@click.option("--seed", metavar="NAME", help="The setting that is the seed; without it repeats are numbered.")
@click.option("--rule", metavar="FILE", help="Label the trials by a rule file; without it the map shows quantities.")
@click.option("--quantities", metavar="NAME=KIND,...", help="Kinds: accuracy, loss, number (default).")
@click.option("--settings", metavar="NAME,...", help="Columns of a table that are further settings.")
@click.option("--curves", type=click.Path(path_type=Path), help="A long table of curves: ids, step and quantities.")
@click.option("--grid", metavar="AXIS=N[:log],...", help="Infer a map on this grid, if the points lie on none.")
@click.option(
    "--program",
    metavar="FILE.py:FUNCTION",
    help="The function that trained the trials, so that phasemap run can continue.",
)
@click.option("--study", metavar="NAME", help="Which study or experiment, where the source has several.")
@click.option("-o", "--output", metavar="RUN", help="The run's folder; default runs/ and the source's name.")
def import_command(
    source: str,
    storage: str | None,
    as_json: bool,
    axes: str,
    seed: str | None,
    rule: str | None,
    quantities: str | None,
    settings: str | None,
    curves: Path | None,
    grid: str | None,
    program: str | None,
    study: str | None,
    output: str | None,
) -> None:
    """Import a finished sweep as a run: its trials are read, labelled and drawn; nothing is trained.

    \b
    SOURCE is one of
      a CSV or Parquet file, one row per trial (also W&B's export of runs)
      an Optuna storage: sqlite:///FILE, a database or a journal file
      a result folder of Ray Tune
      an MLflow store: a folder, or sqlite:///FILE
      a folder of TensorBoard events with hparams

    With --program, `phasemap run` of the run's study trains what is missing or, with --grid, what a boundary search
    asks for. The program's file is imported to read its settings.

    The source is only read. Importing again adds what is new, and updates trials that were still running.
    """
    from phasemap.study.errors import visible
    from phasemap.sweeps.columns import Wanted
    from phasemap.sweeps.importing import import_sweep
    from phasemap.sweeps.sources import Further

    wanted = Wanted(
        axes=tuple(_names(axes)),
        seed=seed,
        quantities=dict(map(_kind, _names(quantities))),
        rule=rule,
        grid=grid_of(grid),
        program=program,
        run=f"{storage.rstrip('/')}/{output}" if storage and output else output,
    )
    run, done = import_sweep(source, wanted, Further(study=study, settings=_names(settings), curves=curves))
    for text in done.told:
        click.echo(visible(text), err=True)
    text = _text(run, done, continues=program is not None)
    print_result(_content(run, done), visible(text, keep="\n"), as_json=as_json)


def _content(run: Run, done: Imported) -> dict[str, Any]:
    return {
        "run": run.location,
        "n_trials": done.n_trials,
        "n_new": done.n_new,
        "n_changed": done.n_changed,
        "statuses": dict(done.statuses),
        "skipped": dict(done.skipped),
        "told": list(done.told),
        "phase_counts": run.counts("phase"),
    }


def _text(run: Run, done: Imported, *, continues: bool) -> str:
    from phasemap.sweeps.sweep import skipped_words

    changed = f", {done.n_changed} changed" if done.n_changed else ""
    skipped = f"; skipped: {skipped_words(done.skipped)}" if done.skipped else ""
    labels = f"; {words(counts)}" if (counts := run.counts("phase")) else ""
    text = (
        f"{done.n_trials} trials ({words(done.statuses)}), {done.n_new} new{changed}{skipped}{labels}\n"
        f"tables and diagram.png: {run.location}"
    )
    if not continues:
        return text
    storage, _, name = run.location.rstrip("/").rpartition("/")
    return f"{text}\nto continue: phasemap run {run.location}/study.yaml" + (f" --storage {storage}" if name else "")


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _kind(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition("=") if "=" in text else (text, "", "")
    return name, kind
