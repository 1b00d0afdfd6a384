"""Import sweeps from Python: each source's function reads it and returns the run that it became."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasemap.results.folder import DEFAULT_STORAGE, RunFolder, run_folder
from phasemap.results.remote import is_remote
from phasemap.runs import Run
from phasemap.study.errors import UserError
from phasemap.study.spec import PhaseRule
from phasemap.study.values import NAME_PATTERN
from phasemap.sweeps.columns import Wanted
from phasemap.sweeps.sources import Further, local_path, read_source
from phasemap.sweeps.sweep import Sweep
from phasemap.sweeps.writing import Imported, write_sweep

if TYPE_CHECKING:
    import pandas as pd

Quantities = Mapping[str, str] | Sequence[str]
Rule = str | Path | PhaseRule


def import_sweep(
    source: str,
    wanted: Wanted,
    *,
    rule: Rule | None = None,
    run: str | Path | None = None,
    further: Further | None = None,
) -> tuple[Run, Imported]:
    """Import whatever a source is; returns the run, and what was new, skipped and renamed."""
    return _written(read_source(source, wanted, further or Further()), wanted, rule, run)


def from_frame(
    frame: pd.DataFrame,
    axes: Sequence[str],
    *,
    seed: str | None = None,
    settings: Sequence[str] = (),
    quantities: Quantities = (),
    curves: pd.DataFrame | None = None,
    rule: Rule | None = None,
    run: str | Path | None = None,
) -> Run:
    """Import a table, one row a trial: ``axes``, ``seed`` and ``settings`` are its settings, numbers its quantities.

    ``quantities`` names those columns that are (with a kind: ``{"acc": "accuracy"}``); other numbers are then numbers
    at the end. ``curves`` is a long table with the trials' ids (``trial_id``), ``step`` and quantities. ``run`` is the
    run's folder; importing again adds what is new. UserError where a column is not there or no row is usable.
    """
    from phasemap.sweeps.table import sweep_of_table

    wanted = _wanted(axes, seed, quantities)
    sweep = sweep_of_table(frame, wanted, settings=settings, curves=curves)
    return _written(sweep, wanted, rule, run)[0]


def from_optuna(
    storage: Any,
    axes: Sequence[str],
    *,
    study: str | None = None,
    seed: str | None = None,
    quantities: Quantities = (),
    rule: Rule | None = None,
    run: str | Path | None = None,
) -> Run:
    """Import an Optuna study from ``sqlite:///FILE`` or a journal file; ``study`` where a storage has several."""
    return _from(storage, axes, seed, quantities, rule, run, study)


def from_tune(
    results: Any,
    axes: Sequence[str],
    *,
    seed: str | None = None,
    quantities: Quantities = (),
    rule: Rule | None = None,
    run: str | Path | None = None,
) -> Run:
    """Import the trials of Ray Tune from a result folder, or a ResultGrid; no pickle in it is opened."""
    folder = getattr(results, "experiment_path", results)
    return _from(folder, axes, seed, quantities, rule, run)


def from_mlflow(
    store: str | Path,
    axes: Sequence[str],
    *,
    experiment: str | None = None,
    seed: str | None = None,
    quantities: Quantities = (),
    rule: Rule | None = None,
    run: str | Path | None = None,
) -> Run:
    """Import an experiment from an MLflow store: a folder (``mlruns``) or ``sqlite:///FILE``; artifacts are left."""
    return _from(store, axes, seed, quantities, rule, run, experiment)


def from_wandb(
    export: str | Path | pd.DataFrame,
    axes: Sequence[str],
    *,
    seed: str | None = None,
    settings: Sequence[str] = (),
    quantities: Quantities = (),
    rule: Rule | None = None,
    run: str | Path | None = None,
) -> Run:
    """Import the CSV that W&B's page of runs exports, or such a table."""
    from phasemap.sweeps.table import read_frame

    frame = read_frame(Path(export)) if isinstance(export, str | Path) else export
    return from_frame(frame, axes, seed=seed, settings=settings, quantities=quantities, rule=rule, run=run)


def from_tensorboard(
    folder: str | Path,
    axes: Sequence[str],
    *,
    seed: str | None = None,
    quantities: Quantities = (),
    rule: Rule | None = None,
    run: str | Path | None = None,
) -> Run:
    """Import folders of TensorBoard events: each with hparams is a trial, and its scalars are curves."""
    return _from(folder, axes, seed, quantities, rule, run)


def _from(
    source: Any,
    axes: Sequence[str],
    seed: str | None,
    quantities: Quantities,
    rule: Rule | None,
    run: str | Path | None,
    study: str | None = None,
) -> Run:
    wanted = _wanted(axes, seed, quantities)
    return import_sweep(str(source), wanted, rule=rule, run=run, further=Further(study=study))[0]


def _wanted(axes: Sequence[str], seed: str | None, quantities: Quantities) -> Wanted:
    kinds = dict(quantities) if isinstance(quantities, Mapping) else dict.fromkeys(quantities, "")
    return Wanted(axes=(axes,) if isinstance(axes, str) else tuple(axes), seed=seed, quantities=kinds)


def _written(sweep: Sweep, wanted: Wanted, rule: Rule | None, run: str | Path | None) -> tuple[Run, Imported]:
    folder = target_folder(run, sweep.name)
    if isinstance(rule, str | Path):
        path = local_path(str(rule)).absolute()
        if not path.is_file():
            raise UserError(f"--rule {rule} is no file; allowed: a file with the content of a study's phases")
        rule = path
    done = write_sweep(sweep, folder, wanted, rule)
    return Run(folder), done


def target_folder(run: str | Path | None, name: str) -> RunFolder:
    """Return the folder that a sweep goes into; by default one of the sweep's name in the default storage."""
    place = (
        str(run) if run is not None else f"{DEFAULT_STORAGE}/{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:64] or 'sweep'}"
    )
    storage, _, last = place.rstrip("/").rpartition("/")
    if not re.fullmatch(NAME_PATTERN, last):
        raise UserError(f"{place} does not name a run; allowed: a folder whose name has letters, digits, - and _")
    return run_folder(storage, last) if is_remote(place) else RunFolder(Path(place))
