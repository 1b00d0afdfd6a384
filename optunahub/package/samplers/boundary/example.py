"""Find where a training diverges, and where it learns too slowly, with 60 trials."""

import math

import optuna

import optunahub


def objective(trial: optuna.Trial) -> float:
    """Name the outcome of a made-up training by its learning rate and weight decay."""
    rate = trial.suggest_float("learning_rate", 1e-4, 1e0, log=True)
    decay = trial.suggest_float("weight_decay", 0.0, 1.0)
    speed = math.log10(rate) + 2 - decay
    trial.set_user_attr("label", "diverges" if speed > 0.8 else "slow" if speed < -1 else "learns")
    return 0.0  # a value is not used


if __name__ == "__main__":
    module = optunahub.load_module("samplers/boundary")
    study = optuna.create_study(sampler=module.BoundarySampler(label="label", seed=0))
    study.optimize(objective, n_trials=60)
    print(study.sampler.filled_map(study))
