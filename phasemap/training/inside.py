"""Looking inside networks while they train: what a study's ``record`` asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phasemap.representations.ipr import (
    Floats,
    extracted_weights,
    ipr,
    mean_ipr,
    neuron_ipr,
    random_ipr,
    spearman,
    spectrum_shares,
    token_order,
)
from phasemap.representations.pruning import needed_neurons, pruned_scores, pruning_levels, pruning_orders
from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.losses import evaluation, loss_of
from phasemap.training.networks import MLP, build_network, load_weights, named_weights
from phasemap.training.recording import InsideRecord, measure, record_steps

EVERY = 4  # of the records: the neurons are looked at at about 5 steps a decade
N_EXAMPLES = 6  # whose whole score vectors are kept
KEPT_ACCURACY = 0.9  # the test accuracy that the needed neurons keep
PRUNING_QUANTITIES = (
    "train_accuracy", "test_accuracy", "clean_accuracy", "memorized_accuracy", "recovered_accuracy",
    "train_loss", "test_loss",
)  # fmt: skip

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a device has seen inside one network, so that its weights need not come to the host; None: not seen."""

    norms: Mapping[str, float] | None = None
    extracted: float | None = None  # accuracy
    unit_ipr: Floats | None = None
    unit_ipr_no_constant: Floats | None = None
    pruning: Mapping[str, Mapping[str, NDArray[Any]]] | None = None  # columns by series


@dataclass(slots=True, kw_only=True)
class Inside:
    """The records from inside one network, as they grow."""

    trial: NetworkTrial
    examples: Examples
    wanted: frozenset[str]
    records: list[InsideRecord] = field(default_factory=list)

    def look(self, step: int, weights: Weights, seen: Seen = Seen()) -> None:
        """Record what is wanted of a recorded step; at the horizon, what is looked at once."""
        if "norms" in self.wanted:
            self.records += _norms(step, weights if seen.norms is None else seen.norms)
        if "extracted" in self.wanted:
            share = extracted_accuracy(self.trial, self.examples, weights) if seen.extracted is None else seen.extracted
            self._add("extracted", step, "extracted_accuracy", **_single(share))
        if "ipr" in self.wanted and step in inside_steps(self.trial.horizon):
            self._add("ipr", step, "", **_ipr_columns(self.trial, weights, seen))
        if step == self.trial.horizon:
            self._look_at_the_end(step, weights, seen)

    def _look_at_the_end(self, step: int, weights: Weights, seen: Seen) -> None:
        if "neurons" in self.wanted:
            network = build_network(self.trial, self.examples.dataset)
            start = named_weights({name: part.detach() for name, part in network.named_parameters()})
            self.records += _neurons(self.trial, start, weights)
        if "pruning" in self.wanted and seen.pruning is not None:
            for series, columns in seen.pruning.items():
                self._add("pruning", step, series, **columns)
        elif "pruning" in self.wanted:
            self.records += _pruning(self.trial, self.examples, weights)
        if "logits" in self.wanted:
            self.records += _logits(self.trial, self.examples, weights)

    def finals(self, weights: Weights, seen: Seen = Seen()) -> dict[str, float]:
        """Return the numbers that the table of trials shows, NaN where undefined or not asked for.

        The mean IPR is there wherever it has a meaning.
        """
        values = unit_ipr(self.trial, weights) if seen.unit_ipr is None else seen.unit_ipr
        extracted = [r.columns["value"][0] for r in self.records if r.record == "extracted"]
        needed, memorized = self._needed()
        return {
            "mean_ipr": math.nan if values is None else mean_ipr(values),
            "gain_ipr_correlation": gain_ipr_correlation(values, weights),
            "extracted_accuracy": float(extracted[-1]) if extracted else math.nan,
            "needed_neurons": needed,
            "pruned_memorized_accuracy": memorized,
        }

    def _needed(self) -> tuple[float, float]:
        """Return how many neurons keep the test accuracy, and the memorized accuracy with these alone."""
        curves = [r.columns for r in self.records if r.record == "pruning" and r.series == "lowest_first"]
        if not curves:
            return math.nan, math.nan
        levels = curves[0]["index"]
        needed = needed_neurons(levels, curves[0]["test_accuracy"], KEPT_ACCURACY)
        if math.isnan(needed):
            return math.nan, math.nan
        return needed, float(curves[0]["memorized_accuracy"][levels == self.trial.width - needed][0])

    def _add(self, record: str, step: int, series: str, **columns: NDArray[Any]) -> None:
        self.records.append(InsideRecord(record=record, step=step, series=series, columns=columns))


