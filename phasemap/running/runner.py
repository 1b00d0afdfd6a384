"""The seam between deciding and executing: a runner trains packs and tells of each; what to try after a failure.

Here is the runner of this process: packs one after the other, without Ray, for debugging, tests and small studies.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from phasemap.planning.packs import Pack, split
from phasemap.running.devices import DeviceChoice, usual_device
from phasemap.running.worker import PackReport, Workload, train_and_store
from phasemap.study.errors import NoDeviceError, UnreachableError
from phasemap.training.cards import Card, card_here


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A pack is a share of the way through its training."""

    pack_id: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A pack is stored."""

    report: PackReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A pack ended without a shard: its training or process died, its node was lost, or the storage failed.

    ``memory``: a node ran out of it, and one of the packs that are told of was the reason. ``device``: a node lacks
    the device to train on.
    """

    pack_id: str
    error: str
    cause: Literal["training", "node", "storage", "memory", "device"] = "training"

    @property
    def outside(self) -> bool:
        """Whether no pack is to blame, and the run ends where none can be trained."""
        return self.cause in ("storage", "device")


More = Callable[[], "list[Pack] | None"]
"""Gives further packs when all are handed out and a slot is free; None when there are none to train now."""

Event = Advanced | Finished | Failed


class Runner(ABC):
    """Trains packs, several at once, within its ``with`` block, which ends every process that was started.

    ``run`` returns when it will do no more. It tells ``Finished`` or ``Failed`` at most once for a pack; a pack of
    which it told neither was not trained to its end, and may be given again. Events arrive in the caller's thread.
    KeyboardInterrupt passes through; what is stored by then is kept.
    """

    name: str
    slots: int

    @abstractmethod
    def choose_device(self, choice: DeviceChoice) -> str:
        """Settle which kind of device all packs of a run train on, and return it; UserError if it can't be had."""

    @abstractmethod
    def card(self) -> Card | None:
        """Return a GPU of those that packs get; None where there is none, or it can't be looked at."""

    @abstractmethod
    def run(
        self, packs: Sequence[Pack], workload: Workload, tell: Callable[[Event], None], more: More | None = None
    ) -> None:
        """Train packs in their order, and then those that ``more`` gives."""

    @abstractmethod
    def close(self) -> None:
        """End what was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


ATTEMPTS = 2  # of a pack as it is, before it is split
NODE_LOSSES = 10  # that a pack survives before one of them counts as its own failure

logger = logging.getLogger("phasemap")


class Attempts:
    """How often packs failed in a run, and what is tried next."""

    def __init__(self) -> None:
        self._attempts: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._alone: set[str] = set()  # what may have failed for the memory that other packs took

    def next(self, pending: Mapping[str, Pack]) -> tuple[list[Pack], bool]:
        """Return the packs to train together, and at last each that is to be alone, with whether it is."""
        together = [pack for name, pack in pending.items() if name not in self._alone]
        return (together, False) if together else (list(pending.values())[:1], bool(pending))

    def after(self, pack: Pack, failed: Failed) -> list[Pack]:
        """Return what to train after a failure: the pack from its checkpoint, again, halved, alone, or nothing more."""
        name = pack.pack_id
        self._losses[name] += failed.cause == "node"
        if failed.outside or (failed.cause == "node" and self._losses[name] < NODE_LOSSES):
            logger.warning("pack %s continues, although a %s failed: %s", name, failed.cause, failed.error)
            return [pack]
        self._attempts[name] += 1
        logger.warning("pack %s failed (attempt %d): %s", name, self._attempts[name], failed.error)
        if self._attempts[name] < ATTEMPTS:
            return [pack]
        if len(pack.trials) > 1:
            return split(pack)
        if failed.cause == "memory" and name not in self._alone:
            self._alone.add(name)
            return [pack]
        return []


class LocalRunner(Runner):
    """The runner of this process; see ``Runner`` for the contract."""

    name = "in-process"
    slots = 1

    def choose_device(self, choice: DeviceChoice) -> str:
        """Settle which kind of device all packs of a run train on: packs take turns, so one kind also for ``any``."""
        from phasemap.training.kernel import pick_device

        has_gpu = pick_device("auto").type != "cpu"
        device = choice.resolve(has_gpu=has_gpu)
        return usual_device(has_gpu=has_gpu) if device == "any" else device

    def card(self) -> Card | None:
        """Return this machine's GPU."""
        return card_here()

    def run(
        self, packs: Sequence[Pack], workload: Workload, tell: Callable[[Event], None], more: More | None = None
    ) -> None:
        """Train packs in their order, and then those that ``more`` gives."""
        for pack in handed_out(packs, more):

            def on_progress(share: float, pack_id: str = pack.pack_id) -> None:
                tell(Advanced(pack_id=pack_id, share=share))

            try:
                report = train_and_store(pack, workload, on_progress)
            except Exception as error:
                failed = failure(pack.pack_id, error)
                tell(failed)
                if failed.outside:
                    return
            else:
                tell(Finished(report=report))

    def close(self) -> None:
        """End the process of a program, if one was started."""
        from phasemap.running.program_packs import end_process

        end_process()


def handed_out(packs: Sequence[Pack], more: More | None) -> Iterator[Pack]:
    """Yield packs in their order, and ask for more when the last was used."""
    while packs:
        yield from packs
        packs = (more() if more else None) or ()


def failure(pack_id: str, error: BaseException) -> Failed:
    """Turn what ended a pack's training into an event."""
    if isinstance(error, UnreachableError):
        cause: Literal["device", "storage"] = "device" if isinstance(error, NoDeviceError) else "storage"
        return Failed(pack_id=pack_id, error=str(error), cause=cause)
    return Failed(pack_id=pack_id, error=describe_error(error))


def describe_error(error: BaseException) -> str:
    """Put an exception into one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
