"""Commands that make a run's tables again, or write them for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from phasemap.cli.complete import of_run
from phasemap.cli.shared import print_result, words


@click.command()
@of_run
@click.option("--rule", metavar="NAME-or-FILE", help="memorized_fraction, doshi2024, or a rule file.")
@click.option("--at-step", type=click.IntRange(min=1), help="Label as if the training had ended at this step.")
def relabel(run: str, storage: str | None, as_json: bool, rule: str | None, at_step: int | None) -> None:
    """Label a run again from its stored curves; nothing is trained."""
    from phasemap.api import open_run
    from phasemap.api import relabel as relabel_run

    opened = open_run(run, storage)
    before = opened.trials.set_index("trial_id")["subphase"]
    done = relabel_run(opened, rule, at_step)
    after = done.trials.set_index("trial_id")["subphase"]
    changed = int((after.fillna("") != before.reindex(after.index).fillna("")).sum())
    now = done.study.phases
    content = {
        "run": done.location,
        "rule": now.rule,
        "at_step": now.at_step,
        "n_changed": changed,
        "phase_counts": done.counts("phase"),
    }
    after_words = words(content["phase_counts"])
    print_result(
        content,
        "; ".join(filter(None, [f"{changed} of {len(after)} trials changed", now.horizon_words, after_words])),
        as_json=as_json,
    )


@click.command()
@of_run
@click.option("-o", "--output", type=click.Path(path_type=Path), help="An .html file; default NAME.html here.")
def report(run: str, storage: str | None, as_json: bool, output: Path | None) -> None:
    """Write one HTML file to explore and share a run: diagram, curves, study card. It needs no network.

    It has at most 2 MB for up to 2,000 trials, and 5 MB for more: curves get fewer steps where necessary.
    """
    from phasemap.api import open_run

    opened = open_run(run, storage)
    path = opened.report(output or Path(f"{opened.study.name}.html"))
    size = path.stat().st_size
    print_result({"file": str(path), "bytes": size}, f"{path} ({size / 1e6:.2g} MB)", as_json=as_json)


@click.command()
@of_run
@click.option("--table", type=click.Choice(["trials", "points", "curves"]), default="points", show_default=True)
@click.option(
    "-o", "--output", "target", type=click.Path(), required=True,
    help="The ending decides the format: csv or parquet; nc: the points as netCDF; journal or db: an Optuna storage "
    "of the trials, for its dashboard.",
)  # fmt: skip
@click.option("--to", type=click.Choice(["mlflow", "tensorboard", "wandb"]), help="Write the trials for another tool.")
def export(run: str, storage: str | None, as_json: bool, table: str, target: str, to: str | None) -> None:
    """Write one of a run's tables as csv, parquet or netCDF, or its trials for Optuna, MLflow, TensorBoard or W&B."""
    from phasemap.api import open_run
    from phasemap.results.export import NETCDF, export_netcdf, export_table, is_optuna
    from phasemap.results.optuna_study import write_optuna_storage

    found, output = open_run(run, storage), Path(target)  # a path would lose the slashes of sqlite:///FILE
    if to is not None:
        from phasemap.sweeps.outward import export_mlflow, export_to_folder

        table = "trials"
        if to == "mlflow":
            export_mlflow(found.study, found.trials, found.curves, target)
        else:
            export_to_folder(found.study, found.trials, found.curves, output, wandb=to == "wandb")
    elif output.suffix.lower() == NETCDF:
        table = "points"
        export_netcdf(found.study, found.points, output)
    elif is_optuna(output):
        table = "trials"
        write_optuna_storage(found.study, found.trials, output, found.curves)
    else:
        export_table(getattr(found, table), output)
    frame = getattr(found, table)
    print_result({"file": target, "table": table, "n_rows": len(frame)}, target, as_json=as_json)


@click.command()
@of_run
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A new folder, or a .zip file.")
def bundle(run: str, storage: str | None, as_json: bool, output: Path) -> None:
    """Pack a run to share it: study, tables, figures, provenance and checksums."""
    from phasemap.api import open_run
    from phasemap.bundle import write_bundle

    names = write_bundle(open_run(run, storage), output)
    print_result({"file": str(output), "content": names}, f"{output}: {', '.join(names)}", as_json=as_json)
