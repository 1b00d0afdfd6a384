"""GPUs as plans and trainings see them: facts of a card as a value, so that no card is needed to reason about one."""

from __future__ import annotations

import gc
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

DRIVER = Path("/dev/nvidiactl")  # there where NVIDIA's driver is: without it PyTorch, which takes seconds, isn't asked
ROUNDING = {"tf32": (8, 0), "bf16": (8, 0)}  # the compute capability that products of such numbers need


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One kind of GPU; ``count`` of them are at hand."""

    name: str
    memory: int  # bytes
    capability: tuple[int, int] = (9, 0)
    count: int = 1

    @property
    def precisions(self) -> tuple[str, ...]:
        """The values of ``training.precision`` that it can train with."""
        return ("full", *(name for name, needed in ROUNDING.items() if self.capability >= needed))

    def __str__(self) -> str:
        """Name the card with its memory."""
        return f"{self.name} ({self.memory / 1e9:.3g} GB)"


def card_here() -> Card | None:
    """Return this machine's first GPU, and how many are like it; None without one that PyTorch can use."""
    if not DRIVER.exists():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    first = found[0]
    return Card(
        name=first.name,
        memory=int(first.total_memory),
        capability=(first.major, first.minor),
        count=sum(one.name == first.name for one in found),
    )


def in_use(device: str) -> str:
    """Return the name of the card that this process trains on, or the kind of device where it is none."""
    if device != "cuda" or not DRIVER.exists():
        return device
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else device


def out_of_memory(error: BaseException) -> bool:
    """Whether a GPU had no room for what was to be computed."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def give_back() -> None:
    """Give back what is no longer used of a GPU's memory."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def lacking(precisions: Collection[str], card: Card | None) -> str | None:
    """Say which precision a card (None: a CPU) can't train with; None where it can with all."""
    has = card.precisions if card else ("full",)
    where = f"{card}, of compute capability {'.'.join(map(str, card.capability))}," if card else "a CPU"
    for precision in precisions:
        if precision not in has:
            return f"training.precision = {precision}, which {where} lacks; allowed there: {', '.join(has)}"
    return None
