"""The kernels that train packs: what each can do, and which one covers a network on a device."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import torch

from phasemap.study.errors import UserError
from phasemap.study.networks import NetworkTrial
from phasemap.study.own_parts import OwnTrial
from phasemap.tasks.examples import Examples
from phasemap.training.batched import BatchedKernel
from phasemap.training.cards import card_here, lacking
from phasemap.training.costs import batchable
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.explicit_features import FeaturesKernel
from phasemap.training.explicit_transformer import TransformerKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.inside import Seen
from phasemap.training.one_by_one import OneByOneKernel
from phasemap.training.own_probe import probe
from phasemap.training.recording import (
    Evaluation,
)


class Kernel(Protocol):
    """K networks that can be trained and asked; ``members`` are indices into the pack."""

    name: str  # as it stands in shards and checkpoints

    def advance(self, members: Sequence[int], after: int, until: int) -> None:
        """Train the given networks from step ``after`` to step ``until``."""

    def evaluate(self, members: Sequence[int]) -> list[Evaluation]:
        """Answer all examples with the given networks, dropout off."""

    def record(self, members: Sequence[int], step: int, wanted: Collection[str]) -> list[tuple[Evaluation, Seen]]:
        """Answer as ``evaluate`` does, and tell what was seen inside on the way of what is wanted."""

    def ends(self, members: Sequence[int]) -> list[Seen]:
        """Tell what was seen inside the trained networks of what a table of trials shows."""

    def weights(self, member: int) -> dict[str, torch.Tensor]:
        """Return one network's weights by name."""

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs."""

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint."""

    def network_states(self, members: Sequence[int]) -> list[dict[str, Any]]:
        """Return what of ``state`` belongs to each of some networks."""

    def put_states(self, states: Mapping[int, Mapping[str, Any]]) -> None:
        """Continue networks, by their indices, from what ``network_states`` returned."""


def pick_device(wanted: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; RuntimeError if CUDA is wanted and absent."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no CUDA device here")
    return torch.device(wanted)


def make_kernel(
    trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device, *, fused: bool = False
) -> Kernel:
    """Choose the explicit gradient where it covers the network, else the general kernel.

    A CPU trains one network after the other by it; anywhere else that would leave the device idle, and all networks
    train at once.
    ``fused``: where there are fused passes, and numba to compile them, they are used.
    UserError if the device lacks the trials' precision.
    """
    check_precision(trials[0].precision, device)
    own = isinstance(trials[0], OwnTrial) and trials[0].parts.code
    if isinstance(trials[0], OwnTrial) and own and probe(trials[0]).alone:
        return OneByOneKernel(trials, examples, device)
    if not own and device.type != "cpu" and batchable(trials[0], tokens=examples[0].dataset.tokens):
        return BatchedKernel(trials, examples, device)
    if device.type == "cpu" and trials[0].explicit:
        if trials[0].model == "transformer":
            return TransformerKernel(trials, examples, device)
        if not examples[0].dataset.tokens:
            return FeaturesKernel(trials, examples, device)
        return _token_kernel(fused=fused)(trials, examples, device)
    return FunctionalKernel(trials, examples, device)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise UserError if a device can't train with a precision; ``meta`` has no numbers, and any."""
    if device.type != "meta" and (message := lacking([precision], card_here() if device.type == "cuda" else None)):
        raise UserError(message)


def _token_kernel(*, fused: bool) -> type[ExplicitKernel]:
    if fused:
        with suppress(ImportError):
            from phasemap.training.explicit_fused import FusedKernel

            return FusedKernel
    return ExplicitKernel
