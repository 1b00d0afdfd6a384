"""Looking inside K two-layer MLPs at once, on the device that trains them; see inside.py for what is looked at.

All that is seen is float64 and (K, ...), so that it comes to the host together with a record's answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from phasemap.representations.ipr import token_order
from phasemap.representations.on_device import batched_ipr, batched_projection
from phasemap.representations.pruning import pruning_levels, random_order
from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.inside import PRUNING_QUANTITIES, Seen, inside_steps

SERIES = ("lowest_first", "highest_first", "random")
PARTS = ("U", "V", "W")


class Networks(Protocol):
    """The networks that are looked at."""

    n_train: int
    targets: torch.Tensor  # (K, M) labels, training examples first

    def parts(self) -> torch.Tensor:
        """Return U and V, transposed, and W as (K, 3, p, N)."""

    def answers(self, parts: torch.Tensor, start: int) -> torch.Tensor:
        """Return the predicted classes (K, M - start) of the examples from ``start`` on, by the given weights."""

    def units(self, networks: slice) -> torch.Tensor:
        """Return some networks' units (k, M, N) that the read-out sees, on all examples."""

    def losses(self, scores: torch.Tensor, networks: slice) -> torch.Tensor:
        """Return the losses (k, M) of some networks from their scores (k, M, C) on all examples."""


