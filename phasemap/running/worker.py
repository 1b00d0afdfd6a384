"""The whole of what a worker does: one pack is trained, labelled and stored."""

from __future__ import annotations

import math
import socket
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from phasemap.planning.packs import Pack
from phasemap.results.folder import RunFolder
from phasemap.results.inside import write_inside
from phasemap.results.merge import trial_table
from phasemap.results.schema import shard_schema
from phasemap.results.shards import read_shard, shard_table, write_shard
from phasemap.running.pack_parts import Part, Sizes, Starts, by_start, starts_of, train_in_parts, within
from phasemap.running.retries import retry, storage_errors
from phasemap.study.errors import DamagedShardError, NoDeviceError
from phasemap.study.names import STATE
from phasemap.study.program_source import last_line
from phasemap.study.program_study import ProgramStudy, ProgramTrial, with_told
from phasemap.study.spec import Study
from phasemap.study.trials import networks
from phasemap.training.cards import card_here, in_use, lacking
from phasemap.training.recording import TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What all packs of a run have in common."""

    folder: RunFolder
    study: Study
    device: str
    fused: bool = False  # whether the fused kernel is used, where the worker has it
    former: tuple[int, ...] = ()  # numbers of steps of the run's shorter trials, which its own go on from; falling


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What is told of a pack that was stored; the shard holds everything else."""

    pack_id: str
    shard: str
    phase_counts: Mapping[str, int]
    n_ok: int
    n_diverged: int
    n_failed: int
    trial_seconds: float = math.nan  # usual ones, of those that did not fail
    single: Mapping[str, Any] | None = None  # phase, subphase and final quantities of a pack of one trial

    def as_metrics(self) -> dict[str, Any]:
        """Return the report as Ray Tune's callbacks see it."""
        metrics = asdict(self)
        return metrics | (metrics.pop("single") or {})


def train_and_store(pack: Pack, workload: Workload, on_progress: Callable[[float], None]) -> PackReport:
    """Train a pack, from its last checkpoint if it has one, and write its shard; progress is told as a share.

    A pack that is stored already is only reported: its worker was lost after it had written the shard.
    """
    with workload.folder.at_work() as folder:
        at_work = replace(workload, folder=folder)
        with storage_errors(folder):
            stored = _stored(pack, at_work)
        if stored is None:
            try:
                parts = _train(pack, at_work, on_progress)
            except SystemExit as error:  # of a user's network, loss or optimizer: it would end the command, or a worker
                raise RuntimeError(f"it ended itself by {last_line(error)}") from None
            results = [result for part in parts for result in part.results]
            with storage_errors(folder):
                stored = retry(lambda: store_results(pack, results, at_work))
            with suppress(OSError):  # the pack is stored; what is left of its checkpoint harms nothing
                for name in (pack.pack_id, *(trial.trial_id for trial in _programs(pack))):
                    folder.remove(folder.checkpoint(name))
                for one in (part.pack for part in parts):
                    folder.remove(folder.checkpoint(one.pack_id))
        return stored


def _sizes(workload: Workload) -> Sizes:
    """Return what is remembered of packs that did not fit on this worker's kind of device."""
    return Sizes(folder=workload.folder, card=in_use(workload.device))


def _train(pack: Pack, workload: Workload, on_progress: Callable[[float], None]) -> Sequence[Part]:
    """Train a pack, from what is kept of it if anything is: a user's program, or networks in as many parts as fit."""
    if isinstance(workload.study, ProgramStudy):
        from phasemap.running.program_packs import Kept, train_programs

        kept = Kept(folder=workload.folder, source=workload.study.signature.source, ends=STATE in workload.study.record)
        results = train_programs(
            workload.study, _programs(pack), device=workload.device, kept=kept, on_progress=on_progress
        )
        return [Part(pack=pack, results=results)]
    starts = starts_of(pack, workload.study, workload.folder, workload.former)
    train = partial(_train_networks, workload=workload, starts=starts)
    parts: list[Part] = []
    for one in by_start(pack, starts):
        done = sum(len(part.results) for part in parts)
        progress = within(on_progress, done, len(one.trials), len(pack.trials))
        parts += train_in_parts(one, _sizes(workload), train, progress)
    return parts


def _programs(pack: Pack) -> list[ProgramTrial]:
    return [trial for trial in pack.trials if isinstance(trial, ProgramTrial)]


