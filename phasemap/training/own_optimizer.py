"""A user's optimizer for one network, over views of its row of weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from phasemap.study.errors import UserError
from phasemap.study.own_code import code_of
from phasemap.study.own_parts import OwnTrial
from phasemap.study.program_source import last_line


class OwnOptimizer:
    """One instance of a user's class for one network: stacked tensors would couple the networks of a pack.

    It is given the network's parameters in their shapes and order, which are views of ``weights`` (1, P), and changes
    them in place.
    """

    def __init__(self, trial: OwnTrial, weights: torch.Tensor, shapes: Sequence[torch.Size]) -> None:
        part = trial.parts.get("optimizer")
        assert part is not None
        self.weights, self._shapes = weights, list(shapes)
        make = code_of(part)
        self._where = f"{part.key} = {part.reference}"
        self._parameters = [nn.Parameter(view) for view in self._views(weights)]
        self._given: torch.Tensor | None = None
        try:
            self._optimizer: Any = make(self._parameters, **trial.values_of(part))
        except (Exception, SystemExit) as error:
            raise UserError(f"{self._where} can't be made: {last_line(error)}") from None
        self._step = _bare_step(self._optimizer)

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with a gradient (1, P); the optimizer counts its steps itself."""
        del step
        if self._given is None or self._given.data_ptr() != gradient.data_ptr():
            for parameter, part in zip(self._parameters, self._views(gradient), strict=True):
                parameter.grad = part
            self._given = gradient
        self._step()
        if any(one.grad is None for one in self._parameters):
            self._given = None
        if self._parameters[0].data_ptr() != self.weights.data_ptr():
            raise UserError(f"{self._where} replaces weights by new tensors; allowed: to change them in place")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, on the CPU."""
        state: dict[str, Any] = _on_cpu(self._optimizer.state_dict())
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._optimizer.load_state_dict(copy.deepcopy(state))

    def _views(self, row: torch.Tensor) -> list[torch.Tensor]:
        parts = row[0].detach().split([shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]


def _bare_step(optimizer: Any) -> Callable[[], Any]:
    """Return an optimizer's step without what torch.optim wraps around it for a profiler and for hooks.

    The wrapping takes longer than a small network's update; where hooks are registered it stays.
    """
    step = type(optimizer).step
    hooks = [getattr(optimizer, f"_optimizer_step_{when}_hooks", True) for when in ("pre", "post")]
    if not getattr(step, "hooked", False) or any(hooks) or "step" in vars(optimizer):
        return cast(Callable[[], Any], optimizer.step)
    return partial(step.__wrapped__, optimizer)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _on_cpu(one) for key, one in value.items()}
    return [_on_cpu(one) for one in value] if isinstance(value, list) else value
