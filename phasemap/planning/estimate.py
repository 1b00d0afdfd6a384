"""What a plan would take on a machine: time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasemap.planning.calibration import Calibration
from phasemap.planning.on_cards import CardShare, at_once, estimate_on_cards, wall_seconds
from phasemap.planning.packs import Pack
from phasemap.study.trials import networks
from phasemap.training.costs import estimated_bytes, kept_bytes, looking_bytes

if TYPE_CHECKING:
    from phasemap.planning.plan import Plan
    from phasemap.study.spec import ResourceSpec

RAY_START_SECONDS = 8.0
WORKER_START_SECONDS = 5.0
PACK_SECONDS = 0.07  # Ray Tune's own, for a pack on a worker that is used again
WORKER_BYTES = 305_000_000  # a worker with torch
GENERAL_BYTES = 220_000_000  # more in a worker that trained some packs with torch.func
FUSED_BYTES = 100_000_000  # more in a worker with numba
CUDA_BYTES = 1_500_000_000  # more in a worker with CUDA: an assumption
RAY_BYTES = 780_000_000  # its daemons, and the driver


def estimate(plan: Plan, resources: ResourceSpec, cpus: int, calibration: Calibration) -> dict[str, float]:
    """Estimate wall seconds, core-hours and peak memory (all processes) of a plan on a machine with ``cpus`` CPUs."""
    if plan.card_share and plan.packs:
        return _on_cards(plan, resources, cpus, plan.card_share)
    slots = at_once(resources, int(cpus // resources.cpus_per_pack))
    if not plan.packs:
        return {"wall_seconds": 0.0, "core_hours": 0.0, "memory_bytes": 0.0, "slots": slots}
    seconds = wall_seconds((plan.pack_seconds(pack, calibration) + PACK_SECONDS for pack in plan.packs), slots)
    largest, worker = max(_pack_bytes(pack, plan) for pack in plan.packs), WORKER_BYTES * (2 if plan.program else 1)
    return {
        "wall_seconds": seconds + RAY_START_SECONDS + WORKER_START_SECONDS,
        "core_hours": plan.core_seconds(calibration) * resources.cpus_per_pack / 3600,
        "memory_bytes": float(min(slots, len(plan.packs)) * (largest + worker) + RAY_BYTES),
        "slots": slots,
    }


def _on_cards(plan: Plan, resources: ResourceSpec, cpus: int, card_share: CardShare) -> dict[str, float]:
    """Estimate a plan on the GPUs of a machine; ``memory_bytes`` is the machine's own."""
    costs = estimate_on_cards(plan.packs, resources, cpus, card_share)
    largest = max(sum(map(kept_bytes, networks(pack.trials))) for pack in plan.packs)
    return costs | {
        "wall_seconds": costs["wall_seconds"] + RAY_START_SECONDS + WORKER_START_SECONDS,
        "memory_bytes": min(costs["slots"], len(plan.packs)) * (largest + WORKER_BYTES + CUDA_BYTES) + RAY_BYTES,
    }


def _pack_bytes(pack: Pack, plan: Plan) -> int:
    if plan.program:
        return 0
    trials = networks(pack.trials)
    trial = trials[0]
    library = 0 if trial.explicit else GENERAL_BYTES
    if plan.kernel.fused and trial.explicit and trial.model == "mlp":
        library = FUSED_BYTES
    return estimated_bytes(trials) + looking_bytes(trials, plan.record) + library