OVER_STEPS = ("ipr", "norms", "extracted")
"""The records that are made while a network trains; the others are made at its end."""


def looked_at(record: str, horizon: int) -> frozenset[int]:
    """Return the steps at which one of OVER_STEPS is recorded."""
    return inside_steps(horizon) if record == "ipr" else frozenset(record_steps(horizon))


def inside_steps(horizon: int) -> frozenset[int]:
    """Return the recorded steps at which neurons are looked at: the first, about 5 a decade, and the last."""
    return frozenset({*record_steps(horizon)[::EVERY], horizon})


def unit_ipr(trial: NetworkTrial, weights: Weights, *, constant: bool = True) -> Floats | None:
    """Return the IPR of each neuron of a two-layer MLP (N,) or of each dimension of a Transformer's embedding (d,).

    None where periodicity has no meaning: deeper MLPs, networks of a user, and tasks whose tokens have no cyclic order.
    """
    order = token_order(trial.task, trial.modulus)
    if order is None or trial.model not in ("mlp", "transformer"):  # a user's network
        return None
    if trial.model == "transformer":
        return ipr(_numbers(weights["E"]).T[:, order], constant=constant)
    return neuron_ipr(*_two_layers(weights), order, constant=constant) if trial.depth == 2 else None


def _known_ipr(trial: NetworkTrial, weights: Weights, *, constant: bool = True) -> Floats:
    """Return the IPR of a network of which a study may record it."""
    values = unit_ipr(trial, weights, constant=constant)
    assert values is not None
    return values


def _order(trial: NetworkTrial) -> NDArray[np.int64]:
    """Return the cyclic order of the tokens of a task that has one."""
    order = token_order(trial.task, trial.modulus)
    assert order is not None
    return order


def gain_ipr_correlation(values: Floats | None, weights: Weights) -> float:
    """Return Spearman's correlation of the norm layer's gains with the IPR of the neurons (N,); NaN without both."""
    if values is None or "gain.0" not in weights:
        return math.nan
    known = np.isfinite(values)
    return spearman(values[known], _numbers(weights["gain.0"])[known])


def extracted_accuracy(trial: NetworkTrial, examples: Examples, weights: Weights) -> float:
    """Return the test accuracy of a two-layer MLP of which only each neuron's main frequency is kept."""
    order = _order(trial)
    parts = zip(("U", "V", "W"), extracted_weights(*_two_layers(weights), order), strict=True)
    projected = {name: torch.from_numpy(part).float() for name, part in parts}
    network = load_weights(trial, examples.dataset, {**_on_cpu(weights), **projected})
    inputs = torch.from_numpy(examples.dataset.inputs[examples.order])
    with torch.no_grad():
        answers = network(inputs, None, len(examples.train))[len(examples.train) :].argmax(dim=1).numpy()
    return float((answers == examples.dataset.labels[examples.test]).mean())


def _ipr_columns(trial: NetworkTrial, weights: Weights, seen: Seen) -> dict[str, NDArray[Any]]:
    values, without = seen.unit_ipr, seen.unit_ipr_no_constant
    if values is None or without is None:
        values, without = _known_ipr(trial, weights), _known_ipr(trial, weights, constant=False)
    return {
        "index": np.arange(len(values)),
        "ipr": values,
        "ipr_no_constant": without,
        "ipr_relative": values / random_ipr(len(_order(trial))),
    }


def _norms(step: int, parts: Weights | Mapping[str, float]) -> Iterator[InsideRecord]:
    for name, part in parts.items():
        norm = part if isinstance(part, float) else float(part.double().norm())
        yield InsideRecord(record="norms", step=step, series=name, columns=_single(norm))


def _single(value: float) -> dict[str, NDArray[Any]]:
    """Return the columns of a record that is one number."""
    return {"index": np.zeros(1, dtype=np.int64), "value": np.array([value])}


def _neurons(trial: NetworkTrial, start: Weights, end: Weights) -> Iterator[InsideRecord]:
    """Describe all neurons before and after training, and the weights of the two most different ones."""
    final, order = _known_ipr(trial, end), _order(trial)
    alive = np.isfinite(final).any()
    chosen = {"highest": int(np.nanargmax(final)), "lowest": int(np.nanargmin(final))} if alive else {}
    for step, weights in ((0, start), (trial.horizon, end)):
        values = _known_ipr(trial, weights)
        u, v, w = _two_layers(weights)
        columns = {"index": np.arange(len(values)), "ipr": values}
        columns |= {f"norm_{n}": np.linalg.norm(part, axis=1) for n, part in (("u", u), ("v", v), ("w", w.T))}
        if "gain.0" in weights:
            columns["gain"] = _numbers(weights["gain.0"])
        yield InsideRecord(record="neurons", step=step, series="all", columns=columns)
        for series, neuron in chosen.items():
            along = {"u": u[neuron, order], "v": v[neuron, order], "w": w[order, neuron]}
            yield InsideRecord(record="neurons", step=step, series=series, columns=_neuron_columns(neuron, along))


