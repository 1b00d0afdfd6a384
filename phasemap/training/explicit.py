"""The fast kernel: the explicit gradient of the two-layer MLP on full batches, one network after the other.

For f = W a, a = phi(h), h = U e_m + V e_n, with the loss's residual R = dL/df, the gradients are R a^T for W and
((W^T R) * phi'(h)) summed over the examples that share a token for U and V. No autograd and no one-hot inputs: rows
are gathered and summed by token (``embedding_bag``), and the examples are processed in blocks that stay in cache.
The residual is kept transposed, (classes, examples), where the matrix products run up to twice as fast.

Every array belongs to one network, and a network's blocks depend on its own shape alone, so that its arithmetic is the
same in any pack, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from phasemap.study.trials import Trial
from phasemap.tasks.examples import Examples
from phasemap.training.dropout import DropoutMasks
from phasemap.training.initial import initial_mlp
from phasemap.training.optimizers import AdamW, AdamWSettings
from phasemap.training.recording import Evaluation

BLOCK_BYTES = 640 * 1024  # hidden units of a block: with the weights, what a core's L2 cache holds


class ExplicitKernel:
    """K two-layer MLPs with square or ReLU activation, on MSE or cross entropy."""

    def __init__(self, trials: Sequence[Trial], examples: Sequence[Examples], device: torch.device) -> None:
        self.networks = [_Network(t, e, device) for t, e in zip(trials, examples, strict=True)]

    @staticmethod
    def supports(trial: Trial) -> bool:
        """Whether the closed form covers a trial."""
        return (
            trial.model == "mlp"
            and trial.depth == 2
            and trial.norm == "none"
            and trial.batch_size == "full"
            and trial.optimizer == "adamw"
        )

    @torch.no_grad()
    def advance(self, members: Sequence[int], after: int, until: int) -> None:
        """Train the given networks from step ``after`` to step ``until``."""
        for member in members:
            network = self.networks[member]
            for step in range(after + 1, until + 1):
                network.train_step(step)

    @torch.no_grad()
    def evaluate(self, members: Sequence[int]) -> list[Evaluation]:
        """Answer all examples with dropout off."""
        return [self.networks[member].evaluate() for member in members]

    def weights(self, member: int) -> dict[str, torch.Tensor]:
        """Return one network's U (N, p), V (N, p) and W (p, N)."""
        return self.networks[member].named_weights()

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs, one entry a network."""
        return [{"weights": n.weights.clone(), **n.optimizer.state()} for n in self.networks]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint."""
        for network, saved in zip(self.networks, state, strict=True):
            network.weights.copy_(saved["weights"])
            network.optimizer.load(saved)


class _Blocks:
    """Examples in blocks of rows: which weight rows each gathers, and where its target stands in the scores."""

    def __init__(
        self, inputs: np.ndarray, targets: np.ndarray, n_classes: int, rows: int, device: torch.device
    ) -> None:
        pairs = torch.from_numpy(inputs + np.array([0, n_classes])).to(device)  # V's rows follow U's
        labels = torch.from_numpy(targets).to(device)
        self.parts = []
        for start in range(0, len(labels), rows):
            block = labels[start : start + rows]
            size = len(block)
            places = block * size + torch.arange(size, device=device)
            self.parts.append((start, start + size, pairs[start : start + size].contiguous(), places))


