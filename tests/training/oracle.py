"""The oracle: one network, plain PyTorch, one-hot inputs, autograd and torch.optim. Slow and obvious."""

import torch
import torch.nn.functional as F

from phasemap.tasks.examples import examples_of
from phasemap.tasks.streams import stream
from phasemap.training.counters import DeviceBatches, DeviceMasks
from phasemap.training.dropout import DropoutMasks
from phasemap.training.initial import (
    initial_embedding,
    initial_features_mlp,
    initial_hidden,
    initial_matrix,
    initial_mlp,
)
from phasemap.training.recording import Evaluation, measure, record_steps


def plain_mlp(trial, data):
    """Return the parameters and the forward pass of an MLP: f(m, n) = W phi(U e_m + V e_n) if it has two layers."""
    n_classes = data.n_classes
    if data.tokens:
        u, v, w = initial_mlp(trial, n_classes).split(n_classes)
        first = [u.t().clone(), v.t().clone()]
        inputs = torch.cat([F.one_hot(torch.from_numpy(data.inputs[:, i]), n_classes).float() for i in (0, 1)], dim=1)
    else:
        f, w = initial_features_mlp(trial, data.inputs.shape[1], n_classes)
        first = [f.t().clone()]
        inputs = torch.from_numpy(data.inputs)
    hidden, readout = [layer.clone() for layer in initial_hidden(trial)], w.clone()
    gains, shifts = ([value * torch.ones(trial.width) for _ in range(trial.depth - 1)] for value in (1.0, 0.0))
    norm = [*gains, *shifts] if trial.norm != "none" else []
    parameters = [*first, readout, *hidden, *norm]

    def normalized(units, layer, n_train):
        gain, shift = gains[layer], shifts[layer]
        if trial.norm == "batch" and n_train is None:
            return F.batch_norm(units, None, None, gain, shift, training=True)
        if trial.norm == "batch":
            mean, variance = units[:n_train].mean(dim=0), units[:n_train].var(dim=0, correction=0)
            return F.batch_norm(units, mean, variance, gain, shift, training=False)
        return F.layer_norm(units, (trial.width,), gain, shift) if trial.norm == "layer" else units

    def forward(rows, mask, n_train):
        masks = mask.chunk(trial.depth - 1, dim=1) if mask is not None else None
        units = inputs[rows]
        for layer, weights in enumerate([torch.cat(first, dim=1), *hidden]):
            units = units @ weights.t()
            if masks is not None:
                units = units * masks[layer]
            units = units**2 if trial.activation == "square" else torch.relu(units)
            units = normalized(units, layer, n_train)
        return units @ readout.t()

    return parameters, forward


