"""A user's network, data, optimizer and loss, in files of their own."""

import textwrap

import yaml

from phasemap.study.file import load_study
from phasemap.study.trials import expand

NETS = textwrap.dedent(
    """
    import torch
    from torch import nn


    class ConvNet(nn.Module):
        def __init__(self, features, classes, *, width: int = 4, dropout: float = 0.0):
            super().__init__()
            self.conv = nn.Conv2d(features[0], width, 3, padding=1)
            self.first, self.second = nn.Dropout(dropout), nn.Dropout(dropout / 2)
            self.hidden = nn.Linear(width * (features[1] // 2) * (features[2] // 2), 8)
            self.out = nn.Linear(8, classes)

        def forward(self, x):
            units = nn.functional.max_pool2d(torch.relu(self.conv(x)), 2)
            return self.out(self.second(torch.relu(self.hidden(self.first(units).flatten(1)))))


    class Normed(ConvNet):
        def __init__(self, features, classes, *, width: int = 4):
            super().__init__(features, classes, width=width)
            self.norm = nn.BatchNorm2d(width)

        def forward(self, x):
            units = nn.functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
            return self.out(torch.relu(self.hidden(units.flatten(1))))


    class Choosing(ConvNet):
        def __init__(self, features, classes):
            super().__init__(features, classes)

        def forward(self, x):
            scores = super().forward(x)
            return scores if self.out.bias[0] > 0 else scores * 1.5


    class Drawing(ConvNet):
        def forward(self, x):
            return super().forward(nn.functional.dropout(x, 0.25, self.training))


    class Features(nn.Module):
        def __init__(self, features, classes, *, units: int = 8):
            super().__init__()
            self.register_buffer("random", torch.randn(16, units))
            self.frozen = nn.Parameter(torch.randn(units, units), requires_grad=False)
            self.out = nn.Linear(units, classes)

        def forward(self, x):
            return self.out(torch.relu(x.flatten(1) @ self.random) @ self.frozen)


    class Tokens(nn.Module):
        def __init__(self, features, classes, *, width: int = 8):
            super().__init__()
            self.embed = nn.Embedding(classes, width)
            self.out = nn.Linear(width * features[0], classes)

        def forward(self, x):
            return self.out(self.embed(x).flatten(1).square())
    """
)
SHAPES = textwrap.dedent(
    """
    import numpy as np


    def load(n: int = 60, noise: float = 0.3):
        rng = np.random.default_rng(0)
        y = np.arange(n) % 3
        x = rng.normal(size=(n, 1, 4, 4)) * noise
        x[np.arange(n), 0, y, y] += 1
        return x, np.array(["a", "b", "c"])[y]


    def pairs(p: int = 7):
        a, b = np.divmod(np.arange(p * p), p)
        return np.stack([a, b], axis=1), (a - b) % p, a


    def triples():
        x = np.arange(60).reshape(20, 3) % 5
        return x, x.sum(axis=1) % 5
    """
)
OPTIM = textwrap.dedent(
    """
    import torch


    class Lion(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0):
            super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if not state:
                        state["mean"] = torch.zeros_like(p)
                    b1, b2 = group["betas"]
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(torch.sign(state["mean"] * b1 + p.grad * (1 - b1)), alpha=group["lr"])
                    state["mean"].mul_(b2).add_(p.grad, alpha=1 - b2)


    class Layers(torch.optim.SGD):
        def __init__(self, params, *, first: float, last: float = 0.1):
            params = list(params)
            super().__init__([{"params": params[:1], "lr": first}, {"params": params[1:], "lr": last}], lr=0.0)
    """
)
LOSSES = textwrap.dedent(
    """
    import torch


    def stable(scores, targets, *, temperature: float = 1.0):
        return torch.nn.functional.cross_entropy(scores / temperature, targets, reduction="none")
    """
)
FILES = {"nets.py": NETS, "shapes.py": SHAPES, "optim.py": OPTIM, "losses.py": LOSSES}


def content(**changes):
    """Return a study of a user's network, data, optimizer and loss, with some keys changed (None: left out)."""
    study = {
        "name": "own",
        "task": {"kind": "shapes.py:load"},
        "model": {"kind": "nets.py:ConvNet"},
        "training": {"optimizer": "optim.py:Lion", "loss": "losses.py:stable", "steps": 50, "learning_rate": 0.003},
        "axes": {"corruption": [0, 0.2], "weight_decay": [0, 0.1]},
        **changes,
    }
    return {key: value for key, value in study.items() if value is not None}


def write_own(folder, files=None, **changes):
    """Write the files and a study of them into a folder, and return the study's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in {**FILES, **(files or {})}.items():
        (folder / name).write_text(code)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content(**changes)))
    return path


def own_trials(folder, files=None, **changes):
    """Return the study and its trials."""
    study = load_study(write_own(folder, files, **changes))
    return study, list(expand(study))
