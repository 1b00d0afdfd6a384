"""Which kernel trains a run's two-layer networks on CPUs: the same from its first trial to its last, where it can be.

The fused kernel and the plain one give the same networks in other bits, so a run keeps to what it began with.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import pandas as pd
import pyarrow.compute as pc

from phasemap.results.folder import RunFolder
from phasemap.results.shards import read_shards
from phasemap.study.errors import UserError
from phasemap.study.names import BATCHED_KERNEL, FUSED_KERNEL, GENERAL_KERNEL, PLAIN_KERNEL
from phasemap.study.networks import CLOSED_FORM

FACTORS = ("output_scale", "temperature")  # of the scores in the loss


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelChoice:
    """Whether the fused kernel is to be used, and what there is to say about it."""

    fused: bool = False
    notice: str | None = None


def choose_kernel(folder: RunFolder | None) -> KernelChoice:
    """Choose for a run what its first trials were trained by; for a new one (None) the fused kernel, if it is there.

    A run that was begun with the plain kernel never has a trial of the fused one, so one such trial tells how it began.
    Runs of releases that stored no kernel's name were trained by the plain one.
    """
    stored = _stored_kernels(folder) if folder else set()
    if FUSED_KERNEL not in stored and stored & {PLAIN_KERNEL, None}:
        return KernelChoice()
    if fused_available():
        return KernelChoice(fused=True)
    if FUSED_KERNEL not in stored:
        return KernelChoice()
    return KernelChoice(
        notice="the run was started with the fused kernel, which needs numba: without it here the plain kernel takes "
        "over (the column kernel of trials.parquet names each trial's); pip install 'phasemap[fast]'"
    )


@cache
def fused_available() -> bool:
    """Tell whether this process can use the fused kernel; what it compiles is then kept for others on this machine."""
    try:
        import phasemap.training.passes  # noqa: F401
    except ImportError:  # numba is not installed, or is too old for numpy
        return False
    return True


def mixture(trials: pd.DataFrame) -> str | None:
    """Say that a run's trials (rows of ``trials.parquet``) were trained by both kernels; None where they were not."""
    trained = trials.loc[trials["status"] != "failed", "kernel"].fillna(PLAIN_KERNEL)
    counts = Counter(trained)
    if not (counts[FUSED_KERNEL] and counts[PLAIN_KERNEL]):
        return None
    return (
        f"two kernels trained this run: the fused one {counts[FUSED_KERNEL]} trials, the plain one "
        f"{counts[PLAIN_KERNEL]}; their curves differ by rounding (the column kernel of trials.parquet)"
    )


def check_card_kernels(folder: RunFolder) -> None:
    """Raise UserError if GPUs trained a run's networks by another kernel than this release's for such networks."""
    columns = ["status", "device", "kernel", "task", "model", "depth", "norm", "loss", *FACTORS]
    table = read_shards(folder, columns, skip_damaged=True)
    on_gpus = pc.and_(pc.not_equal(table["status"], "failed"), pc.starts_with(table["device"], "cuda"))
    kinds = table.filter(on_gpus).select(columns[2:]).group_by(columns[2:]).aggregate([])
    for kind in kinds.to_pylist():
        batched = kind["model"] == "mlp" and kind["depth"] == 2 and kind["norm"] == "none"
        batched = batched and kind["loss"] in CLOSED_FORM and all(kind[name] == 1 for name in FACTORS)
        tokens = kind["task"].startswith(("modular", "operation"))
        now = BATCHED_KERNEL if batched and tokens else GENERAL_KERNEL
        if kind["kernel"] != now:
            raise UserError(
                f"GPUs trained networks of this run by the kernel {kind['kernel'] or 'functional'}, but this release "
                f"trains such networks by {now}, and a run keeps to its kernel; allowed: the release that began it, or "
                "phasemap run --fresh (moves the run aside)"
            )


def _stored_kernels(folder: RunFolder) -> set[str | None]:
    table = read_shards(folder, ["status", "kernel"], skip_damaged=True)
    trained = table.filter(pc.not_equal(table["status"], "failed"))
    return set(pc.unique(trained["kernel"]).to_pylist())