def _train_networks(
    pack: Pack, on_progress: Callable[[float], None], workload: Workload, starts: Starts
) -> list[TrialResult]:
    """Train a pack from its last checkpoint, if it has one; a checkpoint is a cache, so its loss is no failure.

    Else it goes on from ``starts``, which are of all its trials or of none.
    """
    from phasemap.training.kernel import make_kernel, pick_device
    from phasemap.training.population import CheckpointError, train_pack
    from phasemap.training.recording import Hooks

    folder, checkpoint = workload.folder, workload.folder.checkpoint(pack.pack_id)

    def save(content: bytes) -> None:
        with suppress(OSError):
            folder.write_bytes(checkpoint, content)

    hooks = Hooks(on_progress=on_progress, save=save, saved=_saved(folder, checkpoint))
    try:
        device = pick_device(workload.device)
    except RuntimeError as error:
        raise NoDeviceError(f"{socket.gethostname()}: {error}, but packs are given a GPU there") from None
    lacks = lacking([networks(pack.trials)[0].precision], None if device.type == "cpu" else card_here())
    if lacks:
        raise NoDeviceError(f"{socket.gethostname()}: {lacks}")
    kernel = partial(make_kernel, fused=workload.fused)
    train = partial(train_pack, networks(pack.trials), device=device, record=workload.study.record, kernel=kernel)
    first = [starts[trial.trial_id] for trial in pack.trials if trial.trial_id in starts]
    for begin in (first, ()):  # which may be of another kernel
        for saved in (hooks.saved, None):
            with suppress(CheckpointError):
                return train(hooks=replace(hooks, saved=saved), starts=begin)
    raise AssertionError


def _saved(folder: RunFolder, checkpoint: Path) -> bytes | None:
    with suppress(OSError):
        return checkpoint.read_bytes() if folder.fetch(checkpoint) else None
    return None


def store_failure(pack: Pack, error: str, workload: Workload) -> PackReport:
    """Write a shard that names each trial of a pack as failed; a later run tries them again."""
    results = [
        TrialResult(
            trial=trial,
            status="failed",
            facts=dict.fromkeys(workload.study.recorded.whole, 0),
            train_seconds=0.0,
            device=workload.device,
            error=error,
        )
        for trial in pack.trials
    ]
    return store_results(pack, results, workload)


def store_results(pack: Pack, results: list[TrialResult], workload: Workload) -> PackReport:
    """Write the shard of a pack's results, and report it."""
    columns = shard_schema(_told(workload.study, results)), workload.study.declared
    write_inside(workload.folder, pack.pack_id, results)  # first: the shard says that the pack is done
    write_shard(workload.folder, pack.pack_id, results, *columns)
    return _report(pack, shard_table(pack.pack_id, results, *columns), workload)


def _told(study: Study, results: Sequence[TrialResult]) -> Study:
    """Return a study with the quantities that results tell, where nothing told them before."""
    if isinstance(study, ProgramStudy) and not study.signature.quantities:
        return with_told(study, {name: "number" for result in results for name in result.curves})
    return study


def _stored(pack: Pack, workload: Workload) -> PackReport | None:
    """Report a pack from its shard, unless it has none or a trial in it failed."""
    path = workload.folder.shard(pack.pack_id)
    if not workload.folder.fetch(path):
        return None
    try:
        table = read_shard(path, schema=shard_schema(workload.study))
    except DamagedShardError:
        return None
    return None if "failed" in table["status"].to_pylist() else _report(pack, table, workload)


def _report(pack: Pack, table: pa.Table, workload: Workload) -> PackReport:
    rows = trial_table(table, workload.study.phases)
    statuses = Counter(rows["status"])
    single = None
    if len(rows) == 1 and statuses["ok"]:
        single = rows.iloc[0][["phase", "subphase", *workload.study.recorded.quantities]].to_dict()
    return PackReport(
        pack_id=pack.pack_id,
        shard=workload.folder.shard(pack.pack_id).name,
        phase_counts=dict(Counter(rows["phase"].dropna())),
        n_ok=statuses["ok"],
        n_diverged=statuses["diverged"],
        n_failed=statuses["failed"],
        trial_seconds=_usual_seconds(rows),
        single=single,
    )


def _usual_seconds(rows: pd.DataFrame) -> float:
    seconds = rows.loc[rows["status"] != "failed", "train_seconds"].dropna()
    return statistics.median(seconds) if len(seconds) else math.nan
