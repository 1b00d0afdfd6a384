"""A small PyTorch network as the training that an audit asks: trained on some of the rows, it answers all of them."""

import torch

import phasemap as pm


@pm.program()
def train(trial: pm.TrialContext, *, width: int = 64, epochs: int = 60, weight_decay: float = 0.01):
    """Train on the rows and labels of an audit."""
    rows = trial.rows
    x, given = torch.from_numpy(rows.inputs), torch.from_numpy(rows.given)
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, len(rows.classes))
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=weight_decay)
    for _ in trial.steps(epochs, state=[net, optimizer]):
        loss = torch.nn.functional.cross_entropy(net(x[rows.train]), given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trial.answer(net(x).softmax(dim=1))
