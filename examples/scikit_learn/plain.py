"""Gradient-boosted trees of scikit-learn on tumours, over their depth and label noise."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.utils import shuffle


def train(
    *,
    depth: int = 3,
    corruption: float = 0.0,
    learning_rate: float = 0.3,
    trees: int = 60,
):
    """Train one ensemble and report its accuracies after each fifth tree."""
    x, y = shuffle(*load_breast_cancer(return_X_y=True), random_state=0)
    given = np.where(np.random.default_rng(0).random(400) < corruption, 1 - y[:400], y[:400])
    model = GradientBoostingClassifier(max_depth=depth, n_estimators=trees, learning_rate=learning_rate)
    model.fit(x[:400], given)
    for number, found in enumerate(model.staged_predict(x), start=1):
        if number % 5 == 0:
            print(number, (found[400:] == y[400:]).mean())


if __name__ == "__main__":
    train()