class _Network:
    def __init__(self, trial: Trial, examples: Examples, device: torch.device) -> None:
        self.trial, self.examples = trial, examples
        data = examples.dataset
        p, width, self.n_train = data.n_classes, trial.width, len(examples.train)
        self.n_classes = p
        self.weights = initial_mlp(trial, p).to(device)
        self.gradient = torch.zeros_like(self.weights)
        self.embedding, self.readout = self.weights[: 2 * p], self.weights[2 * p :]
        self.optimizer = AdamW(
            self.weights,
            AdamWSettings(
                learning_rate=trial.learning_rate,
                weight_decay=trial.weight_decay,
                betas=trial.betas,
                eps=trial.eps,
            ),
        )
        rows = block_rows(width, p)
        inputs = data.inputs[examples.train]
        self.training = _Blocks(inputs, examples.given, p, rows, device)
        order = np.concatenate([examples.train, examples.test])
        targets = np.concatenate([examples.given, data.labels[examples.test]])
        self.everything = _Blocks(data.inputs[order], targets, p, rows, device)
        self._sum_order, self._sum_starts = _rows_by_token(inputs, p, device)
        self._hidden_gradient = torch.empty(self.n_train, width, device=device)
        self._active = torch.empty(rows * width, device=device)
        self._scores = torch.empty(rows * p, device=device)
        self._minus_one = torch.full((rows,), -1.0, device=device)
        self.dropout = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=width) if trial.dropout else None
        self._square = trial.activation == "square"
        self._mse = trial.loss == "mse"

    def train_step(self, step: int) -> None:
        """Take one step of full-batch AdamW, counted from 1."""
        p = self.n_classes
        scale = 2.0 / (self.n_train * p) if self._mse else 1.0 / self.n_train
        slope = 2.0 if self._square else 1.0
        embedding, kept = self.embedding, None
        if self.dropout:
            kept = self.dropout.kept(step, self.n_train).to(embedding.device)
            embedding = embedding * self.dropout.scale
            slope *= self.dropout.scale
        to_readout, to_hidden = self.gradient[2 * p :], self._hidden_gradient
        for start, end, pairs, places in self.training.parts:
            hidden, active, scores = self._forward(embedding, pairs, None if kept is None else kept[start:end])
            residual = self._residual(scores, places)
            torch.addmm(to_readout, residual, active, beta=float(start > 0), alpha=scale, out=to_readout)
            block = to_hidden[start:end]
            torch.addmm(block, residual.t(), self.readout, beta=0, alpha=scale * slope, out=block)
            block.mul_(hidden if self._square else hidden > 0)  # phi'(h); dropped units have h = 0
        by_token = F.embedding_bag(self._sum_order, to_hidden, self._sum_starts, mode="sum")
        self.gradient[: 2 * p].copy_(by_token)
        self.optimizer.step(self.gradient, step)

    def _forward(
        self, embedding: torch.Tensor, pairs: torch.Tensor, kept: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return hidden units before and after phi, (R, N), and the scores (p, R) of one block."""
        rows = len(pairs)
        hidden = F.embedding_bag(pairs, embedding, mode="sum")  # (R, N)
        if kept is not None:
            hidden.mul_(kept)
        active = self._active[: rows * hidden.shape[1]].view(rows, -1)  # (R, N)
        if self._square:
            torch.mul(hidden, hidden, out=active)
        else:
            torch.clamp(hidden, min=0, out=active)
        scores = self._scores[: rows * self.n_classes].view(-1, rows)  # (p, R)
        return hidden, active, torch.mm(self.readout, active.t(), out=scores)

    def _residual(self, scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Turn scores (p, R) into the loss's derivative by them, up to its constant factor."""
        if not self._mse:
            scores = torch.softmax(scores, dim=0, out=scores)
        scores.view(-1).index_add_(0, places, self._minus_one[: scores.shape[1]])
        return scores

    def evaluate(self) -> Evaluation:
        """Answer all examples with dropout off; losses are means over examples (MSE: and over classes)."""
        predicted, losses = [], []
        for _, _, pairs, places in self.everything.parts:
            _, _, scores = self._forward(self.embedding, pairs, None)
            predicted.append(scores.argmax(dim=0))
            losses.append(self._losses(scores, places))
        loss = torch.cat(losses).double()
        return Evaluation(
            predicted=torch.cat(predicted).cpu().numpy(),
            train_loss=float(loss[: self.n_train].mean()),
            test_loss=float(loss[self.n_train :].mean()),
            norms=self.norms(),
        )

    def _losses(self, scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return each example's loss (R,) from scores (p, R), which are overwritten."""
        if self._mse:
            residual = self._residual(scores, places)
            return residual.square_().mean(dim=0)
        return torch.logsumexp(scores, dim=0) - scores.reshape(-1)[places]

    def norms(self) -> dict[str, float]:
        """Return the Frobenius norms of U, V, W and of all weights."""
        squares = self.weights.double().square().view(3, -1).sum(dim=1)
        roots = squares.sqrt().tolist()
        total = float(squares.sum().sqrt())
        return dict(zip(("weight_norm_u", "weight_norm_v", "weight_norm_w"), roots, strict=True)) | {
            "weight_norm": total
        }

    def named_weights(self) -> dict[str, torch.Tensor]:
        p = self.n_classes
        return {"U": self.weights[:p].t(), "V": self.weights[p : 2 * p].t(), "W": self.readout}


def block_rows(width: int, n_classes: int) -> int:
    """Return how many examples are processed at once: as many as stay in cache, in steps of 32."""
    return max(32, BLOCK_BYTES // (4 * (width + n_classes)) // 32 * 32)


def _rows_by_token(inputs: np.ndarray, n_classes: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """List the examples of every first token, then of every second: (2 B,) rows and (2 p,) starts."""
    order = np.concatenate([np.argsort(column, kind="stable") for column in inputs.T])
    counts = np.concatenate([np.bincount(column, minlength=n_classes) for column in inputs.T])
    starts = np.cumsum(counts) - counts
    return torch.from_numpy(order).to(device), torch.from_numpy(starts).to(device)
