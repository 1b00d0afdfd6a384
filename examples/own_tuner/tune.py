"""A Tuner of one's own: a small forest for tumours, over the depth and the number of its trees."""

from pathlib import Path

from ray import tune
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

import phasemap as pm


def objective(config):
    """Report the accuracy on tumours that were not trained on."""
    x, y = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(config["trees"], max_depth=config["depth"], random_state=config["seed"])
    model.fit(x[:100], y[:100])
    tune.report({"test_accuracy": model.score(x[100:], y[100:])})


if __name__ == "__main__":
    space = {
        "depth": tune.grid_search([1, 2, 3, 4]),
        "trees": tune.grid_search([1, 3, 10]),
        "seed": 0,
    }
    labels = {"good": "test_accuracy >= 0.92", "fair": "test_accuracy >= 0.88", "poor": "otherwise"}
    run = pm.tune_callback("own_tuner", ["depth", "trees"], phases={"labels": labels})
    config = tune.RunConfig(callbacks=[run], storage_path=str(Path("ray_results").absolute()), verbose=1)
    tune_config = tune.TuneConfig(reuse_actors=True)
    tune.Tuner(objective, param_space=space, tune_config=tune_config, run_config=config).fit()
