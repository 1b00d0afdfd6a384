"""Gradient-boosted trees of scikit-learn on tumours, over their depth and label noise."""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.utils import shuffle

import phasemap as pm


@pm.program(quantities={"test_accuracy": "accuracy"})
def train(
    trial: pm.TrialContext,
    *,
    depth: int = 3,
    corruption: float = 0.0,
    learning_rate: float = 0.3,
    trees: int = 60,
):
    """Train one ensemble and report its accuracies after each fifth tree."""
    x, y = shuffle(*load_breast_cancer(return_X_y=True), random_state=trial.seed)
    labels = trial.corrupt(y[:400], corruption)
    model = GradientBoostingClassifier(max_depth=depth, n_estimators=trees, learning_rate=learning_rate)
    model.fit(x[:400], labels.given)
    for number, found in enumerate(model.staged_predict(x), start=1):
        if number % 5 == 0:
            trial.report(number, **trial.score(labels, found[:400], found[400:], y[400:]))
