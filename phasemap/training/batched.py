"""The kernel for GPUs: the explicit gradient of K two-layer MLPs at once, in few launches and with no wait.

The formulas are those of the explicit kernel (explicit.py) over K networks: f = W a, a = phi(h), h = U e_m + V e_n.
All networks' U, V and W stand in one table (K 3p, N), so that one ``embedding_bag`` gathers every network's hidden
units and another sums their gradients by token, in the order of the rows and without atomics. It is plain PyTorch and
runs on any device; on a CPU one network after the other is faster.

In a step nothing is copied from or to the host and nothing is waited for: dropout masks and the order of minibatches
are drawn on the device (counters.py). A record takes one download for all networks of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from phasemap.study.trials import Trial
from phasemap.tasks.examples import Examples
from phasemap.training.counters import DeviceBatches, DeviceMasks
from phasemap.training.graphs import GraphedStep, graphs_wanted
from phasemap.training.grouped import GroupedKernel, by_training_size
from phasemap.training.initial import initial_mlp
from phasemap.training.networks import named_norms
from phasemap.training.optimizers import vector_optimizer
from phasemap.training.recording import Evaluation

PARTS = ("U", "V", "W")


def batchable(trial: Trial, *, tokens: bool) -> bool:
    """Whether the kernel covers a network: two layers of weights on tokens, without a norm layer."""
    return trial.model == "mlp" and trial.depth == 2 and trial.norm == "none" and tokens


class BatchedKernel(GroupedKernel):
    """K two-layer MLPs with square or ReLU activation, on MSE or cross entropy, as one group a training-set size."""

    name = "batched"

    def __init__(self, trials: Sequence[Trial], examples: Sequence[Examples], device: torch.device) -> None:
        groups = by_training_size([len(seen.train) for seen in examples], lambda _: len(trials))
        super().__init__([_Population(g, [trials[m] for m in g], [examples[m] for m in g], device) for g in groups])


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
        self, members: Sequence[int], trials: Sequence[Trial], examples: Sequence[Examples], device: torch.device
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
        self.optimizers = [vector_optimizer(trials, self.weights)]
        orders = [np.concatenate([e.train, e.test]) for e in examples]
        targets = [np.concatenate([e.given, data.labels[e.test]]) for e in examples]
        inputs = torch.from_numpy(data.inputs[np.stack(orders)]).to(device)  # (K, M, 2)
        networks = torch.arange(len(trials), device=device)[:, None]  # (K, 1)
        self._networks, self._first_embedding = networks, networks * (3 * self.p)  # of each in the table
        self._tokens = inputs + self._first_embedding[..., None] + torch.tensor([0, self.p], device=device)  # (K, M, 2)
        self._targets = torch.from_numpy(np.stack(targets)).to(device)  # (K, M)
        minibatches = first.batch_size != "full"
        self._batches = DeviceBatches(trials, data.name, self.n_train, device) if minibatches else None
        self.rows = self._batches.size if self._batches else self.n_train
        dropout = any(t.dropout for t in trials)
        self._masks = DeviceMasks(trials, self.rows, self.width, device) if dropout else None
        self._square, self._mse = first.activation == "square", first.loss == "mse"
        self._scale = 2.0 / (self.rows * self.p) if self._mse else 1.0 / self.rows
        self._slope = 2.0 if self._square else 1.0
        self._active = torch.empty(len(trials) * self.rows * self.width, device=device)
        self._prepare_rows(device)
        self._step_number = torch.zeros((), dtype=torch.float64, device=device)
        static = self._batches is None and self._masks is None
        self._graphed = GraphedStep(self._static_step) if static and graphs_wanted(device) else None

    def _prepare_rows(self, device: torch.device) -> None:
        """Make what every step uses again: the indices of the training set, or what those of a minibatch start from."""
        networks, rows = len(self.members), torch.arange(len(self.members) * self.rows, device=device)
        self._minus_one = torch.full((networks * self.n_train,), -1.0, device=device)
        self._bags, self._corners = 2 * rows, rows * self.p
        self._first_rows = (self._networks * self.rows)[..., None]  # of each network among all hidden units (K, 1, 1)
        every = torch.arange(2 * self.p, device=device).view(2, self.p)
        self._every_token = self._first_embedding[..., None] + every  # (K, 2, p) rows of the table
        both = torch.arange(2 * networks, device=device).view(networks, 2, 1)
        self._first_sorted = both * self.rows  # of each network's U and V among all sorted rows
        whole = self._batches is None
        self._training = self._some_rows(0, self.n_train) if whole else None
        self._sorted = self._by_token(self._tokens[:, : self.n_train]) if whole else None

    def train_step(self, step: int) -> None:
        """Take one step with every network, counted from 1."""
        if self._graphed:
            self._step_number.fill_(step)
            self._graphed()
        else:
            rows, by_token = self._seen(step)
            self._update(rows, by_token, self._masks.kept(step) if self._masks else None, step)

    def _static_step(self) -> None:
        """Take a step whose number stands in a tensor, as a graph needs it."""
        assert self._training is not None
        assert self._sorted is not None
        self._update(self._training, self._sorted, None, self._step_number)

    def _seen(self, step: int) -> tuple[_Rows, _ByToken]:
        """Return the training examples of one step, and which of them share a token."""
        if self._training is not None and self._sorted is not None:
            return self._training, self._sorted
        assert self._batches is not None
        seen = self._batches.rows(step)  # (K, B)
        tokens = self._tokens[self._networks, seen]  # (K, B, 2)
        places = self._corners + self._targets.gather(1, seen).view(-1)
        return _Rows(tokens=tokens.view(-1), bags=self._bags, places=places), self._by_token(tokens)

    def _update(self, rows: _Rows, by_token: _ByToken, kept: torch.Tensor | None, step: int | torch.Tensor) -> None:
        table = self._table
        if self._masks:
            table = torch.mul(self.weights.view(len(self.members), -1), self._masks.scale[..., 0]).view(table.shape)
        active = self._active.view(len(self.members), self.rows, self.width)
        hidden, scores = self._forward(table, rows, active, kept)
        residual = self._residual(scores, rows.places)
        torch.baddbmm(
            self._to_readout, residual.transpose(1, 2), active, beta=0, alpha=self._scale, out=self._to_readout
        )
        back = active  # its values are no longer needed: (K, B, N)
        torch.baddbmm(back, residual, self._readout, beta=0, alpha=self._scale * self._slope, out=back)
        if self._square:
            back.mul_(hidden)
        else:
            torch.ops.aten.threshold_backward.grad_input(back, hidden, 0, grad_input=back)
        sums = _sum_rows(back.view(-1, self.width), by_token.rows, by_token.starts).view(self._to_embedding.shape)
        if self._masks:
            torch.mul(sums, self._masks.scale, out=self._to_embedding)
        else:
            self._to_embedding.copy_(sums)
        self.optimizers[0].step(self.gradient, step)

    def _forward(
        self, table: torch.Tensor, rows: _Rows, active: torch.Tensor, kept: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fill the active units (K, B, N); return the hidden units before phi (K, B, N) and the scores (K, B, C)."""
        hidden = _sum_rows(table, rows.tokens, rows.bags).view(active.shape)
        if kept is not None:
            hidden.mul_(kept)
        if self._square:
            torch.mul(hidden, hidden, out=active)
        else:
            torch.clamp(hidden, min=0, out=active)
        return hidden, torch.bmm(active, self._readout.transpose(1, 2))

    def _residual(self, scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the loss's derivative by the scores (K, B, C), up to its constant factor; may overwrite the scores."""
        residual = scores if self._mse else torch.softmax(scores, dim=2)
        residual.view(-1).index_add_(0, places, self._minus_one[: len(places)])
        return residual

    def _some_rows(self, start: int, end: int) -> _Rows:
        """Return the examples from one place to another of each network's order, training examples first."""
        networks, n = len(self.members), end - start
        first = torch.arange(networks * n, device=self.weights.device)
        return _Rows(
            tokens=self._tokens[:, start:end].reshape(-1),
            bags=2 * first,
            places=first * self.p + self._targets[:, start:end].reshape(-1),
        )

    def _by_token(self, tokens: torch.Tensor) -> _ByToken:
        """Sort the rows of B examples (K, B, 2) by each of their tokens."""
        in_order, rows = tokens.transpose(1, 2).contiguous().sort(dim=2, stable=True)  # (K, 2, B)
        starts = torch.searchsorted(in_order, self._every_token)  # (K, 2, p)
        return _ByToken(rows=(rows + self._first_rows).view(-1), starts=(starts + self._first_sorted).view(-1))

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with every network, dropout off, in blocks of a training set's size, by one download."""
        networks, total = self._targets.shape
        predicted, losses = [], []
        for start in range(0, total, self.n_train):
            rows = self._some_rows(start, min(total, start + self.n_train))
            active = torch.empty((networks, len(rows.bags) // networks, self.width), device=self.weights.device)
            _, scores = self._forward(self._table, rows, active, None)
            predicted.append(scores.argmax(dim=2))
            losses.append(self._losses(scores, rows.places))
        means = [
            part.mean(dim=1, dtype=torch.float64) for part in torch.cat(losses, dim=1).tensor_split([self.n_train], 1)
        ]
        norms = torch.linalg.vector_norm(self.weights.view(networks, len(PARTS), -1), dim=2, dtype=torch.float64)
        numbers = torch.cat([torch.stack(means, dim=1), norms], dim=1)  # (K, 5)
        return _evaluations(torch.cat([numbers.view(torch.int32), torch.cat(predicted, dim=1).int()], dim=1))

    def _losses(self, scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return each example's loss (K, B) from the scores, which may be overwritten."""
        if self._mse:
            return self._residual(scores, places).square_().mean(dim=2)
        return torch.logsumexp(scores, dim=2) - scores.view(-1)[places].view(scores.shape[:2])

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return one network's U, V (N, p) and W."""
        u, v, w = self.weights[index].view(len(PARTS), self.p, self.width)
        return {"U": u.t(), "V": v.t(), "W": w}


def _evaluations(downloaded: torch.Tensor) -> list[Evaluation]:
    """Read what a record's only download holds, a row a network: two losses and three norms as bits, and M answers."""
    rows = downloaded.cpu().numpy()
    bits = 2 * (2 + len(PARTS))  # a number of 64 bits is two of 32
    numbers = np.ascontiguousarray(rows[:, :bits]).view(np.float64)
    return [
        Evaluation(
            predicted=answers.astype(np.int64),
            train_loss=float(train),
            test_loss=float(test),
            norms=named_norms({name: float(norm) for name, norm in zip(PARTS, norms, strict=True)}),
        )
        for answers, (train, test, *norms) in zip(rows[:, bits:], numbers, strict=True)
    ]


def _sum_rows(table: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Sum rows of a table in bags: bag i sums table[rows[starts[i] : starts[i + 1]]]."""
    return torch.embedding_bag(table, rows, starts, False, 0, False)[0]
