"""A function of Ray Tune, as it is: a linear classifier of digits by stochastic gradients."""

from ray import tune
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss


def objective(config):
    """Train for 20 passes over 300 digits and report the loss and the accuracy after each."""
    x, y = load_digits(return_X_y=True)
    model = SGDClassifier(
        loss="log_loss",
        alpha=config["alpha"],
        learning_rate="constant",
        eta0=config["eta"],
        random_state=config["seed"],
    )
    for _ in range(20):
        model.partial_fit(x[:300] / 16, y[:300], classes=range(10))
        found = model.predict_proba(x[300:] / 16)
        tune.report({"test_loss": log_loss(y[300:], found), "test_accuracy": (found.argmax(1) == y[300:]).mean()})


if __name__ == "__main__":
    space = {"alpha": tune.loguniform(1e-5, 1), "eta": tune.loguniform(1e-3, 10), "seed": 0}
    print(tune.Tuner(objective, param_space=space).fit())
