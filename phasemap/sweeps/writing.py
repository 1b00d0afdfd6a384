"""Put a sweep into a run's folder: what is new becomes a shard, and the study follows from all trials there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from phasemap.results.compact import digest_of
from phasemap.results.folder import RunFolder
from phasemap.results.lock import locked
from phasemap.results.merge import merge_rows
from phasemap.results.provenance import Provenance
from phasemap.results.schema import STATUSES, SWEEP, setting_type, shard_schema
from phasemap.results.shards import read_shards
from phasemap.running.outputs import write_results
from phasemap.running.retries import storage_errors
from phasemap.search.scattered import gridded_axes
from phasemap.study.conditions import Kind
from phasemap.study.errors import OtherStudyError, UserError, visible
from phasemap.study.file import load_resolved
from phasemap.study.imported import MEASURED, ImportedReader, ImportedStudy, in_order
from phasemap.study.program_study import ProgramStudy, usual_phases
from phasemap.study.programs import IMPORTED, Program
from phasemap.study.spec import PhaseRule
from phasemap.study.writing import dump_study, study_hash
from phasemap.study.yaml_lines import Document
from phasemap.sweeps.columns import Columns, Wanted, columns_of, on_grid, scale_of, varying
from phasemap.sweeps.continuing import continued
from phasemap.sweeps.rows import shard_rows
from phasemap.sweeps.sweep import Sweep

RUNNING = "running"  # the shard of those trials that may still change; each import writes it anew
GROUP_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did."""

    n_trials: int  # usable trials of the source
    n_new: int
    n_changed: int  # known before, and finished or gone on since
    statuses: Mapping[str, int]  # of the usable trials
    skipped: Mapping[str, int]
    told: Sequence[str]


def write_sweep(sweep: Sweep, folder: RunFolder, wanted: Wanted) -> Imported:
    """Add a sweep's trials to a run, which is made if it is not there, and label them.

    UserError where the run is of something else, or nothing is usable; nothing is written then.
    """
    if wanted.program is not None:
        return _write_continued(sweep, folder, wanted)
    before = _known_study(folder)
    columns = columns_of(sweep, wanted, before)
    program = _joined(columns.program, before)
    made = _study(folder.name, program, columns, wanted, before)  # every mistake shows before anything is written
    if made.grid:
        _placed(made, columns, columns.settings, sorted(set(columns.seeds)))
    return _stored(sweep, folder, made, columns)


def _write_continued(sweep: Sweep, folder: RunFolder, wanted: Wanted) -> Imported:
    """Add a sweep's trials to the run of the program that trained them; its study stays as it is."""
    before = load_resolved(folder.study) if folder.fetch(folder.study) else None
    columns = columns_of(sweep, wanted)
    made, columns = continued(folder.name, columns, wanted, before)
    return _stored(sweep, folder, made, columns)


def _stored(sweep: Sweep, folder: RunFolder, made: ProgramStudy, columns: Columns) -> Imported:
    with storage_errors(folder):
        folder.create()
        with locked(folder):
            provenance = Provenance(folder, study_hash=study_hash(made), runner=f"import from {sweep.source}")
            known = _known(folder, made)
            new, changed = _add(columns, made, folder, known)
            study = _write_study(folder, made, columns) if isinstance(made, ImportedStudy) else made
            if not folder.fetch(folder.study):
                folder.write_text(folder.study, dump_study(study))
            write_results(folder, study)
            provenance.end(outcome="done", devices=(), core_hours=0.0, n_trained=0, n_reused=0, n_imported=new)
    told = [*columns.told, *_told_of(study, columns)]
    return Imported(
        n_trials=len(columns.trials),
        n_new=new,
        n_changed=changed,
        statuses=Counter(trial.status for trial in columns.trials),
        skipped=columns.skipped,
        told=told,
    )


def _known_study(folder: RunFolder) -> ImportedStudy | None:
    if not folder.fetch(folder.study):
        return None
    folder.fetch(folder.measured)
    found = load_resolved(folder.study)
    if not isinstance(found, ImportedStudy):
        raise OtherStudyError(folder.name, ["the run was trained, not imported"], "another run: -o RUN")
    return found


