"""A small CNN on scikit-learn's digits, with label noise."""

import torch
from sklearn.datasets import load_digits

import phasemap as pm


@pm.program(quantities={"train_loss": "loss", "test_accuracy": "accuracy"})
def train(
    trial: pm.TrialContext,
    *,
    weight_decay: float = 0.0,
    corruption: float = 0.0,
    channels: int = 16,
    epochs: int = 40,
):
    """Train one network and report its loss and its accuracies after each epoch."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)
    labels = trial.corrupt(y[:600], corruption)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, channels, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * channels, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=weight_decay)
    for epoch in trial.steps(epochs, state=[net, optimizer]):
        for rows in torch.randperm(600).split(100):
            loss = torch.nn.functional.cross_entropy(net(x[rows]), labels.given[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            scores = trial.score(labels, net(x[:600]), net(x[600:]), y[600:])
        trial.report(epoch, train_loss=loss.item(), **scores)
