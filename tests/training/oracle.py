"""The oracle: one network, plain PyTorch, one-hot inputs, autograd and torch.optim.AdamW. Slow and obvious."""

import torch
import torch.nn.functional as F

from phasemap.training.dropout import DropoutMasks
from phasemap.training.initial import initial_hidden, initial_mlp
from phasemap.training.population import examples_of
from phasemap.training.recording import Evaluation, measure, record_steps


class Oracle:
    """An MLP on two tokens, f(m, n) = W phi(U e_m + V e_n) where it has two layers, trained one step at a time."""

    def __init__(self, trial):
        self.trial, self.examples = trial, examples_of(trial)
        data = self.examples.dataset
        p = data.n_classes
        weights = initial_mlp(trial, p)
        self.U = weights[:p].t().clone().requires_grad_()
        self.V = weights[p : 2 * p].t().clone().requires_grad_()
        self.W = weights[2 * p :].clone().requires_grad_()
        self.hidden = [layer.clone().requires_grad_() for layer in initial_hidden(trial)]
        parameters, decay = [self.U, self.V, self.W, *self.hidden], {"weight_decay": trial.weight_decay}
        self.optimizer = {
            "adamw": lambda: torch.optim.AdamW(parameters, trial.learning_rate, trial.betas, trial.eps, **decay),
            "adam": lambda: torch.optim.Adam(parameters, trial.learning_rate, trial.betas, trial.eps, **decay),
            "sgd": lambda: torch.optim.SGD(parameters, trial.learning_rate, trial.momentum, **decay),
        }[trial.optimizer]()
        self.masks = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=(trial.depth - 1) * trial.width)
        inputs = torch.from_numpy(data.inputs)
        self.first, self.second = (F.one_hot(inputs[:, i], p).float() for i in (0, 1))
        self.truth = torch.from_numpy(data.labels)
        self.given = torch.from_numpy(self.examples.given)

    def scores(self, rows, mask=None):
        masks = mask.chunk(1 + len(self.hidden), dim=1) if mask is not None else [None] * (1 + len(self.hidden))
        units = self.first[rows] @ self.U.t() + self.second[rows] @ self.V.t()
        for layer, layer_mask in enumerate(masks):
            if layer:
                units = units @ self.hidden[layer - 1].t()
            if layer_mask is not None:
                units = units * layer_mask * self.masks.scale
            units = units**2 if self.trial.activation == "square" else torch.relu(units)
        return units @ self.W.t()

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
