"""What a user's network and loss are like: their shapes are checked, and whether torch.func can stack them is tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.flop_counter import FlopCounterMode

from phasemap.study.errors import UserError
from phasemap.study.own_parts import OwnTrial
from phasemap.study.program_source import last_line
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.load import dataset_of
from phasemap.training.losses import loss_of
from phasemap.training.networks import build_network
from phasemap.training.own_network import OwnNetwork, called

ROWS = 3  # of examples that are tried
CLOSE = 1e-3  # how far stacked and single scores may be apart, relative to the largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is known of networks after a try with a few examples."""

    n_weights: int
    units: int  # of an example, over all layers
    operations: float  # of one answer
    layers: int  # called for an answer
    dropouts: tuple[tuple[int, float], ...] = ()  # units and rate of each call of nn.Dropout
    alone: str | None = None  # why such networks are trained one after the other; None: all at once


def probe(trial: OwnTrial) -> Probe:
    """Try a trial's network and loss; UserError where they fail, or answer in another shape than they must."""
    return _probed(_Kind(trial))


class _Kind:
    """Trials whose networks are alike but for their seeds and data labels."""

    def __init__(self, trial: OwnTrial) -> None:
        self.trial = trial
        self._key = trial.shape

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kind) and (self._key, self.trial.parts) == (other._key, other.trial.parts)


@lru_cache(maxsize=4096)
def _probed(kind: _Kind) -> Probe:
    trial, data = kind.trial, dataset_of(kind.trial)
    inputs = torch.from_numpy(data.inputs[:ROWS])
    targets = torch.from_numpy(data.labels[:ROWS])
    network = build_network(trial, data)
    scores, units, operations = _answer(trial, data, network, inputs)
    _check_loss(trial, scores, targets)
    n_weights = sum(p.numel() for p in network.parameters())
    calls: tuple[tuple[int, float], ...] = ()
    alone = _changes_itself(network, inputs)
    if alone is None:
        calls = _dropouts(network, inputs) if isinstance(network, OwnNetwork) else ()
        alone = _not_stacked(trial, data, network, inputs, targets, calls)
    return Probe(
        n_weights=n_weights,
        units=max(1, sum(units) // len(inputs)),
        layers=max(1, len(units)),
        operations=max(operations, 2.0 * n_weights),
        dropouts=() if alone else calls,
        alone=alone,
    )


def _answer(
    trial: OwnTrial, data: Dataset, network: nn.Module, inputs: torch.Tensor
) -> tuple[torch.Tensor, list[int], float]:
    """Return a network's scores, the units of all its layers' answers and the operations of one example's."""
    units: list[int] = []
    leaves = [one for one in network.modules() if not list(one.children())]
    hooks = [leaf.register_forward_hook(lambda _m, _i, out: units.append(_size(out))) for leaf in leaves]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), counter:
            scores: Any = network(inputs, None, len(inputs))
    except (Exception, SystemExit) as error:
        shape = (len(inputs), *data.example_shape)
        raise UserError(f"{_named(trial, data)} fails for inputs {shape}: {last_line(error)}") from None
    finally:
        for hook in hooks:
            hook.remove()
    wanted = (len(inputs), data.n_classes)
    if not isinstance(scores, torch.Tensor) or tuple(scores.shape) != wanted:
        found = f"the shape {tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else type(scores).__name__
        shape = (len(inputs), *data.example_shape)
        raise UserError(f"{_named(trial, data)} answers {found} to inputs {shape}; allowed: the shape {wanted}")
    return scores, units, counter.get_total_flops() / len(inputs)


def _named(trial: OwnTrial, data: Dataset) -> str:
    return called(trial, data) if trial.parts.get("model") else f"model.kind = {trial.model}"


def _size(found: Any) -> int:
    return found.numel() if isinstance(found, torch.Tensor) else 0


def _check_loss(trial: OwnTrial, scores: torch.Tensor, targets: torch.Tensor) -> None:
    part = trial.parts.get("loss")
    if part is None:
        return
    try:
        with torch.no_grad():
            losses: Any = loss_of(trial)(scores, targets)
    except (Exception, SystemExit) as error:
        shapes = f"scores {tuple(scores.shape)} and targets {tuple(targets.shape)}"
        raise UserError(f"{part.key} = {part.reference} fails for {shapes}: {last_line(error)}") from None
    if not isinstance(losses, torch.Tensor) or losses.shape != targets.shape:
        found = f"the shape {tuple(losses.shape)}" if isinstance(losses, torch.Tensor) else type(losses).__name__
        raise UserError(
            f"{part.key} = {part.reference} answers {found} to scores {tuple(scores.shape)}; allowed: a loss for "
            f"each example, the shape {tuple(targets.shape)}"
        )


def _changes_itself(network: nn.Module, inputs: torch.Tensor) -> str | None:
    """Say which buffers a network changes while it trains: running statistics."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(inputs)
    except (Exception, SystemExit) as error:
        raise UserError(f"the network can't be trained on {len(inputs)} examples: {last_line(error)}") from None
    changed = [name.removeprefix("own.") for name, one in network.named_buffers() if not one.equal(before[name])]
    for name, buffer in network.named_buffers():
        buffer.copy_(before[name])
    return f"it changes its buffers while it trains ({', '.join(changed[:3])})" if changed else None


def _dropouts(network: OwnNetwork, inputs: torch.Tensor) -> tuple[tuple[int, float], ...]:
    tape = network.with_given_masks()
    tape.calls = []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(inputs)
        return tuple(tape.calls)
    finally:
        tape.calls = None


def _not_stacked(
    trial: OwnTrial,
    data: Dataset,
    network: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    calls: tuple[tuple[int, float], ...],
) -> str | None:
    """Try two networks at once; say why they can't be, or return None where they can."""
    loss, n = loss_of(trial), len(inputs)
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    stacked = {name: torch.stack([one.detach(), one.detach()]) for name, one in state.items()}
    mask = torch.ones(2, n, sum(width for width, _ in calls)) if calls else None

    def train(parts: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor, m: torch.Tensor | None) -> torch.Tensor:
        return loss(functional_call(network, parts, (x, m)), y).mean()

    def answer(parts: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = functional_call(network, parts, (x, None, n))
        return scores

    floats = {name: one for name, one in stacked.items() if one.is_floating_point()}
    others = {name: one for name, one in stacked.items() if name not in floats}
    twice = inputs.expand(2, *inputs.shape), targets.expand(2, *targets.shape)
    try:
        gradients = vmap(
            lambda parts, rest, x, y, m: grad(lambda p: train({**p, **rest}, x, y, m))(parts),
            in_dims=(0, 0, 0, 0, None if mask is None else 0),
        )
        gradients(floats, others, *twice, mask)
        scores = vmap(answer)(stacked, twice[0])[0]
    except Exception as error:
        return f"torch.func can't stack it ({last_line(error)[:160]})"
    with torch.no_grad():
        single = network(inputs, None, n)
    gap = float((scores - single).abs().max()) / max(float(single.abs().max()), 1e-12)
    return None if gap <= CLOSE or math.isnan(gap) else "stacked, it gives other outputs than alone"
