"""The kernels that train packs: what each can do, and which one covers a network on a device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

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
from phasemap.training.grouped import GroupedKernel
from phasemap.training.one_by_one import OneByOneKernel
from phasemap.training.own_probe import probe


def pick_device(wanted: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; RuntimeError if CUDA is wanted and absent."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no CUDA device here")
    return torch.device(wanted)


def make_kernel(
    trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device, *, fused: bool = False
) -> GroupedKernel:
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
