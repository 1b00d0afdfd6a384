"""Import sweeps from Python: each source's function reads it and returns the run that it became."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

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


class Options(TypedDict, total=False):
    """What every source's function takes beside its source and ``axes``.

    ``seed`` names the setting that is the seed. ``quantities`` gives kinds ({"acc": "accuracy"}). ``rule`` is a rule
    file. ``run`` is the run's folder; importing again adds what is new. ``grid`` ({"lr": "33:log"}) infers a map of
    points that lie on no grid. ``program`` ("train.py:train") trained the trials: running the run's study goes on.
    """

    seed: str | None
    quantities: Mapping[str, str] | Sequence[str]
    rule: str | Path | PhaseRule | None
    run: str | Path | None
    grid: Mapping[str, str | int]
    program: str | None


def import_sweep(source: str, wanted: Wanted, further: Further | None = None) -> tuple[Run, Imported]:
    """Import whatever a source is; returns the run, and what was new, skipped and renamed."""
    return _written(read_source(source, wanted, further or Further()), wanted)


def from_frame(
    frame: pd.DataFrame,
    axes: Sequence[str],
    *,
    settings: Sequence[str] = (),
    curves: pd.DataFrame | None = None,
    **options: Unpack[Options],
) -> Run:
    """Import a table with one row per trial: ``axes``, ``seed`` and ``settings`` name the columns that are settings.

    Other columns of numbers are quantities at the end of the training; ``quantities`` names some and gives their kinds
    (``{"acc": "accuracy"}``). ``curves`` is a long table with the trials' ids (``trial_id``), ``step`` and quantities.
    ``rule``, ``run``, ``grid`` and ``program`` are as in ``phasemap import``. UserError if a column is missing or no
    row is usable.
    """
    from phasemap.sweeps.table import sweep_of_table

    wanted = _wanted(axes, options)
    return _written(sweep_of_table(frame, wanted, settings=settings, curves=curves), wanted)[0]


def from_optuna(storage: Any, axes: Sequence[str], *, study: str | None = None, **options: Unpack[Options]) -> Run:
    """Import an Optuna study from ``sqlite:///FILE`` or a journal file; ``study`` names one if there are several.

    The other arguments are those of ``from_frame``.
    """
    return _from(storage, axes, options, study)


def from_tune(results: Any, axes: Sequence[str], **options: Unpack[Options]) -> Run:
    """Import the trials of Ray Tune from a result folder or a ResultGrid; no pickle in it is opened.

    The other arguments are those of ``from_frame``.
    """
    return _from(getattr(results, "experiment_path", results), axes, options)


def from_mlflow(
    store: str | Path, axes: Sequence[str], *, experiment: str | None = None, **options: Unpack[Options]
) -> Run:
    """Import an experiment from an MLflow store: a folder (``mlruns``) or ``sqlite:///FILE``; artifacts are ignored.

    The other arguments are those of ``from_frame``.
    """
    return _from(store, axes, options, experiment)


def from_wandb(
    export: str | Path | pd.DataFrame, axes: Sequence[str], *, settings: Sequence[str] = (), **options: Unpack[Options]
) -> Run:
    """Import the CSV that W&B's table of runs exports, or such a data frame; see ``from_frame`` for the rest."""
    from phasemap.sweeps.table import read_trials

    frame = read_trials(Path(export)) if isinstance(export, str | Path) else export
    return from_frame(frame, axes, settings=settings, **options)


def from_tensorboard(folder: str | Path, axes: Sequence[str], **options: Unpack[Options]) -> Run:
    """Import folders of TensorBoard events: each folder with hparams is a trial, and its scalars are curves.

    The other arguments are those of ``from_frame``.
    """
    return _from(folder, axes, options)


def _from(source: Any, axes: Sequence[str], options: Options, study: str | None = None) -> Run:
    return import_sweep(str(source), _wanted(axes, options), Further(study=study))[0]


def _wanted(axes: Sequence[str], options: Options) -> Wanted:
    said = options.get("quantities", ())
    kinds = dict(said) if isinstance(said, Mapping) else dict.fromkeys(said, "")
    return Wanted(axes=(axes,) if isinstance(axes, str) else tuple(axes), **{**options, "quantities": kinds})  # type: ignore[arg-type]


def _written(sweep: Sweep, wanted: Wanted) -> tuple[Run, Imported]:
    folder = target_folder(wanted.run, sweep.name)
    if isinstance(wanted.rule, str | Path):
        path = local_path(str(wanted.rule)).absolute()
        if not path.is_file():
            raise UserError(f"--rule {wanted.rule} is not a file; allowed: a file with the content of a study's phases")
        wanted = replace(wanted, rule=path)
    done = write_sweep(sweep, folder, wanted)
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
