"""The explicit gradient of the Transformer of one block, one network after the other.

With the answer read off the last token, a pair (m, n) needs one query and one MLP: with tables over the tokens
q = E Q^T, k = E K^T, v = E V^T and the shares a_h = sigmoid((q_h(n) k_h(m) - q_h(n) k_h(n)) / sqrt(d_h)) per head h,

    x = e(n) + O concat_h(a_h v_h(m) + (1 - a_h) v_h(n)),    y = x + D phi(U x),    f = W y / d.

So projections and scores are products over token tables (p rows, and p x p scores a head), and only O, U, D and W see
the examples, in blocks that stay in cache. No autograd; arithmetic that depends on the network alone, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from phasemap.study.trials import Trial
from phasemap.tasks.examples import Examples
from phasemap.training.batches import make_batches
from phasemap.training.dropout import DropoutMasks
from phasemap.training.losses import LOSSES, evaluation
from phasemap.training.networks import part_norms
from phasemap.training.one_by_one import OneByOneKernel
from phasemap.training.optimizers import OPTIMIZERS, OptimizerSettings
from phasemap.training.recording import Evaluation
from phasemap.training.transformer import Transformer

BLOCK_BYTES = 1 << 20  # hidden units of a block: with the weights, what a core's cache holds
BLOCK = "blocks.0."


class TransformerKernel(OneByOneKernel):
    """K Transformers of one block, with square or ReLU activation, on MSE or cross entropy."""

    def __init__(self, trials: Sequence[Trial], examples: Sequence[Examples], device: torch.device) -> None:
        super().__init__([_Network(t, e, device) for t, e in zip(trials, examples, strict=True)])


class _Tables:
    """The block's projections of every token (p, d), the shares per head and pair, and where their gradients go."""

    def __init__(self, parts: dict[str, torch.Tensor], heads: int) -> None:
        embedding = parts["E"]
        p, d = embedding.shape
        self.scale, self.heads = (d // heads) ** -0.5, heads
        self.query, self.key, self.value = (embedding @ parts[BLOCK + n].t() for n in ("query", "key", "value"))
        scores = torch.bmm(self._by_head(self.query), self._by_head(self.key).transpose(1, 2))  # (H, p, p): [h, n, m]
        own = scores.diagonal(dim1=1, dim2=2)[:, :, None]
        self.shares = torch.sigmoid((scores - own) * self.scale).permute(2, 1, 0).reshape(p * p, heads)  # [m p + n, h]

    def _by_head(self, table: torch.Tensor) -> torch.Tensor:
        return table.view(len(table), self.heads, -1).transpose(0, 1)  # (H, p, d_h)

    def score_gradients(self, to_scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradients of the query and key tables (p, d) from those of the scores (p p, H), [m p + n, h]."""
        p = len(self.query)
        by_pair = to_scores.view(p, p, self.heads).permute(2, 1, 0).contiguous()  # (H, n, m)
        by_pair.diagonal(dim1=1, dim2=2).sub_(by_pair.sum(dim=2))
        by_pair.mul_(self.scale)
        to_query = torch.bmm(by_pair, self._by_head(self.key))
        to_key = torch.bmm(by_pair.transpose(1, 2), self._by_head(self.query))
        return tuple(t.transpose(0, 1).reshape(p, -1) for t in (to_query, to_key))  # type: ignore[return-value]


class _Rows:
    """Examples of one block of a batch: their tokens, their pair's number, and their labels."""

    __slots__ = ("first", "labels", "mask", "pair", "second")

    def __init__(self, pairs: torch.Tensor, labels: torch.Tensor, p: int, mask: torch.Tensor | None = None) -> None:
        self.first, self.second = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
        self.pair, self.labels, self.mask = self.first * p + self.second, labels, mask


class _Forward:
    """What a block's forward pass leaves for its backward pass."""

    __slots__ = ("active", "difference", "hidden", "last", "out", "scores", "shares", "taken")

    shares: torch.Tensor  # (R, H)
    difference: torch.Tensor  # (R, d): v(m) - v(n)
    taken: torch.Tensor  # (R, d)
    last: torch.Tensor  # (R, d): x
    hidden: torch.Tensor  # (R, h)
    active: torch.Tensor  # (R, h)
    out: torch.Tensor  # (R, d): y
    scores: torch.Tensor  # (R, p)


class _Network:
    def __init__(self, trial: Trial, examples: Examples, device: torch.device) -> None:
        data = examples.dataset
        self.p, self.n_train, self.trial = data.n_classes, len(examples.train), trial
        start = {name: part.detach() for name, part in Transformer(trial, self.p).named_parameters()}
        self.weights = torch.cat([part.reshape(-1) for part in start.values()]).to(device)
        self.gradient = torch.zeros_like(self.weights)
        shapes = {name: part.shape for name, part in start.items()}
        self.parts, self.grads = _views(self.weights, shapes), _views(self.gradient, shapes)
        self.readout = "E" if trial.weight_tying else "W"
        self.optimizer = OPTIMIZERS[trial.optimizer](self.weights, OptimizerSettings.of(trial))
        order = np.concatenate([examples.train, examples.test])
        self.pairs = torch.from_numpy(data.inputs[order]).to(device)
        self.labels = torch.from_numpy(np.concatenate([examples.given, data.labels[examples.test]])).to(device)
        self._batches = make_batches(trial, data, self.n_train)
        self._masks = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=Transformer.dropout_width(trial))
        self._square, self._losses = trial.activation == "square", LOSSES[trial.loss]
        self.rows = max(32, BLOCK_BYTES // (4 * Transformer.dropout_width(trial)) // 32 * 32)
        self._everything = self._cut(self.pairs, self.labels)
        self._full = self._cut(self.pairs[: self.n_train], self.labels[: self.n_train])

    def _cut(self, pairs: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None = None) -> list[_Rows]:
        return [
            _Rows(
                pairs[i : i + self.rows],
                labels[i : i + self.rows],
                self.p,
                None if mask is None else mask[i : i + self.rows],
            )
            for i in range(0, len(labels), self.rows)
        ]

    def _batch(self, step: int) -> list[_Rows]:
        if self._batches is None and not self.trial.dropout:
            return self._full
        pairs, labels = self.pairs[: self.n_train], self.labels[: self.n_train]
        if self._batches is not None:
            rows = torch.from_numpy(self._batches.rows(step)).to(pairs.device)
            pairs, labels = pairs[rows], labels[rows]
        mask = None
        if self.trial.dropout:
            mask = self._masks.mask(self._masks.numbers(step, len(labels))).to(pairs.device)
        return self._cut(pairs, labels, mask)

    def train_step(self, step: int) -> None:
        """Take one step of the optimizer, counted from 1."""
        self.gradient.zero_()
        batch = self._batch(step)
        count = sum(len(rows.labels) for rows in batch)
        tables = _Tables(self.parts, self.trial.heads)
        to_value = torch.zeros_like(tables.value)
        to_scores = torch.zeros_like(tables.shares)
        for rows in batch:
            self._backward(rows, self._forward(rows, tables), tables, count, to_value, to_scores)
        to_query, to_key = tables.score_gradients(to_scores)
        for name, gradient in (("query", to_query), ("key", to_key), ("value", to_value)):
            self.grads[BLOCK + name].addmm_(gradient.t(), self.parts["E"])
            self.grads["E"].addmm_(gradient, self.parts[BLOCK + name])
        self.optimizer.step(self.gradient, step)

    def _forward(self, rows: _Rows, tables: _Tables) -> _Forward:
        parts, state = self.parts, _Forward()
        state.shares = tables.shares.index_select(0, rows.pair)
        own = tables.value.index_select(0, rows.second)
        state.difference = tables.value.index_select(0, rows.first).sub_(own)
        state.taken = torch.addcmul(self._heads(own), self._heads(state.difference), state.shares[:, :, None]).view_as(
            own
        )
        state.last = parts["E"].index_select(0, rows.second).addmm_(state.taken, parts[BLOCK + "out"].t())
        state.hidden = state.last @ parts[BLOCK + "up"].t()
        if rows.mask is not None:
            state.hidden.mul_(rows.mask).mul_(self._masks.scale)
        state.active = state.hidden.square() if self._square else state.hidden.clamp(min=0)
        state.out = torch.addmm(state.last, state.active, parts[BLOCK + "down"].t())
        state.scores = (state.out @ parts[self.readout].t()).mul_(1 / state.out.shape[1])
        return state

    def _heads(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.view(len(rows), self.trial.heads, -1)  # (R, H, d_h)

    def _backward(
        self, rows: _Rows, state: _Forward, tables: _Tables, count: int, to_value: torch.Tensor, to_scores: torch.Tensor
    ) -> None:
        """Add a block's part of the gradient; the block's scores and units are overwritten."""
        parts, grads = self.parts, self.grads
        residual = self._residual(state.scores, rows.labels, count)
        grads[self.readout].addmm_(residual.t(), state.out)
        to_out = residual @ parts[self.readout]  # (R, d)
        grads[BLOCK + "down"].addmm_(to_out.t(), state.active)
        to_hidden = torch.mm(to_out, parts[BLOCK + "down"], out=state.active)
        if self._square:
            to_hidden.mul_(state.hidden).mul_(2.0)
        else:
            to_hidden.mul_(state.hidden.gt_(0))
        if rows.mask is not None:
            to_hidden.mul_(rows.mask).mul_(self._masks.scale)
        grads[BLOCK + "up"].addmm_(to_hidden.t(), state.last)
        to_last = to_out.addmm_(to_hidden, parts[BLOCK + "up"])
        grads[BLOCK + "out"].addmm_(to_last.t(), state.taken)
        grads["E"].index_add_(0, rows.second, to_last)
        to_taken = to_last @ parts[BLOCK + "out"]
        to_shares = (self._heads(to_taken) * self._heads(state.difference)).sum(dim=2)  # (R, H)
        to_scores.index_add_(0, rows.pair, to_shares.mul_(state.shares).mul_(1 - state.shares))
        to_first = (self._heads(to_taken) * state.shares[:, :, None]).view_as(to_taken)
        to_value.index_add_(0, rows.first, to_first)
        to_value.index_add_(0, rows.second, to_taken.sub_(to_first))

    def _residual(self, scores: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
        """Turn scores (R, p) into the mean loss's derivative by the read-out before its division by the width."""
        if self.trial.loss == "mse":
            factor = 2.0 / (count * self.p)
        else:
            torch.softmax(scores, dim=1, out=scores)
            factor = 1.0 / count
        scores[torch.arange(len(labels), device=labels.device), labels] -= 1.0
        return scores.mul_(factor / self.trial.width)

    def evaluate(self) -> Evaluation:
        """Answer all examples with dropout off."""
        tables = _Tables(self.parts, self.trial.heads)
        predicted, losses = [], []
        for rows in self._everything:
            scores = self._forward(rows, tables).scores
            predicted.append(scores.argmax(dim=1))
            losses.append(self._losses(scores, rows.labels))
        return evaluation(torch.cat(predicted), torch.cat(losses), self.n_train, part_norms(self.parts))

    def named_weights(self) -> dict[str, torch.Tensor]:
        """Return the weights, named as in the module."""
        return self.parts


def _views(flat: torch.Tensor, shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """View a flat tensor as named parameters."""
    parts = flat.split([shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
