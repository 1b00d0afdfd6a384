"""The oracle: one network, plain PyTorch, one-hot inputs, autograd and torch.optim.AdamW. Slow and obvious."""

import torch
import torch.nn.functional as F

from phasemap.training.dropout import DropoutMasks
from phasemap.training.initial import initial_mlp
from phasemap.training.population import examples_of
from phasemap.training.recording import Evaluation, measure, record_steps


class Oracle:
    """f(m, n) = W phi(U e_m + V e_n), trained one step at a time."""

    def __init__(self, trial):
        self.trial, self.examples = trial, examples_of(trial)
        data = self.examples.dataset
        p = data.n_classes
        weights = initial_mlp(trial, p)
        self.U = weights[:p].t().clone().requires_grad_()
        self.V = weights[p : 2 * p].t().clone().requires_grad_()
        self.W = weights[2 * p :].clone().requires_grad_()
        self.optimizer = torch.optim.AdamW(
            [self.U, self.V, self.W],
            lr=trial.learning_rate, betas=trial.betas, eps=trial.eps, weight_decay=trial.weight_decay,
        )  # fmt: skip
        self.masks = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=trial.width)
        inputs = torch.from_numpy(data.inputs)
        self.first, self.second = (F.one_hot(inputs[:, i], p).float() for i in (0, 1))
        self.truth = torch.from_numpy(data.labels)
        self.given = torch.from_numpy(self.examples.given)

    def scores(self, rows, mask=None):
        hidden = self.first[rows] @ self.U.t() + self.second[rows] @ self.V.t()
        if mask is not None:
            hidden = hidden * mask * self.masks.scale
        active = hidden**2 if self.trial.activation == "square" else torch.relu(hidden)
        return active @ self.W.t()

    def loss(self, scores, labels):
        if self.trial.loss == "cross_entropy":
            return F.cross_entropy(scores, labels)
        return F.mse_loss(scores, F.one_hot(labels, scores.shape[1]).float())

    def step(self, number):
        train = self.examples.train
        mask = self.masks.mask(self.masks.numbers(number, len(train))) if self.trial.dropout else None
        self.optimizer.zero_grad()
        self.loss(self.scores(train, mask), self.given).backward()
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self):
        trained, held_out = self.scores(self.examples.train), self.scores(self.examples.test)
        return Evaluation(
            predicted=torch.cat([trained, held_out]).argmax(dim=1).numpy(),
            train_loss=float(self.loss(trained, self.given)),
            test_loss=float(self.loss(held_out, self.truth[self.examples.test])),
            norms={},
        )

    def curves(self):
        """Return {step: measures} at the recorded steps."""
        records = set(record_steps(self.trial.steps))
        found = {}
        for number in range(1, self.trial.steps + 1):
            self.step(number)
            if number in records:
                found[number] = measure(self.examples, self.evaluate())
        return found