def _neuron_columns(neuron: int, along: Mapping[str, Floats]) -> dict[str, NDArray[Any]]:
    """Put one neuron's weights along the tokens (p,) and their spectra (p // 2 + 1,) side by side."""
    length = len(along["u"])
    columns: dict[str, NDArray[Any]] = {"index": np.arange(length), "neuron": np.full(length, neuron)}
    for name, vector in along.items():
        power = np.full(length, np.nan)
        shares = spectrum_shares(vector)
        power[: len(shares)] = shares
        columns |= {f"weight_{name}": vector, f"power_{name}": power}
    return columns


@torch.no_grad()
def _pruning(trial: NetworkTrial, examples: Examples, weights: Weights) -> Iterator[InsideRecord]:
    """Silence the neurons in three orders, and measure."""
    ranks = _known_ipr(trial, weights)
    network, inputs, targets = _network_and_examples(trial, examples, weights)
    units, levels = network.units(inputs, None, len(examples.train)), pruning_levels(trial.width)
    for series, order in pruning_orders(ranks, trial.seed).items():
        rows = {
            level: _measured(trial, examples, scores, targets)
            for level, scores in pruned_scores(units, network.W, order, levels)
        }
        columns = {name: np.array([rows[level][name] for level in levels]) for name in PRUNING_QUANTITIES}
        yield InsideRecord(record="pruning", step=trial.horizon, series=series, columns={"index": levels, **columns})


def _measured(trial: NetworkTrial, examples: Examples, scores: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    losses = loss_of(trial)(scores, targets)
    predicted = torch.from_numpy(scores.numpy().argmax(axis=1))  # three to four times as fast as torch's
    return measure(examples, evaluation(predicted, losses, len(examples.train), {}))


@torch.no_grad()
def _logits(trial: NetworkTrial, examples: Examples, weights: Weights) -> Iterator[InsideRecord]:
    """Compare the scores of the true and of the given label on the wrongly labelled training examples."""
    network, inputs, _ = _network_and_examples(trial, examples, weights)
    rows = np.flatnonzero(examples.wrong)
    scores = network(inputs, None, len(examples.train))[torch.from_numpy(rows)].numpy()  # (n, C)
    true, given = examples.dataset.labels[examples.train[rows]], examples.given[rows]
    places = np.arange(len(rows))
    others = scores.copy()
    others[places, true] = others[places, given] = -np.inf
    columns = {
        "index": rows,
        "logit_true": scores[places, true],
        "logit_given": scores[places, given],
        "logit_other": others.max(axis=1) if others.shape[1] > 2 else np.full(len(rows), np.nan),
        "true_class": true,
        "given_class": given,
    }
    yield InsideRecord(record="logits", step=trial.horizon, series="corrupted", columns=columns)
    for number in range(min(N_EXAMPLES, len(rows))):
        whole = {
            "index": np.arange(scores.shape[1]),
            "logit": scores[number],
            "true_class": np.full(scores.shape[1], true[number]),
            "given_class": np.full(scores.shape[1], given[number]),
        }
        yield InsideRecord(record="logits", step=trial.horizon, series=f"example-{number}", columns=whole)


def _network_and_examples(
    trial: NetworkTrial, examples: Examples, weights: Weights
) -> tuple[MLP, torch.Tensor, torch.Tensor]:
    """Return the network, and all examples with their targets, training examples first."""
    data = examples.dataset
    network: Any = load_weights(trial, data, _on_cpu(weights))
    inputs = torch.from_numpy(data.inputs[examples.order])
    targets = torch.from_numpy(examples.targets)
    return network, inputs, targets


def _two_layers(weights: Weights) -> tuple[Floats, Floats, Floats]:
    return _numbers(weights["U"]), _numbers(weights["V"]), _numbers(weights["W"])


def _numbers(part: torch.Tensor) -> Floats:
    return part.double().cpu().numpy()


def _on_cpu(weights: Weights) -> dict[str, torch.Tensor]:
    return {name: part.cpu() for name, part in weights.items()}
