"""The fast kernel: the explicit gradient of the two-layer MLP on full batches, one network after the other.

For f = W a, a = phi(h), h = U e_m + V e_n, with the loss's residual R = dL/df, the gradients are R a^T for W and
((W^T R) * phi'(h)) summed over the examples that share a token for U and V. No autograd and no one-hot inputs: rows
are gathered and summed by token (``embedding_bag``), and the examples are processed in blocks that stay in cache.
The residual is kept transposed, (classes, examples), where the matrix products run up to twice as fast.

A network's blocks depend on its own shape alone, and nothing outlives a block but in arrays of its own, so that its
arithmetic is the same in any pack, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from phasemap.study.names import PLAIN_KERNEL
from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.dropout import DropoutMasks
from phasemap.training.grouped import GroupedKernel
from phasemap.training.initial import initial_mlp
from phasemap.training.losses import evaluation
from phasemap.training.networks import TRANSPOSED
from phasemap.training.optimizers import parameters_of
from phasemap.training.recording import Evaluation
from phasemap.training.updates import make_optimizer

BLOCK_BYTES = 800 * 1024  # hidden units of a block: with the weights, what a core's L2 cache holds


class Scratch:
    """Arrays that every block of a pack may overwrite."""

    def __init__(self, rows: int, width: int, n_classes: int, device: torch.device) -> None:
        self.rows = rows
        self.active = torch.empty(rows * width, device=device)
        self.scores = torch.empty(rows * n_classes, device=device)
        self.minus_one = torch.full((rows,), -1.0, device=device)
        self._masks = torch.empty(0, dtype=torch.bool, device=device)

    def masks(self, rows: int, width: int) -> torch.Tensor:
        """Return room for the masks of a step (rows, width), which last until the next network's."""
        if len(self._masks) < rows * width:
            self._masks = torch.empty(rows * width, dtype=torch.bool, device=self._masks.device)
        return self._masks[: rows * width].view(rows, width)


class Block:
    """R examples: which weight rows each gathers, where its target stands in the scores, and views to work in."""

    def __init__(
        self, start: int, pairs: torch.Tensor, labels: torch.Tensor, scratch: Scratch, width: int, n_classes: int
    ) -> None:
        rows = len(labels)
        self.start, self.end = start, start + rows
        self.pairs = pairs  # (R, 2)
        self.tokens = pairs.reshape(-1)  # (2 R,) rows of U and V in one table
        self.bags = torch.arange(0, 2 * rows, 2, device=pairs.device)
        self.places = labels * rows + torch.arange(rows, device=pairs.device)
        self.active = scratch.active[: rows * width].view(rows, width)
        self.active_t = self.active.t()
        self.scores = scratch.scores[: rows * n_classes].view(n_classes, rows)
        self.scores_t = self.scores.t()
        self.flat_scores = self.scores.view(-1)
        self.minus_one = scratch.minus_one[:rows]


def _blocks(inputs: np.ndarray, targets: np.ndarray, scratch: Scratch, width: int, n_classes: int) -> list[Block]:
    device = scratch.scores.device
    pairs = torch.from_numpy(inputs + np.array([0, n_classes])).to(device)  # V's rows follow U's
    labels = torch.from_numpy(targets).to(device)
    parts = enumerate(zip(pairs.split(scratch.rows), labels.split(scratch.rows), strict=True))
    return [Block(i * scratch.rows, some, own, scratch, width, n_classes) for i, (some, own) in parts]


class _TokenSums:
    """Which rows of a block share a token: its first tokens, from the lowest on, then all second tokens.

    The only block of a network takes all first tokens: then U's rows of the gradient and V's are one piece.
    """

    def __init__(self, inputs: np.ndarray, gradient: torch.Tensor, *, alone: bool) -> None:
        first, second = inputs.T  # first is sorted
        p = len(gradient) // 3
        lowest, end = (0, p) if alone else (int(first[0]), int(first[-1]) + 1)
        counts = np.concatenate([np.bincount(first - lowest, minlength=end - lowest), np.bincount(second, minlength=p)])
        rows = np.concatenate([np.arange(len(first)), np.argsort(second, kind="stable")])
        self.rows = torch.from_numpy(rows).to(gradient.device)
        self.starts = torch.from_numpy(np.cumsum(counts) - counts).to(gradient.device)
        self._pieces = [gradient[: 2 * p]] if alone else [gradient[lowest:end], gradient[p : 2 * p]]
        self._sizes = [len(piece) for piece in self._pieces]

    def add(self, rows: torch.Tensor) -> None:
        """Add the sums of a block's rows (R, N) to the gradients of U and V."""
        sums = sum_rows(rows, self.rows, self.starts)
        for piece, part in zip(self._pieces, sums.split(self._sizes), strict=True):
            piece.add_(part)


