"""The network, data, loss and optimizer of studies/beyond/trainability.yaml.

After Sohl-Dickstein, "The boundary of neural network trainability is fractal" (arXiv 2402.06184): one hidden layer in
the mean-field scaling, as many examples as weights, a learning rate for each of the two layers, full batches.
"""

import torch
from torch import nn

EXAMPLES, FEATURES = 272, 16  # at width 16 the network has 16 * 16 + 16 = 272 weights


class MeanField(nn.Module):
    """Answer (-y, y) with y = (1/n) w tanh(W x / sqrt(n)): the second class where y is positive."""

    def __init__(self, features: tuple[int, ...], classes: int, *, units: int = 16) -> None:
        super().__init__()
        assert classes == 2
        self.hidden = nn.Linear(features[0], units, bias=False)
        self.out = nn.Linear(units, 1, bias=False)
        for layer in (self.hidden, self.out):
            nn.init.normal_(layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores (B, 2) of features (B, F)."""
        units = torch.tanh(self.hidden(x) / self.hidden.in_features**0.5)
        y = self.out(units) / self.out.in_features
        return torch.cat([-y, y], dim=1)


def noise() -> tuple[torch.Tensor, torch.Tensor]:
    """Return normal features and labels thrown by a coin, with two examples for the test, which says nothing here."""
    draws = torch.Generator().manual_seed(0)
    n = EXAMPLES + 2
    return torch.randn(n, FEATURES, generator=draws).numpy(), (torch.arange(n) % 2).numpy()


def squared(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return (y - t)^2 of each example, where t is -1 or 1."""
    return (scores[:, 1] - (2 * targets - 1)) ** 2


class TwoRates(torch.optim.Optimizer):
    """Gradient descent with a learning rate of its own for the last layer."""

    def __init__(self, params, lr: float = 0.1, last_lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "last_lr": last_lr})

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        for group in self.param_groups:
            *earlier, last = group["params"]
            for parameter in earlier:
                parameter.add_(parameter.grad, alpha=-group["lr"])
            last.add_(last.grad, alpha=-group["last_lr"])
