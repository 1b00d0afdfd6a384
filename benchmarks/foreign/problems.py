"""Boosted trees and a made-up simulator, for ``foreign_search.py``."""

import math

import numpy as np
from sklearn.datasets import load_digits

import phasemap as pm


@pm.program(quantities={"test_accuracy": "accuracy"})
def trees(trial: pm.TrialContext, *, depth: int, noise: float, trees: int = 30, n_fitted: int = 400):
    """Fit boosted trees to odd and even digits with wrong labels."""
    from sklearn.ensemble import GradientBoostingClassifier

    x, y = load_digits(return_X_y=True)
    order = trial.rng("split").permutation(len(y))
    x, y = x[order], y[order] % 2
    labels = trial.corrupt(y[:n_fitted], noise)
    model = GradientBoostingClassifier(max_depth=depth, n_estimators=trees, learning_rate=0.1, max_features="sqrt")
    model.fit(x[:n_fitted], labels.given)
    both = zip(model.staged_predict(x[:n_fitted]), model.staged_predict(x[n_fitted:]), strict=True)
    for number, (fitted, found) in enumerate(both, start=1):
        if number % 3 == 0:
            trial.report(number, **trial.score(labels, fitted, found, y[n_fitted:]))


@pm.program(quantities={"prey": "number", "predators": "number", "swing": "number"})
def ecosystem(trial: pm.TrialContext, *, capacity: float, attack: float, years: int = 200):
    """Simulate prey and predators (Rosenzweig and MacArthur 1963) in noisy years; who falls below .001 is extinct.

    ``swing``: the standard deviation of the logarithm of the prey over the last 50 years.
    """
    random = trial.rng("years")
    prey, predators = random.uniform(0.5, 1.5, size=2)
    dt, per_year = 0.05, 20
    passed: list[float] = []
    for year in range(1, years + 1):
        growth = 1 + 0.02 * random.standard_normal()
        for _ in range(per_year):
            eaten = attack * prey * predators / (1 + 0.5 * attack * prey)
            prey += dt * (growth * prey * (1 - prey / capacity) - eaten)
            predators += dt * (0.5 * eaten - 0.3 * predators)
            prey, predators = (amount if amount > 0.001 else 0.0 for amount in (prey, predators))
        passed.append(math.log(max(prey, 0.001)))
        if year % 10 == 0:
            trial.report(year, prey=prey, predators=predators, swing=float(np.std(passed[-50:])))