def plain_transformer(trial, data):
    """Return the parameters and the forward pass of a Transformer that computes every token of every block."""
    p, d, hidden = data.n_classes, trial.width, trial.mlp_factor * trial.width
    embedding = initial_embedding(trial, "embedding", (p, d))
    readout = embedding if trial.weight_tying else initial_embedding(trial, "readout", (p, d))
    shapes = {"query": (d, d), "key": (d, d), "value": (d, d), "out": (d, d), "up": (hidden, d), "down": (d, hidden)}
    blocks = [
        {name: initial_matrix(trial, f"{name}_{layer}", shape) for name, shape in shapes.items()}
        for layer in range(trial.depth)
    ]
    parameters = [
        embedding,
        *([] if trial.weight_tying else [readout]),
        *(w for block in blocks for w in block.values()),
    ]
    inputs = torch.from_numpy(data.inputs)

    def heads(x):
        return x.reshape(len(x), 2, trial.heads, d // trial.heads).transpose(1, 2)  # (B, H, 2, d / H)

    def think_mask(mask, layer):
        """Return a block's mask (B, 2, hidden); the last block's first token is read by nobody."""
        if mask is None:
            return 1.0
        parts = mask.chunk(2 * trial.depth - 1, dim=1)
        if layer < trial.depth - 1:
            return torch.stack(parts[2 * layer : 2 * layer + 2], dim=1)
        return torch.stack([torch.ones_like(parts[-1]), parts[-1]], dim=1)

    def forward(rows, mask, n_train):
        x = embedding[inputs[rows]]  # (B, 2, d)
        for layer, block in enumerate(blocks):
            q, k, v = (heads(x @ block[name].t()) for name in ("query", "key", "value"))
            taken = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
            x = x + taken @ block["out"].t()
            units = (x @ block["up"].t()) * think_mask(mask, layer)
            x = x + (units**2 if trial.activation == "square" else torch.relu(units)) @ block["down"].t()
        return x[:, 1] @ readout.t() / d

    return parameters, forward


def dropout_units(trial):
    if trial.model == "transformer":
        return trial.mlp_factor * trial.width * (2 * trial.depth - 1)
    return (trial.depth - 1) * trial.width


class Oracle:
    """One network trained one step at a time."""

    def __init__(self, trial):
        self.trial, self.examples = trial, examples_of(trial)
        data = self.examples.dataset
        make = plain_transformer if trial.model == "transformer" else plain_mlp
        self.parameters, self.forward = make(trial, data)
        for parameter in self.parameters:
            parameter.requires_grad_()
        share = trial.batch_size / trial.scale_to_batch if trial.scale_to_batch else 1.0
        self.steps, rate = round(trial.steps / share), trial.learning_rate * share**0.5
        decay = {"weight_decay": trial.weight_decay}
        self.optimizer = {
            "adamw": lambda: torch.optim.AdamW(self.parameters, rate, trial.betas, trial.eps, **decay),
            "adam": lambda: torch.optim.Adam(self.parameters, rate, trial.betas, trial.eps, **decay),
            "sgd": lambda: torch.optim.SGD(self.parameters, rate, trial.momentum, **decay),
        }[trial.optimizer]()
        self.masks = DropoutMasks(seed=trial.seed, rate=trial.dropout, width=dropout_units(trial))
        self.truth = torch.from_numpy(data.labels)
        self.given = torch.from_numpy(self.examples.given)
        self.batches = self.all_batches() if trial.batch_size != "full" else None

    def all_batches(self):
        """Cut the concatenated orders of all epochs into batches (steps, batch size)."""
        size, n_train = self.trial.batch_size, len(self.examples.train)
        data, drawn = self.examples.dataset, []
        for epoch in range(self.steps * size // n_train + 1):
            order = stream("minibatches", self.trial.seed, data.name, epoch).permutation(len(data.labels))
            drawn += [row for row in order.tolist() if row < n_train]
        return [drawn[i * size : (i + 1) * size] for i in range(self.steps)]

    def loss(self, scores, labels):
        if self.trial.loss == "cross_entropy":
            return F.cross_entropy(scores, labels)
        return F.mse_loss(scores, F.one_hot(labels, scores.shape[1]).float())

    def step(self, number):
        rows = self.batches[number - 1] if self.batches else slice(None)
        examples, labels = self.examples.train[rows], self.given[rows]
        mask = None
        if self.trial.dropout:
            mask = self.masks.mask(self.masks.numbers(number, len(labels))) * self.masks.scale
        self.optimizer.zero_grad()
        self.loss(self.forward(examples, mask, None), labels).backward()
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self):
        train, test = self.examples.train, self.examples.test
        scores = self.forward([*train, *test], None, len(train))
        return Evaluation(
            predicted=scores.argmax(dim=1).numpy(),
            train_loss=float(self.loss(scores[: len(train)], self.given)),
            test_loss=float(self.loss(scores[len(train) :], self.truth[test])),
            norms={},
        )

    def curves(self):
        """Return {step: measures} at the recorded steps."""
        records = set(record_steps(self.steps))
        found = {}
        for number in range(1, self.steps + 1):
            self.step(number)
            if number in records:
                found[number] = measure(self.examples, self.evaluate())
        return found


class DeviceMasksOfOne:
    """One network's dropout masks as the kernels of a device draw them."""

    def __init__(self, trial, rows):
        self._masks = DeviceMasks([trial], rows, dropout_units(trial), torch.device("cpu"))
        self.scale = float(self._masks.scale)

    def numbers(self, step, rows):
        return self._masks.kept(step)[0][:rows].float()

    def mask(self, numbers):
        return numbers


def drawn_on_device(oracle):
    """Let an oracle train on the masks and minibatches that the kernels of a device draw."""
    trial, n_train = oracle.trial, len(oracle.examples.train)
    full = trial.batch_size == "full"
    if not full:
        batches = DeviceBatches([trial], oracle.examples.dataset.name, n_train, torch.device("cpu"))
        oracle.batches = [batches.rows(step)[0].tolist() for step in range(1, oracle.steps + 1)]
    oracle.masks = DeviceMasksOfOne(trial, n_train if full else trial.batch_size)
    return oracle
