"""A sweep as trials of the program that trained them, so that running its study goes on where the sweep ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from phasemap.results.schema import setting_values
from phasemap.search.scattered import MOST_KEPT, axis_range, check_axes
from phasemap.study.errors import OtherStudyError, UserError
from phasemap.study.imported import in_order, measured_axis
from phasemap.study.program_file import ProgramReader
from phasemap.study.program_source import ProgramError, program_name
from phasemap.study.program_study import ProgramStudy
from phasemap.study.programs import IMPORTED, imported_program
from phasemap.study.signature import SignatureError
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.yaml_lines import Document
from phasemap.sweeps.columns import Columns, Wanted, on_grid, scale_of, varying

FREQUENT = 0.5  # a seed that has at least this share of the most frequent one's trials is the study's


def continued(name: str, columns: Columns, wanted: Wanted, before: Study | None) -> tuple[ProgramStudy, Columns]:
    """Return the study of a sweep's program, and the sweep's columns as that study has them.

    ``before`` is the run's study, which stays as it is. UserError where the program has other settings, or records
    what the sweep lacks. Trials that were stopped are left out: the program may train them to their end.
    """
    assert wanted.program is not None
    if before is None:
        study = _study(name, columns, wanted)
    elif isinstance(before, ProgramStudy) and before.signature.name == program_name(wanted.program):
        study = before
    else:
        raise OtherStudyError(name, [f"the run is not one of {wanted.program}"], "another run: -o RUN")
    _check_recorded(wanted.program, study.recorded.quantities, columns)
    return study, _as_trials(study, columns)


def _study(name: str, columns: Columns, wanted: Wanted) -> ProgramStudy:
    """Return a new study: the axes on a grid, all else fixed; a boundary search where the points lie on none."""
    names = varying(columns.settings, columns.axes)
    if others := names[len(columns.axes) :]:
        raise UserError(f"{', '.join(others)} differ between trials too; needed: --axes {','.join(names)}")
    check_axes(wanted.grid, columns.axes)
    fixed = {key: values[0] for key, values in columns.settings.items() if key not in names}
    scattered = bool(wanted.grid) or not on_grid([columns.settings[axis] for axis in columns.axes])
    content: dict[str, Any] = {
        "name": name,
        "program": wanted.program,
        "axes": {axis: _axis(axis, columns, wanted.grid) for axis in columns.axes},
        "fixed": {key: value for key, value in fixed.items() if value is not None},
        "seeds": _seeds(columns.seeds),
    }
    if wanted.rule is not None:
        content["phases"] = {"rule": str(wanted.rule)}
    assert wanted.program is not None
    declared = _quantities_of(wanted.program)
    _check_recorded(wanted.program, declared, columns)
    if not declared:
        content["quantities"] = dict(columns.quantities.values())
    study = ProgramReader(Document(str(Path.cwd() / "import"), content)).study()
    if isinstance(wanted.rule, PhaseRule):
        study = study.model_copy(update={"phases": wanted.rule})
    if scattered and study.phases.labels:
        study = study.model_copy(update={"search": study.search.model_copy(update={"kind": "boundary"})})
    return study


def _check_recorded(program: str, declared: Iterable[str], columns: Columns) -> None:
    """UserError where a sweep lacks what a program records."""
    recorded = {made for made, _ in columns.quantities.values()}
    if missing := [quantity for quantity in declared if quantity not in recorded]:
        has = ", ".join(sorted(recorded)) or "no quantities"
        raise UserError(f"{program} records {', '.join(missing)}, which the sweep lacks; it has: {has}")


def _quantities_of(program: str) -> Mapping[str, Any]:
    """Return the quantities that a program declares itself; UserError where it is none."""
    if program == IMPORTED:
        raise UserError(f"--program {IMPORTED} names no code; allowed: file.py:function or package.module:function")
    try:
        return dict(imported_program(program, Path.cwd()).quantities)
    except (ProgramError, SignatureError) as error:
        raise UserError(f"--program {program}: {error}".replace(f"= {program}: ", "")) from None


def _axis(name: str, columns: Columns, grid: Mapping[str, str | int]) -> Any:
    """Return the content of an axis in a study file: a range of the grid, or the values that were measured."""
    values = columns.settings[name]
    measured = measured_axis(name, values, scale_of(values, columns.scales.get(name)))
    if name in grid:
        wanted = axis_range(name, measured, grid[name])
        whole = all(isinstance(value, int) for value in values)  # whole numbers stay whole
        return list(dict.fromkeys(map(round, wanted.values()))) if whole else wanted.model_dump(mode="json")
    lie_on_grid = on_grid([columns.settings[axis] for axis in columns.axes])
    if lie_on_grid or measured.categorical or len(measured.values) <= MOST_KEPT:
        return in_order(values)
    raise UserError(f"{name} has {len(measured.values)} values on no grid; needed: --grid {name}=N, or N:log")


def _seeds(seeds: Sequence[int]) -> list[int]:
    """Return the seeds that more than a few trials have: a setting that was tried twice makes no second map."""
    counts = Counter(seeds)
    return sorted(seed for seed, count in counts.items() if count >= FREQUENT * max(counts.values()))


def _as_trials(study: ProgramStudy, columns: Columns) -> Columns:
    """Return columns with the program's settings and ids, without the trials that were stopped."""
    chosen = [number for number, trial in enumerate(columns.trials) if trial.status != "stopped"]
    rows = list(_settings(study, columns, chosen))
    seeds = [columns.seeds[number] for number in chosen]
    left_out = len(columns.trials) - len(chosen)
    skipped = {**columns.skipped, **({"that were stopped before their end": left_out} if left_out else {})}
    settings = {name: setting_values(setting, [row[name] for row in rows]) for name, setting in study.declared.items()}
    return replace(
        columns,
        trials=[columns.trials[number] for number in chosen],
        settings=settings,
        seeds=seeds,
        trial_ids=[study.identity.trial_id(row, seed) for row, seed in zip(rows, seeds, strict=True)],
        skipped=skipped,
    )


def _settings(study: ProgramStudy, columns: Columns, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield every setting of each trial as the program gets it."""
    fixed, parameters = study.settings(), {parameter.name: parameter for parameter in study.parameters}
    for name, values in columns.settings.items():
        if name not in parameters and any(value is not None for value in values):
            raise UserError(f"{study.program} has no setting {name}; allowed: {', '.join(parameters)}")
    for number in chosen:
        row = dict(fixed)
        for name, values in columns.settings.items():
            if name not in parameters or (values[number] is None and name not in study.axis_names):
                continue
            try:
                row[name] = parameters[name].value_of(values[number])
            except ValueError as error:
                where = columns.trials[number].source_id
                raise UserError(f"{name} of trial {where} does not fit {study.program}: {error}") from None
        different = [name for name in fixed if row[name] != fixed[name]]
        if different:
            raise UserError(
                f"{different[0]} = {row[different[0]]} of trial {columns.trials[number].source_id} is "
                f"{fixed[different[0]]} in the run's study; allowed: a run of its own (another name after -o)"
            )
        yield row
