"""Which kind of device a run trains on: one for all its networks, unless its study asks for any."""

from __future__ import annotations

from dataclasses import dataclass

from phasemap.study.errors import UserError

FRESH = "or phasemap run --fresh (moves the run aside)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """What decides it: what the study asks for, and where the run's stored networks were trained.

    A CPU and a GPU train by kernels that round differently, so that differences within a map could be theirs.
    """

    wanted: str  # resources.device
    trained_on: frozenset[str] = frozenset()  # cpu, cuda, or both
    gpus: float = 1.0  # that each pack gets on GPUs, where gpus_per_pack is auto

    def resolve(self, *, has_gpu: bool, growing: bool = False) -> str:
        """Return ``cpu``, ``cuda`` or ``any`` (both), for ``auto`` what the run's first networks were trained on.

        ``has_gpu``: whether packs can get a GPU now; where the cluster is ``growing`` one may come. UserError if the
        run can't keep its kind of device.
        """
        if self.wanted == "any":
            return "any"
        kept = min(self.trained_on) if len(self.trained_on) == 1 else None
        if self.wanted == "auto":
            return self._kept(kept, has_gpu=has_gpu or growing) if kept else usual_device(has_gpu=has_gpu)
        if kept and kept != self.wanted:
            raise UserError(
                f"resources.device is {self.wanted}, but the run's networks were trained on {kept}, and a run keeps to "
                f"one kind of device; allowed: auto or {kept}; any, which mixes them; {FRESH}"
            )
        if self.wanted == "cuda" and not (has_gpu or growing):
            raise UserError("resources.device is cuda, but no CUDA device is available; allowed: auto or cpu")
        return self.wanted

    @staticmethod
    def _kept(kept: str, *, has_gpu: bool) -> str:
        if kept == "cuda" and not has_gpu:
            raise UserError(
                "the run's networks were trained on cuda, and a run keeps to one kind of device, but there is no GPU; "
                f"allowed: a machine or cluster with one; resources.device any, which mixes them; {FRESH}"
            )
        return kept


def usual_device(*, has_gpu: bool) -> str:
    """Return what ``auto`` is in a new run."""
    return "cuda" if has_gpu else "cpu"
