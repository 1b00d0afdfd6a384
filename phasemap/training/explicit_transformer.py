"""The explicit gradient of the Transformer of one block, as many networks at once as stay in the core's cache.

With the answer read off the last token, a pair (m, n) needs one query and one MLP: with tables over the tokens
q = E Q^T, k = E K^T, v = E V^T and the shares a_h = sigmoid(q_h(n) . (k_h(m) - k_h(n)) / sqrt(d_h)) per head h,

    x = e(n) + O concat_h(a_h v_h(m) + (1 - a_h) v_h(n)),    y = x + D phi(U x),    f = W y / d.

So the projections are products over token tables (p rows), and only O, U, D and W see the examples, in blocks of rows.
Small minibatches of several networks are one batched product: what costs time there is the number of operations. No
autograd. In shapes: G networks, R rows of each, p tokens, d = width, h hidden units, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.explicit import sum_rows
from phasemap.training.functional import HostDraws
from phasemap.training.grouped import SizedKernel
from phasemap.training.losses import LOSSES, evaluations
from phasemap.training.networks import TRANSPOSED
from phasemap.training.optimizers import named_views, parameters_of
from phasemap.training.recording import Evaluation
from phasemap.training.transformer import Transformer
from phasemap.training.updates import make_optimizer

BLOCK_BYTES = 1 << 20  # hidden units of a block: with the weights, what a core's cache holds
VECTOR = 64  # a multiple of the floats that one round of a vectorized loop takes
BLOCK = "blocks.0."
PROJECTIONS = ("query", "key", "value")


def _rows_in_cache(trial: NetworkTrial) -> int:
    return BLOCK_BYTES // (4 * Transformer.dropout_width(trial))


def _at_once(trial: NetworkTrial, n_train: int) -> int:
    """Return how many networks have the units of their batches in the core's cache."""
    rows = n_train if trial.batch_size == "full" else int(trial.batch_size)
    return max(1, _rows_in_cache(trial) // rows)


class _TokenSums:
    """Sums over the rows that share a token: tokens (G R,) of ``count``."""

    def __init__(self, tokens: torch.Tensor, count: int) -> None:
        self._order = torch.argsort(tokens, stable=True)
        counts = torch.bincount(tokens, minlength=count)
        self._starts = torch.cumsum(counts, 0) - counts

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the sums (count, n) of rows (G R, n)."""
        return sum_rows(rows, self._order, self._starts)


class _Rows:
    """R examples of each of the G networks: their tokens, numbered on through the networks, and their labels."""

    __slots__ = ("first", "labels", "mask", "second", "to_first", "to_second")

    def __init__(self, pairs: torch.Tensor, labels: torch.Tensor, p: int, mask: torch.Tensor | None = None) -> None:
        shift = torch.arange(len(pairs), device=pairs.device)[:, None] * p
        self.first, self.second = ((pairs[:, :, i] + shift).reshape(-1) for i in range(2))
        self.labels, self.mask = labels, mask
        self.to_first, self.to_second = (_TokenSums(tokens, len(pairs) * p) for tokens in (self.first, self.second))


class _Forward:
    """What a block's forward pass leaves for its backward pass."""

    __slots__ = ("active", "difference", "hidden", "last", "out", "query", "scores", "shares", "taken", "wide")

    query: torch.Tensor  # (G, R, d): q(n)
    difference: torch.Tensor  # (G, R, 2 d): k(m) - k(n), v(m) - v(n)
    shares: torch.Tensor  # (G, R, H)
    wide: torch.Tensor  # (G, R, d): the shares, each for all features of its head
    taken: torch.Tensor  # (G, R, d)
    last: torch.Tensor  # (G, R, d): x
    hidden: torch.Tensor  # (G, R, h)
    active: torch.Tensor  # (G, R, h)
    out: torch.Tensor  # (G, R, d): y
    scores: torch.Tensor  # (G, R, p)


class _Group:
    def __init__(
        self, members: Sequence[int], trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device
    ) -> None:
        data, self.trial, self.members = examples[0].dataset, trials[0], list(members)
        self.p, self.d, self.n_train = data.n_classes, self.trial.width, len(examples[0].train)
        starts = [{n: w.detach() for n, w in Transformer(t, self.p).named_parameters()} for t in trials]
        shapes = {name: part.shape for name, part in starts[0].items()}
        self._parameters, joined = parameters_of(shapes, TRANSPOSED), parameters_of(_joined(shapes))
        self.weights = torch.stack([torch.cat([w.reshape(-1) for w in s.values()]) for s in starts]).to(device)
        self.gradient = torch.zeros_like(self.weights)  # (G, P), as the weights
        self.parts, self._to_flat = named_views(self.weights, joined), named_views(self.gradient, joined)
        # Products are summed up in place only where a part of all networks is contiguous.
        self._grads = {one.name: torch.zeros(len(trials), *one.shape, device=device) for one in joined}
        self.readout = "E" if self.trial.weight_tying else "W"
        self.optimizers = [make_optimizer([t], w, self._parameters) for t, w in zip(trials, self.weights, strict=True)]
        self.pairs = torch.from_numpy(data.inputs[np.stack([e.order for e in examples])]).to(device)  # (G, M, 2)
        self.labels = torch.from_numpy(np.stack([e.targets for e in examples])).to(device)  # (G, M)
        self._draws = HostDraws(trials, data, self.n_train, device)
        self._dropout = any(t.dropout for t in trials)
        self._of_heads = _of_heads(self.trial).repeat(len(trials), 1, 1).to(device)  # (G, H, d)
        self._square, self._losses = self.trial.activation == "square", LOSSES[self.trial.loss]
        # Rows a block: by the shape alone, not by the neighbours that there are, for the sake of the last bit.
        self._rows = max(32, _rows_in_cache(self.trial) // _at_once(self.trial, self.n_train) // 32 * 32)
        self._everything = self._cut(self.pairs, self.labels)
        self._full = self._cut(self.pairs[:, : self.n_train], self.labels[:, : self.n_train])

    def _cut(self, pairs: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None = None) -> list[_Rows]:
        places = [slice(i, i + self._rows) for i in range(0, labels.shape[1], self._rows)]
        return [
            _Rows(pairs[:, place], labels[:, place], self.p, None if mask is None else mask[:, place])
            for place in places
        ]

    def _batch(self, step: int) -> list[_Rows]:
        rows = self._draws.rows(step)
        if rows is None and not self._dropout:
            return self._full
        pairs, labels = self.pairs[:, : self.n_train], self.labels[:, : self.n_train]
        if rows is not None:
            networks = torch.arange(len(rows), device=rows.device)[:, None]
            pairs, labels = pairs[networks, rows], labels[networks, rows]
        mask = self._draws.mask(step, labels.shape[1]) if self._dropout else None
        return self._cut(pairs, labels, mask)

    def train_step(self, step: int) -> None:
        """Take one step of every network's optimizer, counted from 1."""
        self._grads["E"].zero_()
        batch = self._batch(step)
        count = sum(rows.labels.shape[1] for rows in batch)
        tables = self._tables()
        to_tables = torch.zeros_like(tables)
        for number, rows in enumerate(batch):
            self._backward(rows, self._forward(rows, tables), count, to_tables, before=min(number, 1))
        torch.bmm(to_tables.transpose(1, 2), self.parts["E"], out=self._grads["projections"])
        self._grads["E"].baddbmm_(to_tables, self.parts["projections"])
        for name, part in self._to_flat.items():
            part.copy_(self._grads[name])
        for optimizer, gradient in zip(self.optimizers, self.gradient, strict=True):
            optimizer.step(gradient, step)

    def _tables(self) -> torch.Tensor:
        """Return every token's query, key and value, (G, p, 3 d)."""
        return torch.bmm(self.parts["E"], self.parts["projections"].transpose(1, 2))

    def _forward(self, rows: _Rows, tables: torch.Tensor) -> _Forward:
        parts, state, d, shape = self.parts, _Forward(), self.d, rows.labels.shape
        flat = tables.view(-1, 3 * d)
        own = flat.index_select(0, rows.second).view(*shape, 3 * d)
        other = flat.index_select(0, rows.first).view(*shape, 3 * d)
        state.query, state.difference = own[..., :d], other[..., d:] - own[..., d:]
        state.shares = _sigmoid(self._by_head(state.query * state.difference[..., :d]).mul_(self._scale))
        state.wide = torch.bmm(state.shares, self._of_heads)
        state.taken = torch.addcmul(own[..., 2 * d :], state.difference[..., d:], state.wide)
        embedded = parts["E"].reshape(-1, d).index_select(0, rows.second).view(*shape, d)
        state.last = embedded.baddbmm_(state.taken, parts["out"].transpose(1, 2))
        state.hidden = torch.bmm(state.last, parts["up"].transpose(1, 2))
        if rows.mask is not None:
            state.hidden.mul_(rows.mask)
        state.active = state.hidden.square() if self._square else state.hidden.clamp(min=0)
        state.out = torch.baddbmm(state.last, state.active, parts["down"].transpose(1, 2))
        state.scores = torch.bmm(state.out, parts[self.readout].transpose(1, 2)).mul_(1 / d)
        return state

    @property
    def _scale(self) -> float:
        return (self.d // self.trial.heads) ** -0.5

    def _by_head(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum rows (G, R, d) over the features of each head, (G, R, H)."""
        return torch.bmm(rows, self._of_heads.transpose(1, 2))

    def _backward(self, rows: _Rows, state: _Forward, count: int, to_tables: torch.Tensor, before: int) -> None:
        """Add a block's part of the gradient to ``before`` times the sum so far; scores and units are overwritten."""
        parts, grads = self.parts, self._grads
        residual = self._residual(state.scores, rows.labels, count)
        grads[self.readout].baddbmm_(residual.transpose(1, 2), state.out, beta=before)
        to_out = torch.bmm(residual, parts[self.readout])  # (G, R, d)
        grads["down"].baddbmm_(to_out.transpose(1, 2), state.active, beta=before)
        to_hidden = torch.bmm(to_out, parts["down"], out=state.active)
        if self._square:
            to_hidden.mul_(state.hidden).mul_(2.0)
        else:
            to_hidden.mul_(state.hidden.gt_(0))
        if rows.mask is not None:
            to_hidden.mul_(rows.mask)
        grads["up"].baddbmm_(to_hidden.transpose(1, 2), state.last, beta=before)
        to_last = to_out.baddbmm_(to_hidden, parts["up"])
        grads["out"].baddbmm_(to_last.transpose(1, 2), state.taken, beta=before)
        self._to_tokens(rows, state, to_last, to_tables)

    def _to_tokens(self, rows: _Rows, state: _Forward, to_last: torch.Tensor, to_tables: torch.Tensor) -> None:
        """Add what a block's attention gives to the tokens' tables, and to their embeddings."""
        d = self.d
        to_taken = torch.bmm(to_last, self.parts["out"])  # (G, R, d)
        to_shares = self._by_head(to_taken * state.difference[..., d:])
        to_scores = to_shares.mul_(state.shares).mul_(1 - state.shares).mul_(self._scale)
        to_products = torch.bmm(to_scores, self._of_heads)  # (G, R, d)
        to_first = torch.empty_like(state.difference)  # to k(m), v(m)
        torch.mul(to_products, state.query, out=to_first[..., :d])
        torch.mul(to_taken, state.wide, out=to_first[..., d:])
        to_second = to_first.new_empty(*to_last.shape[:2], 4 * d)  # to q(n), k(n), v(n), e(n)
        torch.mul(to_products, state.difference[..., :d], out=to_second[..., :d])
        torch.neg(to_first[..., :d], out=to_second[..., d : 2 * d])
        torch.sub(to_taken, to_first[..., d:], out=to_second[..., 2 * d : 3 * d])
        to_second[..., 3 * d :] = to_last
        by_first = rows.to_first.of(to_first.view(-1, 2 * d)).view(len(to_tables), self.p, 2 * d)
        by_second = rows.to_second.of(to_second.view(-1, 4 * d)).view(len(to_tables), self.p, 4 * d)
        to_tables[..., d:] += by_first
        to_tables += by_second[..., : 3 * d]
        self._grads["E"] += by_second[..., 3 * d :]

    def _residual(self, scores: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
        """Turn scores (G, R, p) into the mean loss's derivative by the read-out before its division by the width."""
        if self.trial.loss == "mse":
            factor = 2.0 / (count * self.p)
        else:
            torch.softmax(scores, dim=2, out=scores)
            factor = 1.0 / count
        scores.scatter_add_(2, labels[:, :, None], scores.new_full((1, 1, 1), -1.0).expand(*labels.shape, 1))
        return scores.mul_(factor / self.d)

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with dropout off."""
        tables = self._tables()
        predicted, losses = [], []
        for rows in self._everything:
            scores = self._forward(rows, tables).scores
            predicted.append(scores.argmax(dim=2))
            found = self._losses(scores.flatten(0, 1), rows.labels.reshape(-1))
            losses.append(found.view(rows.labels.shape))
        answers, errors = torch.cat(predicted, dim=1), torch.cat(losses, dim=1)  # (G, M)
        return evaluations(answers, errors, self.n_train, [self.named_weights(i) for i in range(len(self.members))])

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return one network's weights, named as in the module."""
        return {name: part[index] for name, part in named_views(self.weights, self._parameters).items()}


def _of_heads(trial: NetworkTrial) -> torch.Tensor:
    """Return a matrix (H, d) of zeros and ones: products with it sum over a head's features, or copy to them.

    That is much faster than short broadcasts. A single head gets a second one without features: a product with a
    vector is not to the bit the same in any pack.
    """
    of_heads = torch.zeros(max(trial.heads, 2), trial.width)
    of_heads[: trial.heads] = torch.eye(trial.heads).repeat_interleave(trial.width // trial.heads, dim=1)
    return of_heads


def _sigmoid(scores: torch.Tensor) -> torch.Tensor:
    """Return sigmoid(scores), each to the bit whatever stands beside it.

    PyTorch takes what is left over behind the last full vector through another exp, so the end is padded.
    """
    padded = scores.new_zeros(-(-scores.numel() // VECTOR) * VECTOR)
    padded[: scores.numel()] = scores.view(-1)
    return padded.sigmoid_()[: scores.numel()].view_as(scores)


def _joined(shapes: dict[str, torch.Size]) -> dict[str, torch.Size]:
    """Name the parts of the only block without their prefix, its three projections as one (3 d, d)."""
    joined: dict[str, torch.Size] = {}
    for name, shape in shapes.items():
        short = name.removeprefix(BLOCK)
        if short not in PROJECTIONS:
            joined[short] = shape
        elif short == PROJECTIONS[0]:
            joined["projections"] = torch.Size((len(PROJECTIONS) * shape[0], shape[1]))
    return joined


class TransformerKernel(SizedKernel):
    """K Transformers of one block, with square or ReLU activation, on MSE or cross entropy."""

    name = "explicit_transformer"
    group = _Group

    @staticmethod
    def at_once(trials: Sequence[NetworkTrial], n_train: int) -> int:
        """Return how many networks with so many training examples a group may have."""
        return _at_once(trials[0], n_train)
