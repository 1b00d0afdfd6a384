"""Sweeps made with the real libraries, some trials pruned, failed and running: MANY of them where tests are slow."""

import contextlib
import math

import optuna

FEW, MANY = 50, 200  # trials
RULE = """
labels:
  good: QUANTITY >= 0.5
  bad: otherwise
frontiers: {edge: QUANTITY = 0.5}
"""


def write_rule(folder, quantity):
    path = folder / "rule.yaml"
    path.write_text(RULE.replace("QUANTITY", quantity))
    return path


def accuracy(lr, wd, steps=6):
    """A made-up curve: it learns where the rate is neither small nor large."""
    best = 1 / (1 + (math.log10(lr) + 2.5) ** 4 + wd)
    return [best * (1 - math.exp(-step)) for step in range(1, steps + 1)]


def objective(trial):
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    wd = trial.suggest_float("wd", 0.0, 1.0)
    layers = trial.suggest_int("layers", 1, 3)
    trial.suggest_categorical("opt", ["sgd", "adam", None])
    trial.set_user_attr("size", 10.5 * layers)
    trial.set_user_attr("note", "text")
    curve = accuracy(lr, wd)
    for step, value in enumerate(curve):
        trial.report(value, step)
        if step == 2 and wd > 0.9:
            raise optuna.TrialPruned
    if layers == 3 and lr > 1e-2:
        raise ValueError("diverged")
    return curve[-1]


def optimize(storage, name="mine", n_trials=FEW, seed=0):
    """Run a real study into a storage; one trial is left running and one waiting."""
    with contextlib.suppress(Exception):
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    sampler = optuna.samplers.RandomSampler(seed)
    study = optuna.create_study(
        study_name=name, storage=storage, direction="maximize", sampler=sampler, load_if_exists=True
    )
    study.optimize(objective, n_trials=n_trials, catch=ValueError)
    return study
