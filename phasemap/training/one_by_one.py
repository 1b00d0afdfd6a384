"""Networks that can't be stacked, one after the other: running statistics, choices by data, own draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.tasks.streams import stream_key
from phasemap.training.functional import HostDraws, trained_parameters, untrained_tensors
from phasemap.training.grouped import GroupedKernel
from phasemap.training.losses import evaluation, loss_of
from phasemap.training.networks import TRANSPOSED, build_network, dropout_width, named_weights, part_norms
from phasemap.training.optimizers import Optimizer, parameters_of, saved
from phasemap.training.recording import Evaluation
from phasemap.training.updates import make_optimizer


class OneByOneKernel(GroupedKernel):
    """K networks of any code; each step of each starts from torch's random state of its seed and the step."""

    name = "one_by_one"

    def __init__(self, trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device) -> None:
        pairs = zip(trials, examples, strict=True)
        self.single = [_Single(number, trial, seen, device) for number, (trial, seen) in enumerate(pairs)]
        super().__init__(self.single)

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs, a network's buffers too."""
        buffers = [{name: saved(one) for name, one in group.untrained.items()} for group in self.single]
        return [kept | {"buffers": own} for kept, own in zip(super().state(), buffers, strict=True)]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint."""
        super().load(state)
        for group, kept in zip(self.single, state, strict=True):
            for name, value in kept["buffers"].items():
                group.untrained[name].copy_(value)


class _Single:
    """One network, whose parameters are views of a flat row of weights (1, P)."""

    def __init__(self, member: int, trial: NetworkTrial, examples: Examples, device: torch.device) -> None:
        data = examples.dataset
        self.members, self._trial, self._device = [member], trial, device
        self.n_train = len(examples.train)
        self.network = build_network(trial, data).to(device)
        self._trained = trained_parameters(self.network)
        self.weights = torch.cat([p.detach().reshape(-1) for p in self._trained.values()])[None]
        shapes = {name: p.shape for name, p in self._trained.items()}
        places = self.weights[0].split([shape.numel() for shape in shapes.values()])
        for parameter, place in zip(self._trained.values(), places, strict=True):
            parameter.data = place.view(parameter.shape)
        self.untrained = untrained_tensors(self.network)
        self.optimizers: list[Optimizer] = [make_optimizer([trial], self.weights, parameters_of(shapes, TRANSPOSED))]
        self._inputs = torch.from_numpy(data.inputs[examples.order]).to(device)
        self._targets = torch.from_numpy(examples.targets).to(device)
        self._loss = loss_of(trial)
        self._draws = HostDraws([trial], data, self.n_train, device)
        self._masked = dropout_width(trial) > 0 and trial.dropout > 0

    def train_step(self, step: int) -> None:
        """Take one step, counted from 1."""
        rows = self._draws.rows(step)
        chosen = slice(0, self.n_train) if rows is None else rows[0]
        inputs, targets = self._inputs[chosen], self._targets[chosen]
        mask = self._draws.mask(step, len(targets))[0] if self._masked else None
        with torch.random.fork_rng(devices=self._devices), torch.enable_grad():
            self._seed(step)
            loss = self._loss(self.network(inputs, mask), targets).mean()
            parts = torch.autograd.grad(loss, list(self._trained.values()), materialize_grads=True)
        self.optimizers[0].step(torch.cat([part.reshape(-1) for part in parts])[None], step)

    @property
    def _devices(self) -> list[torch.device]:
        return [] if self._device.type == "cpu" else [self._device]

    def _seed(self, step: int) -> None:
        """Seed what a network may draw from; on a CPU its generator alone, as to seed all takes longer than a step."""
        seed = torch.default_generator.manual_seed if self._device.type == "cpu" else torch.manual_seed
        seed(stream_key("own_draws", self._trial.seed, step) % 2**63)

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples."""
        with torch.random.fork_rng(devices=self._devices):
            self._seed(0)
            scores = self.network(self._inputs, None, self.n_train)
        norms = part_norms(self._trained)
        return [evaluation(scores.argmax(dim=1), self._loss(scores, self._targets), self.n_train, norms)]

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return the network's weights and buffers."""
        del index
        return named_weights({name: one.detach() for name, one in (self._trained | self.untrained).items()})
