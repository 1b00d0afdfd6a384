"""Both kernels against a plain one-network training: the same losses at first, the same phase at the end."""

import functools
import itertools

import numpy as np
import pytest
import torch
from conftest import CPU, changed, trial_of
from oracle import Oracle, drawn_on_device

from phasemap.phases.curves import Curves
from phasemap.phases.labels import subphases
from phasemap.study.names import QUANTITIES
from phasemap.study.spec import PhaseRule
from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.explicit import ExplicitKernel, block_rows
from phasemap.training.explicit_fused import FusedKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.population import steady_arithmetic, train_pack

KINDS = itertools.product(("square", "relu"), ("mse", "cross_entropy"), (0.0, 0.2))
SETTINGS = [
    *(
        (*kind, corruption, weight_decay, seed)
        for kind in KINDS
        for corruption, weight_decay, seed in (
            (0.1, 5.0 if kind[:2] == ("relu", "mse") else 3.0, 0),
            (0.6, 1.0, 1),
            (0.1, 20.0 if kind[0] == "square" else 12.0, 2),
        )
    ),
    ("square", "mse", 0.0, 0.15, 7.0, 5),  # full inversion
    ("square", "mse", 0.2, 0.0, 17.0, 3),  # forgetting
]
TRIALS = [
    trial_of(
        trial_id="-".join(map(str, setting)),
        modulus=23, width=96, steps=400, data_fraction=0.8,
        activation=setting[0], loss=setting[1], dropout=setting[2],
        corruption=setting[3], weight_decay=setting[4], seed=setting[5],
    )
    for setting in SETTINGS
]  # fmt: skip


SMALL = {"modulus": 11, "width": 24, "steps": 60, "data_fraction": 0.7, "corruption": 0.2, "activation": "relu"}
DEEP = {"model": "mlp", "learning_rate": 0.003, "weight_decay": 1.0}
ATTENTIVE = {"model": "transformer", "depth": 1, "heads": 4, "learning_rate": 0.003, "weight_decay": 0.5}
OTHERS = {
    "3 layers": {**DEEP, "depth": 3},
    "3 lazy layers with dropout": {**DEEP, "depth": 3, "init": "lazy", "dropout": 0.2},
    "4 layers with dropout": {**DEEP, "depth": 4, "dropout": 0.2, "learning_rate": 0.001},
    "adam": {"optimizer": "adam", "weight_decay": 0.001},
    "adam on 3 lazy layers": {"optimizer": "adam", "depth": 3, "init": "lazy", "weight_decay": 0.001,
                              "learning_rate": 0.003},
    "sgd": {"optimizer": "sgd", "weight_decay": 0.01, "learning_rate": 3.0},
    "sgd on 3 layers with dropout": {"optimizer": "sgd", "depth": 3, "dropout": 0.2, "learning_rate": 0.3},
    "BatchNorm": {"norm": "batch", "weight_decay": 1.0, "activation": "square"},
    "BatchNorm on 3 layers with dropout": {**DEEP, "depth": 3, "norm": "batch", "dropout": 0.2},
    "BatchNorm in minibatches": {"norm": "batch", "batch_size": 32, "optimizer": "adam", "learning_rate": 0.005},
    "LayerNorm": {"norm": "layer", "weight_decay": 1.0, "activation": "square"},
    "LayerNorm, cross entropy": {"norm": "layer", "loss": "cross_entropy", "depth": 3, "learning_rate": 0.003},
    "minibatches over many epochs": {"batch_size": 32, "steps": 100},
    "minibatches, scaled, with dropout": {"batch_size": 16, "scale_to_batch": 32, "dropout": 0.2},
    "sgd in minibatches": {"batch_size": 16, "optimizer": "sgd", "learning_rate": 1.0},
    "images in 2 layers": {"task": "images", "data_fraction": 0.2, "loss": "cross_entropy", "learning_rate": 0.003},
    "images in 2 layers with dropout, square": {"task": "images", "data_fraction": 0.2, "dropout": 0.3,
                                                "activation": "square", "learning_rate": 0.003, "weight_decay": 1.0},
    "images in 2 layers, several blocks": {"task": "images", "data_fraction": 0.9, "loss": "cross_entropy",
                                           "width": 120, "dropout": 0.3, "learning_rate": 0.003},
    "images in 4 layers of minibatches": {**DEEP, "task": "images", "data_fraction": 0.2, "depth": 4, "batch_size": 64,
                                          "dropout": 0.2, "corruption_kind": "pair_flip"},
    "images with BatchNorm, lazy": {**DEEP, "task": "images", "data_fraction": 0.1, "depth": 3, "norm": "batch",
                                    "init": "lazy", "corruption_kind": "instance"},
    "transformer": ATTENTIVE,
    "transformer of 2 blocks with dropout": {**ATTENTIVE, "depth": 2, "dropout": 0.2},
    "tied transformer of 1 head": {**ATTENTIVE, "heads": 1, "weight_tying": True, "mlp_factor": 2},
    "transformer in minibatches": {**ATTENTIVE, "batch_size": 32, "activation": "square", "loss": "cross_entropy"},
}  # fmt: skip


def phase(steps, values, corruption, n_corrupted):
    """Label a trial by both rules."""
    curves = Curves(
        steps=np.asarray(steps),
        values={name: np.asarray(values[name], dtype=float)[None, :] for name in QUANTITIES},
        facts={"corruption": np.asarray([corruption]), "n_corrupted": np.asarray([n_corrupted])},
    )
    return [str(subphases(curves, PhaseRule(rule=rule))[0]) for rule in ("memorized_fraction", "doshi2024")]


