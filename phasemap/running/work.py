"""The whole of what a worker does: one pack is trained, labelled and stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from phasemap.phases.curves import QUANTITIES
from phasemap.results.folder import RunFolder, write_bytes
from phasemap.results.inside import write_inside
from phasemap.results.merge import trial_table
from phasemap.results.shards import read_shard, shard_table, write_shard
from phasemap.study.packs import Pack
from phasemap.study.spec import PhaseRule
from phasemap.training.recording import TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What all packs of a run have in common."""

    folder: RunFolder
    rule: PhaseRule
    device: str
    record: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What is told of a pack that was stored; the shard holds everything else."""

    pack_id: str
    shard: str
    phase_counts: Mapping[str, int]
    n_ok: int
    n_diverged: int
    n_failed: int
    single: Mapping[str, Any] | None = None  # phase, subphase and final quantities of a pack of one trial

    def as_metrics(self) -> dict[str, Any]:
        """Return the report as Ray Tune's callbacks see it."""
        metrics = asdict(self)
        return metrics | (metrics.pop("single") or {})


def train_and_store(pack: Pack, workload: Workload, on_progress: Callable[[float], None]) -> PackReport:
    """Train a pack, from its last checkpoint if it has one, and write its shard; progress is told as a share.

    A pack that is stored already is only reported: its worker was lost after it had written the shard.
    """
    stored = _stored(pack, workload)
    if stored is not None:
        return stored
    from phasemap.training.population import CheckpointError, Hooks, pick_device, train_pack

    checkpoint = workload.folder.checkpoint(pack.pack_id)
    hooks = Hooks(
        on_progress=lambda progress: on_progress(progress.step / progress.steps),
        save=lambda content: write_bytes(checkpoint, content),
        saved=checkpoint.read_bytes() if checkpoint.exists() else None,
    )
    device = pick_device(workload.device)
    try:
        results = train_pack(pack.trials, device=device, record=workload.record, hooks=hooks)
    except CheckpointError:  # a checkpoint is a cache: without it the pack starts anew
        checkpoint.unlink()
        results = train_pack(pack.trials, device=device, record=workload.record, hooks=replace(hooks, saved=None))
    report = _store(pack, results, workload)
    checkpoint.unlink(missing_ok=True)
    return report


def store_failure(pack: Pack, error: str, workload: Workload) -> PackReport:
    """Write a shard that names each trial of a pack as failed; a later run tries them again."""
    results = [
        TrialResult(
            trial=trial,
            status="failed",
            steps=(),
            curves={name: [] for name in QUANTITIES},
            n_train=0,
            n_corrupted=0,
            n_classes=0,
            train_seconds=0.0,
            device=workload.device,
            error=error,
        )
        for trial in pack.trials
    ]
    return _store(pack, results, workload)


def _store(pack: Pack, results: list[TrialResult], workload: Workload) -> PackReport:
    write_inside(workload.folder, pack.pack_id, results)  # first: the shard says that the pack is done
    write_shard(workload.folder, pack.pack_id, results)
    return _report(pack, shard_table(pack.pack_id, results), workload)


def _stored(pack: Pack, workload: Workload) -> PackReport | None:
    """Report a pack from its shard, unless it has none or a trial in it failed."""
    path = workload.folder.shard(pack.pack_id)
    if not path.exists():
        return None
    table = read_shard(path)
    return None if "failed" in table["status"].to_pylist() else _report(pack, table, workload)


def _report(pack: Pack, table: pa.Table, workload: Workload) -> PackReport:
    rows = trial_table(table, workload.rule)
    statuses = Counter(rows["status"])
    single = None
    if len(rows) == 1 and statuses["ok"]:
        single = rows.iloc[0][["phase", "subphase", *QUANTITIES]].to_dict()
    return PackReport(
        pack_id=pack.pack_id,
        shard=workload.folder.shard(pack.pack_id).name,
        phase_counts=dict(Counter(rows["phase"].dropna())),
        n_ok=statuses["ok"],
        n_diverged=statuses["diverged"],
        n_failed=statuses["failed"],
        single=single,
    )
