"""A network in JAX, trained by Optax, on scikit-learn's digits."""

import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits


def scores(params, x):
    """Return the scores (B, 10) of digits (B, 64)."""
    return jax.nn.relu(x @ params["first"]) @ params["second"]


def loss(params, x, y):
    """Return the mean cross entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(scores(params, x), y).mean()


def train(
    *,
    learning_rate: float = 1e-2,
    initial_scale: float = 0.1,
    width: int = 64,
    steps: int = 100,
):
    """Train one network on all examples at once."""
    x, y = map(jnp.asarray, load_digits(return_X_y=True))
    x = x / 16
    first, second = jax.random.split(jax.random.key(0))
    params = {
        "first": initial_scale * jax.random.normal(first, (64, width)),
        "second": initial_scale * jax.random.normal(second, (width, 10)),
    }
    optimizer = optax.sgd(learning_rate, momentum=0.9)
    state = optimizer.init(params)

    @jax.jit
    def update(params, state):
        value, slopes = jax.value_and_grad(loss)(params, x[:600], y[:600])
        changes, state = optimizer.update(slopes, state)
        return value, optax.apply_updates(params, changes), state

    for step in range(1, steps + 1):
        value, params, state = update(params, state)
        if step % 5 == 0:
            accuracy = (scores(params, x[600:]).argmax(1) == y[600:]).mean()
            print(step, value, accuracy)


if __name__ == "__main__":
    train()
