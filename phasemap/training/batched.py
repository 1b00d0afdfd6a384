"""The kernel for GPUs: the explicit gradient of K two-layer MLPs at once, in few launches and with no wait.

The formulas are those of the explicit kernel (explicit.py) over K networks: f = W a, a = phi(h), h = U e_m + V e_n.
All networks' U, V and W stand in one table (K 3p, N), so that one ``embedding_bag`` gathers every network's hidden
units and another sums their gradients by token, in the order of the rows and without atomics. It is plain PyTorch and
runs on any device; on a CPU one network after the other is faster.

In a step nothing is copied from or to the host and nothing is waited for: dropout masks and the order of minibatches
are drawn on the device (counters.py). A record takes one download for all networks of a group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from phasemap.study.names import BATCHED_KERNEL
from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.counters import DeviceBatches, DeviceMasks
from phasemap.training.cuda import GraphedStep, Products, graphs_wanted
from phasemap.training.explicit import sum_rows
from phasemap.training.grouped import SizedKernel
from phasemap.training.initial import initial_mlp
from phasemap.training.inside import Seen
from phasemap.training.inside_batched import PARTS, BatchedInside, downloaded
from phasemap.training.losses import LOSSES
from phasemap.training.networks import TRANSPOSED, named_norms
from phasemap.training.optimizers import parameters_of
from phasemap.training.recording import Evaluation
from phasemap.training.updates import make_optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """B examples of each network: rows of the table of weights, in bags of two, and where targets stand in scores."""

    tokens: torch.Tensor  # (K B 2,)
    bags: torch.Tensor  # (K B,) where each example's two begin
    places: torch.Tensor  # (K B,) in the flat scores (K B C,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ByToken:
    """The rows (K B) of hidden units that share a token: network by network U's tokens, then V's."""

    rows: torch.Tensor  # (K 2 B,)
    starts: torch.Tensor  # (K 2 p,)


class _Population:
    """K networks with equally many training examples; their weights are one row each, U and V transposed."""

    def __init__(
        self, members: Sequence[int], trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device
    ) -> None:
        first, data = trials[0], examples[0].dataset
        self.members, self.n_train = list(members), len(examples[0].train)
        self.p, self.width = data.n_classes, first.width
        self.weights = torch.stack([initial_mlp(t, self.p) for t in trials]).flatten(1).to(device)  # (K, 3 p N)
        self.gradient = torch.zeros_like(self.weights)
        shape = (len(trials), 3 * self.p, self.width)
        table, gradient = self.weights.view(shape), self.gradient.view(shape)
        self._table = table.view(-1, self.width)  # (K 3p, N)
        self._embedding, self._readout = table[:, : 2 * self.p], table[:, 2 * self.p :]
        self._to_embedding, self._to_readout = gradient[:, : 2 * self.p], gradient[:, 2 * self.p :]
        parameters = parameters_of(dict.fromkeys(PARTS, (self.p, self.width)), TRANSPOSED)
        self.optimizers = [make_optimizer(trials, self.weights, parameters, vector=True)]
        inputs = torch.from_numpy(data.inputs[np.stack([e.order for e in examples])]).to(device)  # (K, M, 2)
        networks = torch.arange(len(trials), device=device)[:, None]  # (K, 1)
        self._networks, self._first_embedding = networks, networks * (3 * self.p)  # of each in the table
        self._tokens = inputs + self._first_embedding[..., None] + torch.tensor([0, self.p], device=device)  # (K, M, 2)
        self.targets = torch.from_numpy(np.stack([e.targets for e in examples])).to(device)  # (K, M)
        minibatches = first.batch_size != "full"
        self._batches = DeviceBatches(trials, data.name, self.n_train, device) if minibatches else None
        self.rows = self._batches.size if self._batches else self.n_train
        dropout = any(t.dropout for t in trials)
        self._masks = DeviceMasks(trials, self.rows, self.width, device) if dropout else None
        self._loss, self._products = LOSSES[first.loss], Products(first.precision)
        self._square, self._mse = first.activation == "square", first.loss == "mse"
        self._scale = 2.0 / (self.rows * self.p) if self._mse else 1.0 / self.rows
        self._slope = 2.0 if self._square else 1.0
        self._active = torch.empty(len(trials) * self.rows * self.width, device=device)
        self._prepare_rows(device)
        self._inside = BatchedInside(self, trials, examples)
        self._step_number = torch.zeros((), dtype=torch.float64, device=device)
        # whether a step reads and writes the same tensors each time
        static = self._batches is None and not any(t.scheduled for t in trials)
        self._graphed = GraphedStep(self._static_step) if static and graphs_wanted(device) else None

    def _prepare_rows(self, device: torch.device) -> None:
        """Make what every step uses again: the indices of the training set, or what those of a minibatch start from."""
        networks, rows = len(self.members), torch.arange(len(self.members) * self.rows, device=device)
        self._minus_one = torch.full((len(rows),), -1.0, device=device)
        self._bags, self._corners = 2 * rows, rows * self.p
        self._first_rows = (self._networks * self.rows)[..., None]  # of each network among all hidden units (K, 1, 1)
        every = torch.arange(2 * self.p, device=device).view(2, self.p)
        self._every_token = self._first_embedding[..., None] + every  # (K, 2, p) rows of the table
        both = torch.arange(2 * networks, device=device).view(networks, 2, 1)
        self._first_sorted = both * self.rows  # of each network's U and V among all sorted rows
        whole = self._batches is None
        trained = slice(0, self.n_train)
        self._training = self._some_rows(self._tokens[:, trained], self.targets[:, trained]) if whole else None
        self._sorted = self._by_token(self._tokens[:, trained]) if whole else None
        self._block: tuple[int, list[tuple[_Rows, _ByToken]]] | None = None  # of minibatches, and its number

    def _some_rows(self, tokens: torch.Tensor, targets: torch.Tensor) -> _Rows:
        """Put a step's tokens (K, B, 2) and targets (K, B) into indices."""
        return _Rows(tokens=tokens.reshape(-1), bags=self._bags, places=self._corners + targets.reshape(-1))

    def train_step(self, step: int) -> None:
        """Take one step with every network, counted from 1."""
        if self._graphed:
            self._step_number.fill_(step)
            self._graphed()
        else:
            self._update(*self._seen(step), step)

    def _static_step(self) -> None:
        """Take a step on full batches whose number stands in a tensor, as a graph needs it."""
        self._update(*self._seen(0), self._step_number)

    def _seen(self, step: int) -> tuple[_Rows, _ByToken]:
        """Return the training examples of one step, and which of them share a token."""
        if self._training is not None and self._sorted is not None:
            return self._training, self._sorted
        assert self._batches is not None
        block, place = divmod(step - 1, self._batches.ahead)
        if self._block is None or self._block[0] != block:
            self._block = block, self._prepared(self._batches.block(block))
        return self._block[1][place]

    def _prepared(self, seen: torch.Tensor) -> list[tuple[_Rows, _ByToken]]:
        """Put the minibatches (S, K, B) of several steps into indices, at once."""
        tokens = self._tokens[self._networks, seen]  # (S, K, B, 2)
        places = self._corners + self.targets[self._networks, seen].flatten(1)  # (S, K B)
        every = self._by_token(tokens)
        starts, rows = every.starts.view(len(seen), -1), every.rows.view(len(seen), -1)
        return [
            (
                _Rows(tokens=tokens[i].reshape(-1), bags=self._bags, places=places[i]),
                _ByToken(rows=rows[i], starts=starts[i]),
            )
            for i in range(len(seen))
        ]

    def _update(self, rows: _Rows, by_token: _ByToken, step: int | torch.Tensor) -> None:
        table, products = self._table, self._products
        if self._masks:
            table = torch.mul(self.weights.view(len(self.members), -1), self._masks.scale[..., 0]).view(table.shape)
        active = self._active.view(len(self.members), self.rows, self.width)
        hidden = sum_rows(table, rows.tokens, rows.bags).view(active.shape)
        if self._masks:
            hidden.mul_(self._masks.kept(step))
        units, readout = products.rounded(self._activated(hidden, active)), products.rounded(self._readout)
        scores = products.product(units, readout.transpose(1, 2))
        residual = products.rounded(self._residual(scores, rows.places))
        products.product_into(self._to_readout, residual.transpose(1, 2), units, self._scale)
        back = active  # its values are no longer needed: (K, B, N)
        products.product_into(back, residual, readout, self._scale * self._slope)
        if self._square:
            back.mul_(hidden)
        else:
            torch.ops.aten.threshold_backward.grad_input(back, hidden, 0, grad_input=back)
        sums = sum_rows(back.view(-1, self.width), by_token.rows, by_token.starts).view(self._to_embedding.shape)
        if self._masks:
            torch.mul(sums, self._masks.scale, out=self._to_embedding)
        else:
            self._to_embedding.copy_(sums)
        self.optimizers[0].step(self.gradient, step)

    def _activated(self, hidden: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Return phi of hidden units in ``out``, which may be the same."""
        return torch.mul(hidden, hidden, out=out) if self._square else torch.clamp(hidden, min=0, out=out)

    def _residual(self, scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the loss's derivative by the scores (K, B, C), up to its constant factor; may overwrite the scores."""
        residual = scores if self._mse else torch.softmax(scores, dim=2)
        residual.view(-1).index_add_(0, places, self._minus_one)
        return residual

    def _by_token(self, tokens: torch.Tensor) -> _ByToken:
        """Sort the rows of B examples (..., K, B, 2) by each of their tokens."""
        in_order, rows = tokens.transpose(-1, -2).contiguous().sort(dim=-1, stable=True)  # (..., K, 2, B)
        every = self._every_token.expand(*in_order.shape[:-1], -1).contiguous()
        starts = torch.searchsorted(in_order, every)  # (..., K, 2, p)
        return _ByToken(rows=(rows + self._first_rows).view(-1), starts=(starts + self._first_sorted).view(-1))

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with every network, dropout off."""
        return [evaluation for evaluation, _ in self.record(0, ())]

    def record(self, step: int, wanted: Collection[str]) -> list[tuple[Evaluation, Seen]]:
        """Answer all examples with every network, and look inside for what is wanted, by one download."""
        predicted, losses = self._answered(self.parts(), 0)
        train, test = losses.tensor_split([self.n_train], dim=1)
        numbers = {
            "train_loss": train.mean(dim=1, dtype=torch.float64),
            "test_loss": test.mean(dim=1, dtype=torch.float64),
            "norms": torch.linalg.vector_norm(self.parts().flatten(2), dim=2, dtype=torch.float64),
        }
        return [self._recorded(*row) for row in downloaded(predicted, numbers | self._inside.look(step, wanted))]

    def _recorded(
        self, predicted: NDArray[np.int64], numbers: Mapping[str, NDArray[np.float64]]
    ) -> tuple[Evaluation, Seen]:
        norms = dict(zip(PARTS, numbers["norms"].tolist(), strict=True))
        evaluation = Evaluation(
            predicted=predicted,
            train_loss=float(numbers["train_loss"]),
            test_loss=float(numbers["test_loss"]),
            norms=named_norms(norms),
        )
        return evaluation, self._inside.seen(numbers, norms)

    def ends(self) -> list[Seen]:
        """Return each trained network's IPR, by one download."""
        if not self._inside.periodic:
            return [Seen() for _ in self.members]
        return [Seen(unit_ipr=values) for values in self._inside.unit_ipr().cpu().numpy()]

    def parts(self) -> torch.Tensor:
        """Return U and V, transposed, and W as (K, 3, p, N)."""
        return self.weights.view(len(self.members), len(PARTS), self.p, self.width)

    def answers(self, parts: torch.Tensor, start: int) -> torch.Tensor:
        """Return the predicted classes (K, M - start) of the examples from ``start`` on, by the given weights."""
        return self._answered(parts, start)[0]

    def _answered(self, parts: torch.Tensor, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return predicted classes and losses, (K, M - start) each, in blocks of a training set's size."""
        blocks = [
            self._answered_block(parts, slice(first, first + self.n_train))
            for first in range(start, self.targets.shape[1], self.n_train)
        ]
        predicted, losses = (torch.cat(found, dim=1) for found in zip(*blocks, strict=True))
        return predicted, losses

    def _answered_block(self, parts: torch.Tensor, some: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Answer some examples."""
        scores = self._scores(parts, self._tokens[:, some])
        return scores.argmax(dim=2), self._losses(scores, self.targets[:, some])

    def _scores(self, parts: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the scores (K, B, C) of tokens (K, B, 2); the units are gone from memory before what follows."""
        hidden = self._gathered(parts.view(-1, self.width), tokens)
        return torch.bmm(self._activated(hidden, hidden), parts[:, 2].transpose(1, 2))

    def units(self, networks: slice) -> torch.Tensor:
        """Return some networks' units (k, M, N) that the read-out sees, on all examples."""
        hidden = self._gathered(self._table, self._tokens[networks])
        return self._activated(hidden, hidden)

    def losses(self, scores: torch.Tensor, networks: slice) -> torch.Tensor:
        """Return the losses (k, M) of some networks from their scores (k, M, C) on all examples."""
        return self._losses(scores, self.targets[networks])

    def _losses(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self._loss(scores.flatten(0, 1), targets.flatten()).view(targets.shape)

    def _gathered(self, table: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the hidden units (k, B, N) before phi of examples' tokens (k, B, 2)."""
        bags = torch.arange(0, tokens.numel(), 2, device=tokens.device)
        return sum_rows(table, tokens.reshape(-1), bags).view(*tokens.shape[:2], self.width)

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return one network's U, V (N, p) and W."""
        u, v, w = self.weights[index].view(len(PARTS), self.p, self.width)
        return {"U": u.t(), "V": v.t(), "W": w}


class BatchedKernel(SizedKernel):
    """K two-layer MLPs with square or ReLU activation, on MSE or cross entropy, as one group a training-set size."""

    name = BATCHED_KERNEL
    group = _Population

    @torch.no_grad()
    def record(self, members: Sequence[int], step: int, wanted: Collection[str]) -> list[tuple[Evaluation, Seen]]:
        """Answer all examples with dropout off, and tell what was seen inside, by one download a group."""
        return self._asked(members, lambda group: cast(_Population, group).record(step, wanted))

    @torch.no_grad()
    def ends(self, members: Sequence[int]) -> list[Seen]:
        """Tell what was seen inside the trained networks of what a table of trials shows, by one download a group."""
        return self._asked(members, lambda group: cast(_Population, group).ends())