def _joined(program: Program, before: ImportedStudy | None) -> Program:
    """Return what the run's trials and the new ones have, together."""
    if before is None:
        return program
    old = before.signature
    quantities: dict[str, Kind] = dict(old.quantities)
    for name, kind in program.quantities:
        if quantities.setdefault(name, kind) != kind:
            raise UserError(
                f"{name} is of kind {quantities[name]} in the run, and {kind} here; allowed: "
                f"--quantities {name}={quantities[name]}, or a run of its own"
            )
    parameters = {parameter.name: parameter for parameter in (*old.parameters, *program.parameters)}
    return Program(
        reference=IMPORTED,
        kind=IMPORTED,
        parameters=tuple(parameters.values()),
        quantities=tuple(quantities.items()),
        finals=tuple(dict.fromkeys((*old.finals, *program.finals))),
    )


def _known(folder: RunFolder, study: ProgramStudy) -> dict[str, tuple[str, str]]:
    """Return (status, pack) of each trial that the run has."""
    rows = merge_rows(read_shards(folder, schema=shard_schema(study), columns=_keys(study)))
    columns = (rows[name].to_pylist() for name in ("trial_id", "status", "pack_id"))
    return {trial_id: (status, pack) for trial_id, status, pack in zip(*columns, strict=True)}


def _keys(study: ProgramStudy) -> list[str]:
    return ["trial_id", *study.declared, "seed", "status", "error", "train_seconds", "pack_id", "host"]


def _add(
    columns: Columns, study: ProgramStudy, folder: RunFolder, known: Mapping[str, tuple[str, str]]
) -> tuple[int, int]:
    """Write what the run lacks; return how many trials are new, and how many changed."""
    finished, running, new, changed = [], [], 0, 0
    for number, (trial_id, trial) in enumerate(zip(columns.trial_ids, columns.trials, strict=True)):
        status, pack = known.get(trial_id, (None, RUNNING))
        new += status is None
        if trial.running and pack == RUNNING:
            running.append(number)
        elif status is None or pack == RUNNING or STATUSES.index(trial.status) < STATUSES.index(status):
            finished.append(number)
            changed += status is not None
    if finished:
        pack_id = SWEEP + digest_of(columns.trial_ids[number] for number in finished)
        _write(folder, pack_id, shard_rows(columns, study, finished, pack_id))
    _write_running(columns, study, folder, running)
    return new, changed


def _write_running(columns: Columns, study: ProgramStudy, folder: RunFolder, running: Sequence[int]) -> None:
    """Replace the shard of trials that may still change; those that the source does not speak of stay in it."""
    path = folder.shard(RUNNING)
    rows = shard_rows(columns, study, running, RUNNING)
    if folder.fetch(path):
        here = set(map(visible, (trial.source_id for trial in columns.trials)))  # with a further setting: another id
        old = pq.read_table(path)
        old = old.filter(pa.array([one not in here for one in old["source_id"].to_pylist()], pa.bool_()))
        rows = pa.concat_tables([old, rows], promote_options="default").select(rows.column_names)
    if len(rows):
        _write(folder, RUNNING, rows)
    else:
        folder.remove(path)


def _write(folder: RunFolder, pack_id: str, rows: pa.Table) -> None:
    def write(path: Path) -> None:
        pq.write_table(rows, path, compression="zstd", row_group_size=GROUP_ROWS)

    folder.write(folder.shard(pack_id), write)


def _write_study(folder: RunFolder, made: ImportedStudy, columns: Columns) -> ImportedStudy:
    """Make the study of all trials that the run has now, and write it where it differs from the one that is there."""
    rows = merge_rows(read_shards(folder, schema=shard_schema(made), columns=_keys(made)))
    settings = {name: rows[name].to_pylist() for name in made.declared}
    study = _placed(made, columns, settings, sorted(set(rows["seed"].to_pylist())))
    text = dump_study(study)
    if study.scattered:
        _write_points(folder, study)
    if not folder.fetch(folder.study) or folder.study.read_text(encoding="utf-8") != text:
        folder.remove_derived()
        folder.write_text(folder.study, text)
    if not study.scattered:
        folder.remove(folder.measured)
    return study


