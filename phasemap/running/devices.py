"""Which kind of device a run trains on, one for all its networks; and what its packs get of a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from phasemap.planning.card_costs import kept_costs
from phasemap.planning.on_cards import CardShare
from phasemap.results.folder import RunFolder
from phasemap.results.shards import trained_devices
from phasemap.study.errors import UserError
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import values_of
from phasemap.training.cards import Card, card_here, lacking

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


def named_devices(devices: Iterable[str], share: CardShare | None) -> list[str]:
    """Return the devices that trained a run's networks as its provenance tells them: a GPU with the card's name."""
    of = f" ({share.card.name})" if share else ""
    return [f"{device}{of}" if device.startswith("cuda") else device for device in sorted(devices)]


def planned_card_share(study: Study, trained_on: frozenset[str], card: Card | None) -> CardShare | None:
    """Return what packs get of the card that is at hand; None where they train on CPUs, or on any device.

    UserError if the card lacks the study's precision, or the run can't be trained on its kind of device.
    """
    resources = study.resources
    if not isinstance(study, NetworkStudy):  # what a program takes of a card nobody knows
        return None
    if card is None or resources.gpus_per_pack == 0 or resources.device in ("cpu", "any"):
        return None
    if DeviceChoice(wanted=resources.device, trained_on=trained_on).resolve(has_gpu=True) != "cuda":
        return None
    if resources.gpus_per_pack != "auto" and resources.gpus_per_pack > card.count:
        raise UserError(
            f"resources.gpus_per_pack = {resources.gpus_per_pack:g}, but there are {card.count} GPUs "
            f"({card.name}); allowed: auto, or at most {card.count}"
        )
    check_precisions(study, card)
    return CardShare.of(card, resources, kept_costs(card))


def card_share_for_plan(study: Study, folder: RunFolder, gpu_memory: float | None) -> CardShare | None:
    """Return what packs would get of this machine's card, or of one of so many GB that stands for another's.

    UserError if the study asks for a GPU, or a precision, that isn't there.
    """
    trained_on = trained_devices(folder) if folder.fetch(folder.study) else frozenset[str]()
    if gpu_memory is not None:
        card: Card | None = Card(name="a GPU elsewhere", memory=round(gpu_memory * 1e9))
    else:
        card = None if study.resources.device == "cpu" else card_here()
    try:
        if card is None:
            DeviceChoice(wanted=study.resources.device, trained_on=trained_on).resolve(has_gpu=False)
            check_precisions(study, None)
        return planned_card_share(study, trained_on, card)
    except UserError as error:
        hint = "" if card else "; for a GPU that is elsewhere: phasemap plan --gpu-memory GB"
        raise UserError(f"{error}{hint}") from None


def check_precisions(study: Study, card: Card | None) -> None:
    """Raise UserError if a card (None: a CPU) lacks a precision that the study's trials are to be trained with."""
    if "precision" in study.declared and (
        message := lacking([value for _, value in values_of(study, "precision")], card)
    ):
        raise UserError(message)
