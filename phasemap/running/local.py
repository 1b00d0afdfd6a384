"""Packs one after the other in this process, without Ray: for debugging, tests and the smallest studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from phasemap.planning.packs import Pack
from phasemap.running.devices import DeviceChoice, usual_device
from phasemap.running.runner import Advanced, Event, Failed, Finished, More, Runner
from phasemap.running.worker import Workload, train_and_store
from phasemap.study.errors import NoDeviceError, UnreachableError
from phasemap.training.cards import Card, card_here


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
            except UnreachableError as error:
                cause: Literal["device", "storage"] = "device" if isinstance(error, NoDeviceError) else "storage"
                tell(Failed(pack_id=pack.pack_id, error=str(error), cause=cause))
                return
            except Exception as error:
                tell(Failed(pack_id=pack.pack_id, error=describe_error(error)))
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


def describe_error(error: BaseException) -> str:
    """Put an exception into one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