@functools.cache
def oracle(trial, on_device):
    with steady_arithmetic():
        made = drawn_on_device(Oracle(trial)) if on_device else Oracle(trial)
        return made.curves(), made.examples.n_corrupted


# Every two of activation, loss and dropout together; the others only where what trains or labels has changed.
OFTEN = [TRIALS[3 * place] for place in (0, 3, 5, 6)] + TRIALS[-2:]


@functools.cache
def kernel_results(kernel, often):
    """Train all trials that share a shape, of those that are often trained or of the others, as one pack."""
    results = {}
    trials = [trial for trial in TRIALS if (trial in OFTEN) == often]
    key = lambda trial: (trial.activation, trial.loss)  # noqa: E731
    for _, group in itertools.groupby(sorted(trials, key=key), key):
        for result in train_pack(list(group), device=CPU, kernel=kernel):
            results[result.trial.trial_id] = result
    return results


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (OFTEN, {"coexistence", "full_inversion", "forgetting"}),
        pytest.param(
            TRIALS,
            {"coexistence", "full_inversion", "memorization", "forgetting", "confusion"},
            marks=pytest.mark.slow(group="kernels"),
        ),
    ],
    ids=["often", "all"],
)
def test_the_trials_are_of_several_phases(trials, expected):
    assert len(TRIALS) >= 20
    seen = set()
    for trial in trials:
        curves, n_corrupted = oracle(trial, False)
        columns = {name: [row[name] for row in curves.values()] for name in QUANTITIES}
        seen.add(phase(list(curves), columns, trial.corruption, n_corrupted)[0])
    assert seen >= expected


def kernels_and_trials():
    for kernel, trial in itertools.product((ExplicitKernel, FusedKernel, FunctionalKernel, BatchedKernel), TRIALS):
        marks = [] if trial in OFTEN else [pytest.mark.slow(group="kernels")]
        yield pytest.param(kernel, trial, id=f"{kernel.name}-{trial.trial_id}", marks=marks)


@pytest.mark.parametrize(("kernel", "trial"), [*kernels_and_trials()])
def test_a_population_trains_like_one_plain_network(kernel, trial):
    result = kernel_results(kernel, trial in OFTEN)[trial.trial_id]
    curves, n_corrupted = oracle(trial, kernel is BatchedKernel and trial.dropout > 0)
    assert result.steps == tuple(curves)
    assert result.facts["n_corrupted"] == n_corrupted
    for name in ("train_loss", "test_loss"):
        early = [i for i, step in enumerate(result.steps) if step <= 50]
        expected = [curves[result.steps[i]][name] for i in early]
        assert [result.curves[name][i] for i in early] == pytest.approx(expected, rel=1e-3)
    columns = {name: [row[name] for row in curves.values()] for name in QUANTITIES}
    assert phase(result.steps, result.curves, trial.corruption, n_corrupted) == phase(
        list(curves), columns, trial.corruption, n_corrupted
    )


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_network_trains_like_one_plain_network(name):
    trial = trial_of(trial_id=name, **SMALL | OTHERS[name])
    neighbour = changed(trial, trial_id="neighbour", seed=7, weight_decay=0.0, learning_rate=1e-3)
    result, _ = train_pack([trial, neighbour], device=CPU)
    curves, n_corrupted = oracle(trial, False)
    assert result.steps == tuple(curves)
    assert result.facts["n_corrupted"] == n_corrupted
    for quantity in ("train_loss", "test_loss"):
        expected = [curves[step][quantity] for step in result.steps if step <= 50]
        assert result.curves[quantity][: len(expected)] == pytest.approx(expected, rel=1e-3)
    start, end = (curves[step]["train_loss"] for step in (1, trial.horizon))
    assert end != pytest.approx(start, rel=0.02)  # it did move


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_networks_of_several_blocks_and_unusual_settings_train_like_one_plain_network(dropout):
    trial = trial_of(
        trial_id=f"blocks-{dropout}", modulus=29, width=900, steps=12, data_fraction=0.7, corruption=0.3,
        dropout=dropout, learning_rate=0.03, weight_decay=2.0, betas=(0.8, 0.9), eps=1e-3, init_scale=1.5,
    )  # fmt: skip
    curves, n_corrupted = oracle(trial, False)
    for kernel in (ExplicitKernel, FusedKernel, FunctionalKernel):
        (result,) = train_pack([trial], device=CPU, kernel=kernel)
        assert result.facts["n_train"] > 2 * block_rows(900, 29)
        assert result.facts["n_corrupted"] == n_corrupted
        for name in ("train_loss", "test_loss"):
            expected = [curves[step][name] for step in result.steps]
            assert result.curves[name] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kernel", [ExplicitKernel, FusedKernel])
@pytest.mark.parametrize(("activation", "loss"), [("square", "mse"), ("relu", "cross_entropy")])
def test_the_explicit_gradient_is_autograd_s(activation, loss, kernel):
    trial = trial_of(
        modulus=13, width=40, dropout=0.3, corruption=0.2, data_fraction=0.6, activation=activation, loss=loss
    )
    network = kernel([trial], [examples_of(trial)], CPU).groups[0]
    with torch.no_grad():
        network.train_step(1)
    plain = Oracle(trial)
    plain.step(1)
    u, v, w = (parameter.grad for parameter in plain.parameters)
    expected = torch.cat([u.t(), v.t(), w])
    assert torch.allclose(network.gradient, expected, rtol=1e-4, atol=1e-7)