class Network:
    """One network: its arrays, its blocks, and its steps."""

    def __init__(self, member: int, trial: NetworkTrial, examples: Examples, scratch: Scratch) -> None:
        self.members, data, device = [member], examples.dataset, scratch.scores.device
        self._scratch = scratch
        p, width, self.n_train = data.n_classes, trial.width, len(examples.train)
        self.n_classes = p
        self.weights = initial_mlp(trial, p).to(device)
        self.gradient = torch.zeros_like(self.weights)
        self.embedding, self.readout = self.weights[: 2 * p], self.weights[2 * p :]
        self._to_readout = self.gradient[2 * p :]
        parameters = parameters_of(dict.fromkeys(("U", "V", "W"), (p, width)), TRANSPOSED)
        self.optimizers = [make_optimizer([trial], self.weights, parameters)]
        by_token = np.lexsort(data.inputs[examples.train].T[::-1])
        self._by_token = torch.from_numpy(by_token).to(device)
        inputs = data.inputs[examples.train][by_token]
        self.training = _blocks(inputs, examples.given[by_token], scratch, width, p)
        self._prepare(inputs)
        self.everything = _blocks(data.inputs[examples.order], examples.targets, scratch, width, p)
        self.dropout = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=width) if trial.dropout else None
        self._square = trial.activation == "square"
        self._mse = trial.loss == "mse"
        self._scale = 2.0 / (self.n_train * p) if self._mse else 1.0 / self.n_train
        self._slope = (2.0 if self._square else 1.0) * (self.dropout.scale if self.dropout else 1.0)

    def _prepare(self, inputs: np.ndarray) -> None:
        """Sort out what the passes over the training blocks need, from their tokens (n_train, 2)."""
        alone = len(self.training) == 1
        self._sums = [_TokenSums(inputs[b.start : b.end], self.gradient, alone=alone) for b in self.training]

    def train_step(self, step: int) -> None:
        """Take one step on the full batch, counted from 1."""
        embedding, drawn = self.embedding, None
        if self.dropout:
            drawn = self._draw(self.dropout, step)
            embedding = embedding * self.dropout.scale
        self.gradient.zero_()
        for index, block in enumerate(self.training):
            hidden = self._activate(embedding, block, drawn)
            torch.mm(self.readout, block.active_t, out=block.scores)
            self._residual(block)
            torch.addmm(self._to_readout, block.scores, block.active, alpha=self._scale, out=self._to_readout)
            back = block.active  # its values are no longer needed: (R, N)
            torch.addmm(back, block.scores_t, self.readout, beta=0, alpha=self._scale * self._slope, out=back)
            self._add_to_tokens(index, hidden, drawn)
        self.optimizers[0].step(self.gradient, step)

    def _draw(self, dropout: DropoutMasks, step: int) -> torch.Tensor:
        """Return the numbers that decide which units a step keeps, (n_train, N) in int16, in the blocks' order."""
        return dropout.numbers(step, self.n_train).to(self.weights.device).index_select(0, self._by_token)

    def _activate(self, embedding: torch.Tensor, block: Block, drawn: torch.Tensor | None) -> torch.Tensor:
        """Fill a block's active units phi(h) (R, N), and return what the way back needs: h (R, N)."""
        hidden = sum_rows(embedding, block.tokens, block.bags)
        if self.dropout and drawn is not None:
            hidden.mul_(self.dropout.mask(drawn[block.start : block.end]))
        if self._square:
            torch.mul(hidden, hidden, out=block.active)
        else:
            torch.clamp(hidden, min=0, out=block.active)
        return hidden

    def _add_to_tokens(self, index: int, hidden: torch.Tensor, drawn: torch.Tensor | None) -> None:
        """Multiply what came back to a block's active units by phi'(h) and add it to the gradients of U and V."""
        back = self.training[index].active
        back.mul_(hidden if self._square else hidden.gt_(0))  # phi'(h); dropped units have h = 0
        self._sums[index].add(back)

    def _residual(self, block: Block) -> None:
        """Turn a block's scores into the loss's derivative by them, up to its constant factor."""
        if not self._mse:
            torch.softmax(block.scores, dim=0, out=block.scores)
        block.flat_scores.index_add_(0, block.places, block.minus_one)

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with dropout off; losses are means over examples (MSE: and over classes)."""
        predicted, losses = [], []
        for block in self.everything:
            self._activate(self.embedding, block, None)
            torch.mm(self.readout, block.active_t, out=block.scores)
            predicted.append(block.scores.argmax(dim=0))
            losses.append(self._losses(block))
        return [evaluation(torch.cat(predicted), torch.cat(losses), self.n_train, self.norms())]

    def _losses(self, block: Block) -> torch.Tensor:
        """Return each example's loss (R,) from a block's scores, which are overwritten."""
        if self._mse:
            self._residual(block)
            return block.scores.square_().mean(dim=0)
        return torch.logsumexp(block.scores, dim=0) - block.flat_scores[block.places]

    def norms(self) -> dict[str, float]:
        """Return the Frobenius norms of U, V, W and of all weights."""
        squares = self.weights.double().square().view(3, -1).sum(dim=1)
        u, v, w = squares.sqrt().tolist()
        return {"weight_norm_u": u, "weight_norm_v": v, "weight_norm_w": w, "weight_norm": float(squares.sum().sqrt())}

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return the only network's U, V (N, p) and W."""
        assert index == 0
        p = self.n_classes
        return {"U": self.weights[:p].t(), "V": self.weights[p : 2 * p].t(), "W": self.readout}


class ExplicitKernel(GroupedKernel):
    """K two-layer MLPs with square or ReLU activation, on MSE or cross entropy."""

    name = PLAIN_KERNEL
    network = Network

    def __init__(self, trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device) -> None:
        width, p = trials[0].width, examples[0].dataset.n_classes
        scratch = Scratch(block_rows(width, p), width, p, device)  # one for all: they take turns
        pairs = enumerate(zip(trials, examples, strict=True))
        super().__init__([self.network(member, t, e, scratch) for member, (t, e) in pairs])


def block_rows(width: int, n_classes: int) -> int:
    """Return how many examples are processed at once: as many as stay in cache, in steps of 32."""
    return max(32, BLOCK_BYTES // (4 * (width + n_classes)) // 32 * 32)


def sum_rows(table: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Sum rows of a table in bags: bag i sums table[rows[starts[i] : starts[i + 1]]]."""
    return torch.embedding_bag(table, rows, starts, False, 0, False)[0]
