"""An objective of Optuna, as it is: a support vector machine for digits."""

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC


def objective(trial):
    """Return the accuracy in three-fold cross-validation."""
    x, y = load_digits(return_X_y=True)
    penalty = trial.suggest_float("penalty", 1e-3, 1e3, log=True)
    gamma = trial.suggest_float("gamma", 1e-4, 10, log=True)
    return cross_val_score(SVC(C=penalty, gamma=gamma), x[:600] / 16, y[:600], cv=3).mean()


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=30)
    print(study.best_params)
