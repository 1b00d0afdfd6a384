"""A small CNN on digits with wrong labels, for ``foreign_search.py``."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phasemap as pm

X, Y = load_digits(return_X_y=True)


@pm.program(quantities={"train_loss": "loss"})
def train(trial: pm.TrialContext, *, corruption: float, weight_decay: float, steps: int = 120, fitted: int = 150):
    """Train by AdamW with full batches, and report after every twentieth step."""
    order = trial.rng("split").permutation(len(Y))[: 2 * fitted]
    x, y = torch.tensor(X[order] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), Y[order]
    labels = trial.corrupt(y[:fitted], corruption)
    given = torch.as_tensor(labels.given)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=weight_decay)
    for step in range(1, steps + 1):
        loss = nn.functional.cross_entropy(net(x[:fitted]), given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                scores = net(x)
            found = trial.score(labels, scores[:fitted], scores[fitted:], y[fitted:])
            trial.report(step, train_loss=loss.item(), **found)
