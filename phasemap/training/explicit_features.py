"""The explicit gradient of the two-layer MLP on features, full batches, one network after the other.

For f = W a, a = phi(h), h = U x with the loss's residual R = dL/df, the gradients are R a^T for W and
((W^T R) * phi'(h)) x^T for U. Units and scores are kept transposed, (units, examples), where the matrix products are
up to a third faster, and examples are processed in blocks that stay in cache. As in ``explicit``, a network's
arithmetic depends on nothing but itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.dropout import DropoutMasks
from phasemap.training.explicit import block_rows
from phasemap.training.grouped import GroupedKernel
from phasemap.training.initial import initial_features_mlp
from phasemap.training.losses import LOSSES, evaluation
from phasemap.training.networks import part_norms
from phasemap.training.optimizers import parameters_of
from phasemap.training.recording import Evaluation
from phasemap.training.updates import make_optimizer


class FeaturesKernel(GroupedKernel):
    """K two-layer MLPs with square or ReLU activation, on MSE or cross entropy, that share a data set's inputs."""

    name = "explicit_features"

    def __init__(self, trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device) -> None:
        inputs = torch.from_numpy(examples[0].dataset.inputs).to(device)
        pairs = enumerate(zip(trials, examples, strict=True))
        super().__init__([_Network(member, t, e, inputs) for member, (t, e) in pairs])


class _Network:
    def __init__(self, member: int, trial: NetworkTrial, examples: Examples, inputs: torch.Tensor) -> None:
        self.members, self.n_train = [member], len(examples.train)
        data, device = examples.dataset, inputs.device
        first, last = initial_features_mlp(trial, inputs.shape[1], data.n_classes)
        self.weights = torch.cat([first.t().reshape(-1), last.reshape(-1)]).to(device)
        self.gradient = torch.zeros_like(self.weights)
        shapes = (trial.width, inputs.shape[1]), (data.n_classes, trial.width)
        self.first, self.last = _parts(self.weights, *shapes)
        self._to_first, self._to_last = _parts(self.gradient, *shapes)
        parameters = parameters_of({"input": shapes[0], "W": shapes[1]})
        self.optimizers = [make_optimizer([trial], self.weights, parameters)]
        self._rows = block_rows(trial.width, data.n_classes)
        self._blocks = list(_blocks(inputs, examples, self._rows))
        self._inputs = inputs  # (M, F), in the data set's order
        self._order = torch.from_numpy(examples.order).to(device)
        self._targets = torch.from_numpy(examples.targets).to(device)
        self._dropout = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=trial.width) if trial.dropout else None
        self._square, self._mse = trial.activation == "square", trial.loss == "mse"
        self._loss = LOSSES[trial.loss]
        self._scale = 2.0 / (self.n_train * data.n_classes) if self._mse else 1.0 / self.n_train

    def train_step(self, step: int) -> None:
        """Take one step on the full batch, counted from 1."""
        self.gradient.zero_()
        for (inputs, places), mask in zip(self._blocks, self._masks(step), strict=True):  # inputs (F, B)
            hidden = torch.mm(self.first, inputs)  # (N, B)
            if mask is not None:
                hidden.mul_(mask)
            active = self._activate(hidden)
            residual = self._residual(torch.mm(self.last, active), places)  # (C, B)
            self._to_last.addmm_(residual, active.t())
            back = self._back(torch.mm(self.last.t(), residual), hidden)
            if mask is not None:
                back.mul_(mask)
            self._to_first.addmm_(back, inputs.t())
        self.optimizers[0].step(self.gradient, step)

    def _masks(self, step: int) -> Iterator[torch.Tensor | None]:
        """Yield for each block 0 or the dropout scale of each unit (N, B); None without dropout."""
        if self._dropout is None:
            yield from [None] * len(self._blocks)
            return
        for numbers in self._dropout.numbers(step, self.n_train).split(self._rows):
            yield self._dropout.mask(numbers).mul_(self._dropout.scale).to(self.first.device).t()

    def _activate(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.square() if self._square else torch.clamp(hidden, min=0)

    def _back(self, units: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Multiply by phi'(h)."""
        if self._square:
            return units.mul_(hidden).mul_(2.0)
        return torch.ops.aten.threshold_backward(units, hidden, 0)

    def _residual(self, scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Turn scores (C, B) into the loss's derivative by them; ``places`` (B,) hold the targets in flat scores."""
        residual = scores if self._mse else torch.softmax(scores, dim=0)
        residual.view(-1).index_add_(0, places, residual.new_full((len(places),), -1.0))
        return residual.mul_(self._scale)

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with dropout off."""
        parts = self._inputs.split(self._rows)
        scores = torch.cat([torch.mm(self.last, self._activate(torch.mm(self.first, x.t()))) for x in parts], dim=1)
        asked = scores.t()[self._order]  # (M, C), training examples first
        norms = part_norms(self.named_weights(0))
        return [evaluation(asked.argmax(dim=1), self._loss(asked, self._targets), self.n_train, norms)]

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return the only network's input layer (N, F) and W (C, N)."""
        assert index == 0
        return {"input": self.first, "W": self.last}


def _parts(flat: torch.Tensor, first: tuple[int, int], last: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """View a flat tensor as two matrices."""
    size = first[0] * first[1]
    return flat[:size].view(first), flat[size:].view(last)


def _blocks(inputs: torch.Tensor, examples: Examples, rows: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Cut training examples into blocks: inputs (F, B), and where each target stands in flat scores (C, B)."""
    seen = inputs[torch.from_numpy(examples.train).to(inputs.device)].t()
    given = torch.from_numpy(examples.given).to(inputs.device)
    blocks = []
    for x, labels in zip(seen.split(rows, dim=1), given.split(rows), strict=True):
        places = labels * len(labels) + torch.arange(len(labels), device=inputs.device)
        blocks.append((x.contiguous(), places))
    return blocks