def _write_points(folder: RunFolder, study: ImportedStudy) -> None:
    columns = zip(study.axis_names, zip(*study.points(), strict=True), strict=True)
    table = pa.table({name: pa.array(values, setting_type(study.declared[name])) for name, values in columns})
    folder.write(folder.path / MEASURED, lambda path: pq.write_table(table, path, compression="zstd"))


def _study(
    name: str, program: Program, columns: Columns, wanted: Wanted, before: ImportedStudy | None
) -> ImportedStudy:
    """Return the study with its labels, of the new trials alone; StudyError names what is wrong with the rule."""
    rule = wanted.rule
    content: dict[str, Any] = {
        "name": name,
        "program": IMPORTED,
        "signature": program.content(),
        "axes": {axis: in_order(columns.settings[axis])[:1] for axis in columns.axes},
        "phases": _phases(rule, program, before),
    }
    reader = ImportedReader(Document(str(Path.cwd() / "import"), content), stored=True, made=ImportedStudy)
    study = reader.study()
    own = rule if isinstance(rule, PhaseRule) else before.phases if before and rule is None else None
    kept = {"question": before.question, "claims": before.claims, "grid": before.grid} if before else {}
    if wanted.grid:
        kept["grid"] = tuple((axis, str(asked)) for axis, asked in wanted.grid.items())
    return study.model_copy(update=kept | ({} if own is None else {"phases": own}))


def _phases(rule: str | Path | PhaseRule | None, program: Program, before: ImportedStudy | None) -> dict[str, Any]:
    if isinstance(rule, str | Path):
        return {"rule": str(rule)}
    if rule is not None or before is not None:
        return {"rule": "none"}
    return {"rule": usual_phases(program.recorded).rule}


def _placed(
    made: ImportedStudy, columns: Columns, settings: Mapping[str, Sequence[Any]], seeds: Sequence[int]
) -> ImportedStudy:
    """Return the study whose points are those of all trials: on a grid, or where they were measured."""
    names = varying(settings, columns.axes)
    axes = [settings[name] for name in names]
    grid = on_grid(axes)
    fixed = {name: values[0] for name, values in settings.items() if name not in names}
    content: dict[str, Any] = {
        "name": made.name,
        "program": IMPORTED,
        "signature": made.signature.content(),
        "axes": {name: in_order(values) for name, values in zip(names, axes, strict=True)},
        "fixed": fixed,
        "seeds": list(seeds),
        "phases": {"rule": "none"},
    }
    points: dict[str, list[Any]] = {}
    if not grid:
        distinct = dict.fromkeys(zip(*axes, strict=True))
        points = dict(zip(names, map(list, zip(*distinct, strict=True)), strict=True))
        content["axes"] = {name: scale_of(values, columns.scales.get(name)) for name, values in points.items()}
    reader = ImportedReader(Document(made.name, content), stored=True, made=ImportedStudy, columns=points)
    kept = ("question", "phases", "claims", "grid")
    study = reader.study().model_copy(update={key: getattr(made, key) for key in kept})
    if study.inferred_grid:
        gridded_axes(study, study.inferred_grid)
    return study


def _told_of(study: ProgramStudy, columns: Columns) -> list[str]:
    """Say how the points lie, and what may surprise of the axes."""
    if not isinstance(study, ImportedStudy):
        return []
    told = []
    others = study.axis_names[len(columns.axes) :]
    if others:
        told.append(f"{', '.join(others)} differ between trials too, and are further axes")
    told += [f"{axis.name} has one value" for axis in study.axes if len(axis.values) == 1]
    if study.scattered:
        told.append(f"the {study.n_points} points lie on no grid: they are drawn where they were measured")
    elif study.grid:
        told.append("--grid is ignored: the points lie on a grid")
    if study.phases.own is not None and not study.phases.labels:
        told.append("the trials have no labels: the run is a map of its quantities; --rule FILE would label them")
    return told
