"""A user's own network as a module like phasemap's: with its shape of examples, and dropout by masks that are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import numpy as np
import torch
from torch import nn

from phasemap.study.errors import UserError
from phasemap.study.networks import NetworkTrial
from phasemap.study.own_code import code_of
from phasemap.study.own_parts import OwnTrial
from phasemap.study.program_source import last_line
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.streams import stream_key
from phasemap.training.dropout import RESOLUTION, DropoutMasks

INSIDE = "own."
"""Before the names of a user's parameters in ``OwnNetwork``."""


def has_own_network(trial: NetworkTrial) -> TypeGuard[OwnTrial]:
    """Whether the network is a user's."""
    return isinstance(trial, OwnTrial) and trial.parts.get("model") is not None


class OwnNetwork(nn.Module):
    """A user's module, called as phasemap's networks are.

    ``mask`` (B, units) is 0 or the dropout scale over the units of all ``nn.Dropout`` in the order of their calls; it
    is needed where ``given_masks`` has put them in place. ``n_train`` is given where the network answers: then it is
    in the mode of evaluation.
    """

    def __init__(self, own: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.own = own
        self.masks: list[GivenDropout] = []
        self._shape = shape
        self._tape = Tape()

    def forward(
        self, inputs: torch.Tensor, mask: torch.Tensor | None = None, n_train: int | None = None
    ) -> torch.Tensor:
        """Return scores (B, C) of flat inputs (B, F) or tokens (B, T)."""
        if self.own.training != (n_train is None):
            self.own.train(n_train is None)
        self._tape.start(mask)
        scores: torch.Tensor = self.own(inputs.reshape(len(inputs), *self._shape))
        return scores

    def with_given_masks(self) -> Tape:
        """Put dropout by given masks in the place of every ``nn.Dropout``, and return the tape that measures them."""
        for parent in list(self.own.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Dropout:
                    setattr(parent, name, GivenDropout(child.p, self._tape))
        if type(self.own) is nn.Dropout:
            self.own = GivenDropout(self.own.p, self._tape)
        return self._tape

    def loaded(self, weights: Mapping[str, torch.Tensor]) -> OwnNetwork:
        """Return the network with the given weights and buffers, ready to answer."""
        state = self.own.state_dict()
        for name, value in weights.items():
            state[name].copy_(value)
        self.own.eval()
        return self


class Tape:
    """The masks of one pass through a network, which its dropouts take one after the other."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, float]] | None = None  # units and rate of each call, while they are measured
        self._mask: torch.Tensor | None = None
        self._place = 0

    def start(self, mask: torch.Tensor | None) -> None:
        """Begin a pass."""
        self._mask, self._place = mask, 0

    def take(self, units: torch.Tensor, rate: float) -> torch.Tensor:
        """Return units (B, ...) times the next part of the mask."""
        count = units[0].numel()
        if self.calls is not None:
            self.calls.append((count, rate))
            return units
        if self._mask is None:
            return units
        if len(units) != len(self._mask):
            raise ValueError("a dropout over other rows than the examples")
        part = self._mask[:, self._place : self._place + count]
        self._place += count
        return units * part.reshape(units.shape)


class GivenDropout(nn.Module):
    """Dropout by a mask that is given with the inputs, so that a network meets the same in any pack."""

    def __init__(self, rate: float, tape: Tape) -> None:
        super().__init__()
        self.p = rate
        self._tape = tape

    def forward(self, units: torch.Tensor) -> torch.Tensor:
        """Return the units (B, ...), while training some as 0 and the others larger."""
        return self._tape.take(units, self.p) if self.training and self.p > 0 else units


class OwnMasks:
    """The masks of one network over the units of all its dropouts, each with its own rate; see ``DropoutMasks``."""

    scale = 1.0  # it is in the masks

    def __init__(self, *, seed: int, calls: tuple[tuple[int, float], ...]) -> None:
        cuts = [min(round(rate * RESOLUTION), RESOLUTION - 1) for _, rate in calls]
        widths = [width for width, _ in calls]
        self._stream = DropoutMasks(seed=seed, rate=0.0, width=sum(widths))
        self._lowest = torch.from_numpy(np.repeat(np.array(cuts) - RESOLUTION // 2, widths)).short()
        scales = np.array([RESOLUTION / (RESOLUTION - cut) for cut in cuts], dtype=np.float32)
        self._scales = torch.from_numpy(np.repeat(scales, widths))

    def numbers(self, step: int, rows: int) -> torch.Tensor:
        """Return the numbers of one step, (rows, units) in int16."""
        return self._stream.numbers(step, rows)

    def mask(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return 0 or the dropout scale for each number."""
        return numbers.ge(self._lowest) * self._scales


def own_network(trial: OwnTrial, data: Dataset) -> OwnNetwork:
    """Build one network of a user with its initial weights, which torch draws from the trial's seed.

    UserError where its code fails, or makes something else than a module of 32-bit weights.
    """
    part = trial.parts.get("model")
    assert part is not None
    make, values = code_of(part), trial.values_of(part)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_key("own_initial_weights", trial.seed) % 2**63)
        try:
            made = make(data.example_shape, data.n_classes, **values)
        except (Exception, SystemExit) as error:
            raise UserError(f"{called(trial, data)} fails: {last_line(error)}") from None
    if not isinstance(made, nn.Module):
        raise UserError(f"{called(trial, data)} makes {type(made).__name__}; allowed: a torch.nn.Module")
    wrong = [f"{name} in {str(p.dtype)[6:]}" for name, p in made.named_parameters() if p.dtype != torch.float32]
    if wrong:
        raise UserError(f"{called(trial, data)} has the weights {', '.join(wrong[:3])}; allowed: float32")
    if not any(p.requires_grad for p in made.parameters()):
        raise UserError(f"{called(trial, data)} has no weights to train")
    return OwnNetwork(made, data.example_shape)


def called(trial: OwnTrial, data: Dataset) -> str:
    """Say how a user's network is made, for messages."""
    part = trial.parts.get("model")
    assert part is not None
    settings = "".join(f", {name}={value!r}" for name, value in trial.values_of(part).items())
    name = part.name.rpartition(":")[2]
    return f"model.kind = {part.reference}: {name}({data.example_shape}, {data.n_classes}{settings})"