class BatchedInside:
    """Looks at all networks of a group; ``trials`` and ``examples`` are theirs."""

    def __init__(self, networks: Networks, trials: Sequence[NetworkTrial], examples: Sequence[Examples]) -> None:
        self._networks, self._trials = networks, trials
        device = networks.targets.device
        order = token_order(trials[0].task, trials[0].modulus)
        self._order = None if order is None else torch.from_numpy(order.copy()).to(device)
        labels = [e.dataset.labels[e.order] for e in examples]
        self._truth = torch.from_numpy(np.stack(labels)).to(device)  # (K, M)
        self._levels = pruning_levels(trials[0].width)

    def look(self, step: int, wanted: Collection[str]) -> dict[str, torch.Tensor]:
        """Return by name what is wanted of a step, each (K, ...)."""
        found: dict[str, torch.Tensor] = {}
        if self._order is None:
            return found
        horizon = self._trials[0].horizon
        if "extracted" in wanted:
            found["extracted"] = self._extracted()
        if "ipr" in wanted and step in inside_steps(horizon):
            found |= {"ipr": self.unit_ipr(), "ipr_no_constant": self.unit_ipr(constant=False)}
        if "pruning" in wanted and step == horizon:
            found["pruning"] = self._pruning()
        return found

    def seen(self, found: Mapping[str, NDArray[np.float64]], norms: Mapping[str, float]) -> Seen:
        """Put what was found of one network, on the host, into words."""
        curves = found.get("pruning")
        columns = {} if curves is None else {s: self._columns(curve) for s, curve in zip(SERIES, curves, strict=True)}
        return Seen(
            norms=norms,
            extracted=float(found["extracted"]) if "extracted" in found else None,
            unit_ipr=found.get("ipr"),
            unit_ipr_no_constant=found.get("ipr_no_constant"),
            pruning=columns or None,
        )

    def _columns(self, curve: NDArray[np.float64]) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
        return {"index": self._levels} | {name: curve[:, i] for i, name in enumerate(PRUNING_QUANTITIES)}

    def unit_ipr(self, *, constant: bool = True) -> torch.Tensor:
        """Return the IPR of each neuron (K, N): the mean over U, V and W along the tokens in their order."""
        return batched_ipr(self._in_order(), constant=constant).mean(dim=1)

    @property
    def periodic(self) -> bool:
        """Whether the task's tokens have a cyclic order."""
        return self._order is not None

    def _in_order(self) -> torch.Tensor:
        assert self._order is not None
        return self._networks.parts().index_select(2, self._order).transpose(2, 3)  # (K, 3, N, n)

    def _extracted(self) -> torch.Tensor:
        """Return the test accuracy (K,) with each neuron's main frequency alone."""
        assert self._order is not None
        projected = batched_projection(self._in_order()).transpose(2, 3).float()
        parts = self._networks.parts().index_copy(2, self._order, projected)
        start = self._networks.n_train
        return (self._networks.answers(parts, start) == self._truth[:, start:]).double().mean(dim=1)

    def _pruning(self) -> torch.Tensor:
        """Return pruning curves (K, 3, L, 7) over the levels, by series and quantity.

        Of as many networks at once as have the units of all examples, twice, in what a training step takes.
        """
        total, n_train = len(self._trials), self._networks.n_train
        at_once = max(1, total * n_train // (2 * self._truth.shape[1]))
        lowest = self.unit_ipr().nan_to_num(nan=-1.0).argsort(dim=1, stable=True)  # those of zero weights first
        drawn = np.stack([random_order(trial.seed, trial.width) for trial in self._trials])
        orders = (lowest, lowest.flip(1), torch.from_numpy(drawn).to(lowest.device))
        pieces = []
        for first in range(0, total, at_once):
            some = slice(first, min(total, first + at_once))
            units = self._networks.units(some)
            pieces.append(torch.stack([self._curve(units, order[some], some) for order in orders], dim=1))
        return torch.cat(pieces)

    def _curve(self, units: torch.Tensor, order: torch.Tensor, some: slice) -> torch.Tensor:
        """Return one series of some networks (k, L, 7): scores are added up from the last neuron to be silenced."""
        readout = self._networks.parts()[some, 2]  # (k, C, N)
        by_turn = order[:, None, :]
        units = units.gather(2, by_turn.expand_as(units))
        readout = readout.gather(2, by_turn.expand_as(readout)).transpose(1, 2)  # (k, N, C)
        scores = units.new_zeros(*units.shape[:2], readout.shape[2])
        rows, end = [], units.shape[2]
        for level in reversed(self._levels.tolist()):
            if level < end:
                scores.baddbmm_(units[:, :, level:end], readout[:, level:end])
            predicted = scores.argmax(dim=2) if level < units.shape[2] else scores.new_zeros(scores.shape[:2]).long()
            rows.append(self._measured(predicted, self._networks.losses(scores, some), some))
            end = level
        return torch.stack(rows[::-1], dim=1)

    def _measured(self, predicted: torch.Tensor, losses: torch.Tensor, some: slice) -> torch.Tensor:
        """Return the quantities (k, 7) of answers and losses (k, M), in the order of ``PRUNING_QUANTITIES``."""
        n, truth, targets = self._networks.n_train, self._truth[some], self._networks.targets[some]
        as_given, right = predicted == targets, predicted == truth
        trained_right, wrong = right[:, :n], targets[:, :n] != truth[:, :n]
        everyone = torch.ones_like(wrong)
        shares = {
            "train_accuracy": _share(as_given[:, :n], everyone),
            "test_accuracy": right[:, n:].double().mean(dim=1),
            "clean_accuracy": _share(trained_right, ~wrong),
            "memorized_accuracy": _share(as_given[:, :n], wrong),
            "recovered_accuracy": _share(trained_right, wrong),
            "train_loss": losses[:, :n].mean(dim=1, dtype=torch.float64),
            "test_loss": losses[:, n:].mean(dim=1, dtype=torch.float64),
        }
        return torch.stack([shares[name] for name in PRUNING_QUANTITIES], dim=1)


def _share(hits: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """Return the share of hits (k,) among some examples (k, n); NaN among none."""
    return (hits & among).sum(dim=1).double() / among.sum(dim=1)


def downloaded(
    classes: torch.Tensor, numbers: Mapping[str, torch.Tensor]
) -> list[tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]]:
    """Bring classes (K, M) and float64 numbers (K, ...) to the host by one copy; return both, network by network."""
    shapes = {name: part.shape[1:] for name, part in numbers.items()}
    flat = torch.cat([part.reshape(len(classes), -1) for part in numbers.values()], dim=1)
    rows = torch.cat([flat.view(torch.int32), classes.int()], dim=1).cpu().numpy()
    width = 2 * flat.shape[1]  # a number of 64 bits is two of 32
    ends = np.cumsum([shape.numel() for shape in shapes.values()])[:-1]
    read = []
    for bits, row in zip(np.ascontiguousarray(rows[:, :width]), rows[:, width:], strict=True):
        parts = zip(shapes.items(), np.split(bits.view(np.float64), ends), strict=True)
        read.append((row.astype(np.int64), {name: part.reshape(shape) for (name, shape), part in parts}))
    return read
