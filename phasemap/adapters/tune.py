"""Your own Ray Tuner writes a run of phasemap: what its trials report becomes shards, maps and tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import AUTO_RESULT_KEYS

from phasemap.results.folder import run_folder
from phasemap.results.lock import locked
from phasemap.results.provenance import Provenance
from phasemap.results.remote import is_remote
from phasemap.results.schema import named, shard_schema
from phasemap.results.shards import read_shards, write_shard
from phasemap.running.outputs import write_results
from phasemap.running.program_objectives import numbers_of, valid_name
from phasemap.study.conditions import Kind
from phasemap.study.errors import OtherStudyError, UserError
from phasemap.study.file import load_resolved
from phasemap.study.program_file import ProgramReader
from phasemap.study.program_study import ProgramStudy
from phasemap.study.programs import IN_PYTHON, Program
from phasemap.study.writing import dump_study, study_hash
from phasemap.study.yaml_lines import Document
from phasemap.training.program_context import TrialContext
from phasemap.training.program_values import DivergedError, usual_kinds
from phasemap.training.recording import TrialResult

TUNE_KEYS = frozenset({*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "should_checkpoint"})
logger = logging.getLogger("phasemap")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """A trial of the Tuner that came to its end, under valid names."""

    name: str  # of its shard
    settings: Mapping[str, Any]
    seed: int
    status: str
    steps: tuple[int, ...]
    curves: Mapping[str, list[float]]
    seconds: float
    device: str
    error: str | None


def tune_callback(
    name: str,
    axes: Sequence[str],
    *,
    seed: str = "seed",
    quantities: Mapping[str, Kind] | None = None,
    phases: Mapping[str, Any] | None = None,
    claims: Sequence[str] = (),
    question: str = "",
    storage: str | Path | None = None,
) -> tune.Callback:
    """Return a callback for the ``RunConfig(callbacks=[...])`` of your own Tuner: its trials become the run ``name``.

    ``axes`` names the entries of ``param_space`` that span the map; they should have few values (``grid_search``,
    ``choice``, ``quniform``). Other entries that differ become further axes. ``seed`` names the entry that is the seed;
    without it, trials with the same values get 0, 1, 2, ... ``quantities`` gives the kinds of what is reported; without
    it the first trial decides. ``phases``, ``claims`` and ``question`` are those of a study.
    StudyError or UserError for mistakes in these; once trials run, what can't be written is logged and stops no trial.
    """
    content: dict[str, Any] = {"name": name, "question": question, "claims": list(claims)}
    content |= {} if phases is None else {"phases": dict(phases)}
    return TuneRun(content, axes, seed, quantities or {}, storage)


class TuneRun(tune.Callback):
    """Writes each trial that ends into a run's folder."""

    def __init__(
        self,
        content: Mapping[str, Any],
        axes: Sequence[str],
        seed: str,
        quantities: Mapping[str, Kind],
        storage: str | Path | None,
    ) -> None:
        self._content = dict(content)
        self._axes, self._seed = [valid_name(axis) for axis in axes], seed
        self._kinds: dict[str, Kind] = dict(quantities)
        place = str(storage) if storage is not None and is_remote(storage) else Path(storage or "runs").absolute()
        self._folder = run_folder(place, content["name"])
        self._program = ""
        self._reports: dict[str, list[tuple[int, dict[str, Any]]]] = {}  # by trial of the Tuner
        self._trained: list[_Trained] = []
        self._stopped: list[_Trained] = []  # from outside: whether too early is known at the end
        self._ended_early: set[str] = set()  # by Tune: a scheduler, or a stopping rule
        self._n_before = 0
        self._types: Any = None  # of the settings in the shards that are written
        self._provenance: Provenance | None = None
        if self._kinds:  # mistakes show before anything is trained
            self._study([dict.fromkeys(self._axes, 0)], [0])
        if self._folder.fetch(self._folder.study):
            self._known()

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
        """Keep what a trial reports; one that was restarted reports some of its steps again."""
        step = int(result["training_iteration"])
        before = [one for one in self._reports.get(trial.trial_id, ()) if one[0] < step]
        own = {name: value for name, value in result.items() if name not in TUNE_KEYS}
        self._reports[trial.trial_id] = [*before, (step, numbers_of(own, trial.config))]
        if result.get("done"):  # a function that returns is told of later, without a result
            self._ended_early.add(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Write a trial; whether one that was stopped from outside came far enough is known at the end."""
        self._guarded(f"trial {trial}", lambda: self._ended(trial, "ok"))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Write a trial as failed."""
        self._guarded(f"trial {trial}", lambda: self._ended(trial, "failed", _last_line(trial.error_file)))

    def on_experiment_end(self, trials: Any, **_: Any) -> None:
        """Make the tables and the picture."""
        self._guarded("the run's end", self._finish)

    def _guarded(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # a Tuner's training is worth more than its record
            logger.warning("%s: %s was not written: %s", self._folder.location, what, error)

    def _ended(self, trial: Any, status: str, error: str | None = None) -> None:
        self._program = self._program or valid_name(trial.trainable_name)
        ended = self._taken(trial, status, error)
        if status == "ok" and trial.trial_id in self._ended_early:
            self._stopped.append(ended)
        else:
            self._write([ended])

    def _taken(self, trial: Any, status: str, error: str | None) -> _Trained:
        """Return what a trial of the Tuner has become."""
        settings = _scalars(trial.config)
        if missing := [axis for axis in self._axes if axis not in settings]:
            raise UserError(f"its config has no {', '.join(missing)}; it has: {', '.join(settings)}")
        seed = settings.pop(self._seed, None)
        others = [*self._trained, *self._stopped]
        if others and set(settings) != set(others[0].settings):
            raise UserError(f"it has {', '.join(settings)}, others have {', '.join(others[0].settings)}")
        if seed is None:
            seed = sum(one.settings == settings for one in others)
        reports = self._reports.pop(trial.trial_id, [])
        if not self._kinds and status == "ok":
            self._kinds = usual_kinds(name for name in reports[0][1] if name not in settings) if reports else {}
        record = TrialContext(seed=seed, settings=settings, quantities=self._kinds)
        try:
            for step, numbers in reports if self._kinds else ():
                record.report_some(step, numbers)
        except DivergedError as reason:
            status, error = "diverged", str(reason)
        if status == "ok" and not reports:
            status, error = "failed", "it reported nothing"
        return _Trained(
            name=trial.trial_id,
            settings=settings,
            seed=int(seed),
            status=status,
            steps=tuple(record.record.steps),
            curves=record.record.curves,
            seconds=float((trial.last_result or {}).get("time_total_s", 0.0)),
            device="cuda" if trial.placement_group_factory.required_resources.get("GPU") else "cpu",
            error=error,
        )

    def _write(self, trained: Sequence[_Trained]) -> None:
        """Write trials and the study of all; all shards where the settings' types, and so the ids, are others now."""
        self._trained += trained
        if not self._kinds:  # all have failed so far
            return
        study = self._study([one.settings for one in self._trained], [one.seed for one in self._trained])
        self._folder.create()
        with locked(self._folder):
            if self._provenance is None:
                self._provenance = Provenance(self._folder, study_hash=study_hash(study), runner="a Tuner of one's own")
            types = [parameter.types for parameter in study.parameters]
            for one in trained if types == self._types else self._trained:
                write_shard(self._folder, one.name, [_result(one, study)], shard_schema(study), study.declared)
            self._types = types
            text = dump_study(study)
            if not self._folder.fetch(self._folder.study) or self._folder.study.read_text(encoding="utf-8") != text:
                self._folder.remove_derived()
                self._folder.write_text(self._folder.study, text)

    def _finish(self) -> None:
        longest = max((one.steps[-1] for one in [*self._trained, *self._stopped] if one.steps), default=0)
        whole = [one for one in self._stopped if one.status != "ok" or one.steps[-1] == longest]
        if len(whole) < len(self._stopped):
            count, location = len(self._stopped) - len(whole), self._folder.location
            logger.warning("%s lacks %d trials that were stopped before step %d", location, count, longest)
        self._stopped = []
        self._write(whole)
        if self._provenance is None:
            raise UserError("no trial reported a quantity")
        study = load_resolved(self._folder.study)
        with locked(self._folder):
            tables = write_results(self._folder, study)
            devices = sorted({one.device for one in self._trained})
            hours = sum(one.seconds for one in self._trained) / 3600
            counts = {"n_trained": len(tables.trials) - self._n_before, "n_reused": self._n_before}
            self._provenance.end(outcome="done", devices=devices, core_hours=hours, **counts)

    def _study(self, settings: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> ProgramStudy:
        """Return the study of trials: what differs between them is an axis; StudyError with what is wrong with it."""
        values = {name: _in_order(one[name] for one in settings) for name in settings[0]}
        axes = dict.fromkeys([*self._axes, *(name for name in values if len(values[name]) > 1)])
        content = {
            **self._content,
            "program": f"{IN_PYTHON}:{self._program or 'objective'}",
            "axes": {name: values[name] for name in axes},
            "fixed": {name: several[0] for name, several in values.items() if name not in axes},
            "seeds": sorted(set(seeds)),
        }
        program = Program(reference=str(content["program"]), kind="tune", quantities=tuple(self._kinds.items()))
        return ProgramReader(Document("tune_callback", content), given=program).study()

    def _known(self) -> None:
        """Go on with a run that another fit has begun: the Tuner was restored, or has further trials."""
        study = load_resolved(self._folder.study)
        if not isinstance(study, ProgramStudy) or not _is_ours(study):
            raise OtherStudyError(
                self._folder.name, ["the run was not made by tune_callback"], "another name or storage"
            )
        schema = shard_schema(study)
        self._program = study.program.partition(":")[2]
        self._kinds = self._kinds or dict(study.signature.quantities)
        for row in read_shards(self._folder, schema=schema).to_pylist():
            self._trained.append(
                _Trained(
                    name=row["pack_id"],
                    settings={name: row[name] for name in study.declared},
                    seed=row["seed"],
                    status=row["status"],
                    steps=tuple(row["step"]),
                    curves={name: row[name] for name in named(schema, "curve")},
                    seconds=row["train_seconds"],
                    device=row["device"],
                    error=row["error"],
                )
            )
        self._n_before = len(self._trained)


def _last_line(file: str | None) -> str:
    """Return what an error file of Tune's ends with."""
    with suppress(OSError):
        lines = [line for line in Path(file or "").read_text().splitlines() if line.strip()]
        return lines[-1][:300] if lines else "unknown"
    return "unknown"


def _is_ours(study: ProgramStudy) -> bool:
    return study.signature.kind == "tune" and study.program.startswith(f"{IN_PYTHON}:")


def _scalars(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a map can have: numbers, text, truth values and None."""
    plain = {valid_name(name): value.item() if hasattr(value, "item") else value for name, value in config.items()}
    return {
        name: value for name, value in plain.items() if value is None or isinstance(value, bool | int | float | str)
    }


def _in_order(values: Iterable[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(isinstance(value, int | float) for value in distinct) else distinct


def _result(one: _Trained, study: ProgramStudy) -> TrialResult:
    parameters = {parameter.name: parameter for parameter in study.parameters}
    settings = {name: parameters[name].value_of(value) for name, value in one.settings.items()}
    return TrialResult(
        trial=study.trial(settings, one.seed),
        status=one.status,
        steps=one.steps,
        curves=one.curves,
        texts={"source": ""},
        train_seconds=one.seconds,
        device=one.device,
        error=one.error,
    )
