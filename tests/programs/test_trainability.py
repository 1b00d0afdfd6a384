"""The border of trainability: a network, data, loss and optimizer of a user's own, in a study that ships."""

from pathlib import Path

import numpy as np

from phasemap.api import run
from phasemap.study.file import load_study
from phasemap.study.trials import expand
from phasemap.tasks.examples import draw_examples
from phasemap.tasks.load import dataset_of
from phasemap.training.networks import build_network

STUDY = Path(__file__).parents[2] / "studies" / "beyond" / "trainability.yaml"
SMALL = ["axes.learning_rate.num=4", "axes.last_lr.num=4", "training.steps=60"]


def losses(hidden, out, x, targets, rates, steps):
    """Return the loss after each step of gradient descent, by the formula of its gradient."""
    found = []
    for _ in range(steps + 1):
        units = np.tanh(x @ hidden.T / np.sqrt(x.shape[1]))
        wrong = units @ out / len(out) - targets
        found.append(np.mean(wrong**2))
        slope = 2 * wrong / len(x) / len(out)
        by_hidden = (slope[:, None] * out * (1 - units**2)).T @ x / np.sqrt(x.shape[1])
        hidden, out = hidden - rates[0] * by_hidden, out - rates[1] * slope @ units
    return found


def test_a_small_map_has_both_sides_and_its_losses_are_those_of_gradient_descent(tmp_path):
    study = load_study(STUDY, SMALL)
    found = run(study, storage=tmp_path, in_process=True, quiet=True)
    table = found.trials.set_index("trial_id")
    assert set(table["status"]) == {"ok", "diverged"}
    diverged = (table["status"] == "diverged").groupby(table["last_lr"]).mean()
    assert diverged.iloc[0] == 0
    assert diverged.is_monotonic_increasing

    trial = min(expand(study), key=lambda one: (one.settings["last_lr"], one.settings["learning_rate"]))
    data = dataset_of(trial)
    seen = draw_examples(data, seed=trial.seed, data_fraction=trial.data_fraction, corruption=0.0)
    assert len(seen.train) == 272
    first = {
        name: value.detach().numpy().astype(float) for name, value in build_network(trial, data).named_parameters()
    }
    hidden, out = (first[f"own.{layer}.weight"] for layer in ("hidden", "out"))
    rates = trial.settings["learning_rate"], trial.settings["last_lr"]
    plain = losses(hidden, out[0], data.inputs[seen.train].astype(float), 2 * seen.given - 1, rates, 60)
    curve = found.curves[found.curves["trial_id"] == trial.trial_id]
    np.testing.assert_allclose(curve["train_loss"], np.array(plain)[curve["step"]], rtol=2e-3)
    assert curve["train_loss"].iloc[-1] < plain[0]
