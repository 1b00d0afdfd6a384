"""Train one trial of a run alone again, and compare it with what the run has stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from phasemap.planning.packs import make_pack
from phasemap.results.curve_comparison import CurveComparison, compare
from phasemap.results.folder import RunFolder
from phasemap.results.merge import merge_rows
from phasemap.results.provenance import MACHINE, Execution, read_provenance, surroundings
from phasemap.results.schema import shard_schema
from phasemap.results.shards import read_shards, shard_table
from phasemap.running.progress import Progress
from phasemap.running.runner import Advanced
from phasemap.study.errors import UserError
from phasemap.study.identity import Trial
from phasemap.study.names import FUSED_KERNEL
from phasemap.study.own_code import present_parts
from phasemap.study.own_parts import OwnTrial
from phasemap.study.own_study import OwnStudy
from phasemap.study.program_study import ProgramStudy, ProgramTrial
from phasemap.study.spec import Study
from phasemap.study.trials import find_trial, networks


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A trial that was trained again: what was compared, and where and with what each of both was trained."""

    trial: Trial
    comparison: CurveComparison
    devices: tuple[str, str]  # stored, replayed
    kernels: tuple[str | None, str | None]  # stored (None: by a release that stored none), replayed
    differences: tuple[str, ...]  # between the machines and libraries, in words
    seconds: float


def replay_trial(folder: RunFolder, study: Study, trial_id: str, *, quiet: bool = False) -> Replay:
    """Train a trial alone and compare the curves: on the device and by the kernel of then, if this machine has them.

    UserError if the study has no such trial, or the run has nothing of it to compare with.
    """
    trial = find_trial(study, trial_id)
    stored = _stored(folder, study, trial)
    started = time.monotonic()
    device, kernel = stored["device"][0].as_py(), stored["kernel"][0].as_py()
    if isinstance(study, ProgramStudy):
        replayed = _run_program(study, trial, device)
    else:
        replayed = _train(study, trial, device, fused=kernel == FUSED_KERNEL, quiet=quiet)
    used, by = replayed["device"][0].as_py(), replayed["kernel"][0].as_py()
    return Replay(
        trial=trial,
        comparison=compare(stored, replayed, study.phases),
        devices=(device, used),
        kernels=(kernel, by),
        differences=(
            *_other_source(study, stored),
            *_other_device(device, used),
            *_other_kernel(kernel, by),
            *_differences(read_provenance(folder), surroundings()),
        ),
        seconds=time.monotonic() - started,
    )


def _stored(folder: RunFolder, study: Study, trial: Trial) -> pa.Table:
    rows = read_shards(folder, schema=shard_schema(study))
    row = merge_rows(rows.filter(pc.equal(rows["trial_id"], trial.trial_id)))
    if not len(row):
        raise UserError(f"trial {trial} is not trained yet: there is no curve to compare with; needed: phasemap run")
    if row["status"][0].as_py() == "failed":
        raise UserError(
            f"trial {trial} failed ({row['error'][0].as_py()}): there is no curve to compare with; "
            "needed: phasemap run --retry-failed"
        )
    return row


def _train(study: Study, trial: Trial, wanted: str, *, fused: bool, quiet: bool) -> pa.Table:
    """Train the trial in a pack of its own, with a user's present code, and return its shard row."""
    from phasemap.training.kernel import make_kernel, pick_device
    from phasemap.training.population import train_pack
    from phasemap.training.recording import Hooks

    try:
        device = pick_device(wanted)
    except RuntimeError:
        device = pick_device("cpu")
    if isinstance(trial, OwnTrial):
        trial = replace(trial, parts=present_parts(trial.parts))
    pack = make_pack([trial])
    with Progress([pack], reused={}, quiet=quiet) as progress:
        hooks = Hooks(on_progress=lambda share: progress.tell(Advanced(pack_id=pack.pack_id, share=share)))
        kernel = partial(make_kernel, fused=fused)
        results = train_pack(networks(pack.trials), device=device, hooks=hooks, kernel=kernel)
    return shard_table(pack.pack_id, results, shard_schema(study), study.declared)


def _run_program(study: ProgramStudy, trial: Trial, device: str) -> pa.Table:
    """Run a program's trial with its present code and return its shard row; UserError where it fails."""
    from phasemap.running.program_packs import end_process, train_programs

    assert isinstance(trial, ProgramTrial)
    try:
        (result,) = train_programs(study, [trial], device=device, same_source=False)
    finally:
        end_process()
    if result.status == "failed":
        raise UserError(f"trial {trial} failed when it was replayed: {result.error}")
    return shard_table(make_pack([trial]).pack_id, [result], shard_schema(study), study.declared)


def _other_source(study: Study, stored: pa.Table) -> list[str]:
    """Say that a program's code is another than when the trial was trained."""
    if isinstance(study, ProgramStudy):
        now = study.signature.present_source()
    elif isinstance(study, OwnStudy):
        now = present_parts(study.parts).source
    else:
        return []
    then = stored["source"][0].as_py()
    return [f"trained by the program's source {then}, replayed by {now}"] if now not in (None, then) else []


def _other_device(stored: str, used: str) -> list[str]:
    if stored == used:
        return []
    return [f"trained on {stored}, replayed on {used}: equal bits can't be expected"]


def _other_kernel(stored: str | None, used: str | None) -> list[str]:
    if stored in (None, used):
        return []
    return [f"trained by the kernel {stored}, replayed by {used}: equal bits can't be expected"]


def _differences(executions: Sequence[Execution], now: Mapping[str, Any]) -> list[str]:
    """Say in which libraries and machines the executions that trained differ from this process."""
    then = [execution for execution in executions if execution.trained]
    differences = []
    for name, version in now["versions"].items():
        others = sorted({str(e.versions[name]) for e in then if name in e.versions} - {version})
        if others:
            differences.append(f"trained with {name} {' and '.join(others)}, replayed with {version}")
    for what in MACHINE:
        others = sorted({execution.machine(what) for execution in then} - {now[what], ""})
        if others:
            differences.append(f"trained on the {what} {' and '.join(others)}, replayed on {now[what]}")
    return differences
