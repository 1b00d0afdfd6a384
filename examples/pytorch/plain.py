"""A small CNN on scikit-learn's digits, with label noise."""

import torch
from sklearn.datasets import load_digits


def train(
    *,
    weight_decay: float = 0.0,
    corruption: float = 0.0,
    channels: int = 16,
    epochs: int = 40,
):
    """Train one network and report its loss and its accuracies after each epoch."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)
    wrong = (y[:600] + torch.randint(1, 10, (600,))) % 10
    given = torch.where(torch.rand(600) < corruption, wrong, y[:600])
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
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(600).split(100):
            loss = torch.nn.functional.cross_entropy(net(x[rows]), given[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (net(x[600:]).argmax(1) == y[600:]).float().mean().item()
        print(epoch, loss.item(), accuracy)


if __name__ == "__main__":
    train()
