"""The general kernel: any PyTorch module, vectorized over networks with torch.func (functional_call and vmap).

Networks with equally many training examples form one group of stacked weights; so no network's rows are padded for the
sake of a neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from phasemap.study.names import GENERAL_KERNEL
from phasemap.study.networks import NetworkTrial
from phasemap.study.own_parts import OwnTrial
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.examples import Examples
from phasemap.training.batches import make_batches
from phasemap.training.costs import CHUNK_BYTES, WORKING_COPIES
from phasemap.training.counters import DeviceBatches, DeviceMasks
from phasemap.training.cuda import GraphedStep, any_products, graphs_wanted
from phasemap.training.dropout import DropoutMasks
from phasemap.training.grouped import SizedKernel
from phasemap.training.losses import evaluations, loss_of
from phasemap.training.networks import TRANSPOSED, build_network, dropout_width, named_weights
from phasemap.training.optimizers import named_views, parameters_of, updates
from phasemap.training.own_network import OwnMasks, OwnNetwork, has_own_network
from phasemap.training.own_probe import probe
from phasemap.training.recording import Evaluation
from phasemap.training.updates import one_each

FREE_SHARE = 0.5  # of a GPU's free memory, for what networks work in: others may start on it at the same moment

Parts = dict[str, torch.Tensor]


class _Group:
    """K networks with equally many training examples: weights (K, P), one flat row a network."""

    def __init__(
        self, members: Sequence[int], trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device
    ) -> None:
        first, data = trials[0], examples[0].dataset
        self.members, self.n_train = list(members), len(examples[0].train)
        networks = [build_network(trial, data) for trial in trials]
        shapes = {name: p.shape for name, p in trained_parameters(networks[0]).items()}
        self._parameters = parameters_of(shapes, TRANSPOSED)
        flat = [torch.cat([p.detach().reshape(-1) for p in trained_parameters(n).values()]) for n in networks]
        self.weights = torch.stack(flat).to(device)  # (K, P)
        others = [untrained_tensors(network) for network in networks]
        self.constants = {n: torch.stack([one[n] for one in others]).to(device) for n in others[0]}  # each (K, ...)
        self.module = networks[0].to(device)  # in place: not before its weights are copied
        drops = masked_calls(first, self.module)
        self.gradient = torch.zeros_like(self.weights)
        self._to_parts = named_views(self.gradient, self._parameters)
        self.optimizers = one_each(trials, self.weights, self._parameters)
        self._updates = updates(self.optimizers, self.gradient.split(len(trials) // len(self.optimizers)))
        order = np.stack([e.order for e in examples])
        self.inputs = torch.from_numpy(data.inputs[order]).to(device)  # (K, M, 2) or (K, M, F)
        self.targets = torch.from_numpy(np.stack([e.targets for e in examples])).to(device)  # (K, M)
        self._firsts = len(data.labels) * torch.arange(len(trials), device=device)[:, None]  # (K, 1)
        self._dropout = bool(drops) or any(trial.dropout for trial in trials if not has_own_network(trial))
        self._loss, self._precision = loss_of(first), first.precision
        rows = self.n_train if first.batch_size == "full" else int(first.batch_size)
        on_host = device.type == "cpu" or bool(drops)
        self._draws = (HostDraws if on_host else _DeviceDraws)(trials, data, self.n_train, device)
        self._gradients = vmap(
            grad(self._mean_loss),
            in_dims=(0, 0, 0, 0 if self._dropout else None, 0 if self.constants else None),
            chunk_size=at_once(first, rows, device),
        )
        self._answers = vmap(
            self._answer,
            in_dims=(0, 0, 0, 0 if self.constants else None),
            chunk_size=at_once(first, len(data.labels), device),
        )
        self._step_number = torch.zeros((), dtype=torch.float64, device=device)
        # whether a step reads and writes the same tensors each time
        changing = drops or isinstance(first, OwnTrial) or any(trial.scheduled for trial in trials)
        static = first.batch_size == "full" and not changing
        self._graphed = GraphedStep(self._full_batch_step) if static and graphs_wanted(device) else None

    def train_step(self, step: int) -> None:
        """Take one step with every network, counted from 1."""
        if self._graphed:
            self._step_number.fill_(step)
            self._graphed()
        else:
            inputs, targets = self._batch(step)
            self._update(inputs, targets, step)

    def _full_batch_step(self) -> None:
        """Take a step whose number stands in a tensor, as a graph needs it."""
        self._update(self.inputs[:, : self.n_train], self.targets[:, : self.n_train], self._step_number)

    def _update(self, inputs: torch.Tensor, targets: torch.Tensor, step: int | torch.Tensor) -> None:
        mask = self._draws.mask(step, targets.shape[1]) if self._dropout else None
        with any_products(self._precision, self.weights.device):
            weights = named_views(self.weights, self._parameters)
            parts = self._gradients(weights, inputs, targets, mask, self.constants)
        for name, part in parts.items():
            self._to_parts[name].copy_(part)
        for update in self._updates:
            update(step)

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs (K, B, ...) and targets (K, B) of one step."""
        rows = self._draws.rows(step)
        if rows is None:
            return self.inputs[:, : self.n_train], self.targets[:, : self.n_train]
        inputs, targets = self.inputs.flatten(0, 1), self.targets.flatten()
        places = (rows + self._firsts).flatten()  # of examples of all networks
        return (
            inputs.index_select(0, places).view(*rows.shape, *inputs.shape[1:]),
            targets.index_select(0, places).view(rows.shape),
        )

    def _mean_loss(
        self, parts: Parts, inputs: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor | None, constants: Parts
    ) -> torch.Tensor:
        return self._loss(functional_call(self.module, {**parts, **constants}, (inputs, mask)), targets).mean()

    def _answer(
        self, parts: Parts, inputs: torch.Tensor, targets: torch.Tensor, constants: Parts
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one network's predicted classes and losses, (M,) each."""
        scores = functional_call(self.module, {**parts, **constants}, (inputs, None, self.n_train))  # (M, C)
        return scores.argmax(dim=1), self._loss(scores, targets)

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with every network."""
        weights = named_views(self.weights, self._parameters)
        predicted, losses = self._answers(weights, self.inputs, self.targets, self.constants)  # (K, M)
        return evaluations(predicted, losses, self.n_train, [self._parts(i) for i in range(len(self.members))])

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return one network's weights; U and V as (N, p)."""
        return named_weights(self._parts(index) | {name: one[index] for name, one in self.constants.items()})

    def _parts(self, index: int) -> Parts:
        return {name: part[index] for name, part in named_views(self.weights, self._parameters).items()}


class FunctionalKernel(SizedKernel):
    """K networks of one architecture, as groups of stacked weights."""

    name = GENERAL_KERNEL
    group = _Group


def trained_parameters(network: torch.nn.Module) -> Parts:
    """Return the parameters that are trained, in the order in which they stand in a flat row."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def untrained_tensors(network: torch.nn.Module) -> Parts:
    """Return what else a network is made of: buffers and frozen parameters. phasemap's own have none."""
    frozen = {name: p.detach() for name, p in network.named_parameters() if not p.requires_grad}
    return frozen | dict(network.named_buffers())


def masked_calls(trial: NetworkTrial, module: torch.nn.Module) -> tuple[tuple[int, float], ...]:
    """Return the units and rates of a user's dropouts, which then take given masks; of phasemap's networks nothing."""
    if not isinstance(module, OwnNetwork) or not isinstance(trial, OwnTrial):
        return ()
    calls = probe(trial).dropouts
    if calls:
        module.with_given_masks()
    return calls


def _masks(trial: NetworkTrial) -> DropoutMasks | OwnMasks:
    if has_own_network(trial):
        return OwnMasks(seed=trial.seed, calls=probe(trial).dropouts)
    return DropoutMasks(seed=trial.seed, rate=trial.dropout, width=dropout_width(trial))


class HostDraws:
    """What a step draws for K networks, from NumPy's streams."""

    def __init__(self, trials: Sequence[NetworkTrial], data: Dataset, n_train: int, device: torch.device) -> None:
        self._device = device
        self._batches = [made for t in trials if (made := make_batches(t, data, n_train))]
        self._masks = [_masks(trial) for trial in trials]

    def rows(self, step: int) -> torch.Tensor | None:
        """Return the training examples (K, B) of one step; None for all."""
        if not self._batches:
            return None
        return torch.from_numpy(np.stack([b.rows(step) for b in self._batches])).to(self._device)

    def mask(self, step: int | torch.Tensor, rows: int) -> torch.Tensor:
        """Return masks (K, B, units) of 0 and the dropout scale."""
        assert isinstance(step, int)  # only a device takes its steps' numbers from a tensor
        return torch.stack([m.mask(m.numbers(step, rows)) * m.scale for m in self._masks]).to(self._device)


class _DeviceDraws:
    """The same, drawn on the device."""

    def __init__(self, trials: Sequence[NetworkTrial], data: Dataset, n_train: int, device: torch.device) -> None:
        minibatches = trials[0].batch_size != "full"
        self._batches = DeviceBatches(trials, data.name, n_train, device) if minibatches else None
        rows = self._batches.size if self._batches else n_train
        dropout = any(trial.dropout for trial in trials)
        self._masks = DeviceMasks(trials, rows, dropout_width(trials[0]), device) if dropout else None

    def rows(self, step: int) -> torch.Tensor | None:
        """Return the training examples (K, B) of one step; None for all."""
        return self._batches.rows(step) if self._batches else None

    def mask(self, step: int | torch.Tensor, rows: int) -> torch.Tensor:
        """Return masks (K, B, units) of 0 and the dropout scale."""
        del rows  # they are as many each step
        assert self._masks is not None
        return self._masks.kept(step) * self._masks.scale


def at_once(trial: NetworkTrial, rows: int, device: torch.device) -> int | None:
    """Return how many networks are computed at once (None: all): those that have their units in a CPU core's cache.

    On a GPU that many are too few to fill it; there its memory alone is the limit.
    """
    own = probe(trial).units if has_own_network(trial) else 0
    units = 4 * rows * max(1, own, dropout_width(trial))  # bytes
    if device.type == "cpu":
        return max(1, CHUNK_BYTES // units)
    if device.type != "cuda":
        return None
    copies = WORKING_COPIES["norm" if own or trial.norm != "none" else trial.model]
    return max(1, int(FREE_SHARE * torch.cuda.mem_get_info(device)[0] / (copies * units)))
