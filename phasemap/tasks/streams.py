"""Random streams that belong to a seed and a purpose, never to a pack, a host or another hyperparameter."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_key(purpose: str, seed: int, *key: object) -> int:
    """Hash a purpose, a seed and what else the stream may depend on (task, shapes) into 128 bits."""
    return int.from_bytes(hashlib.sha256(repr((purpose, seed, key)).encode()).digest()[:16], "little")


def stream(purpose: str, seed: int, *key: object) -> np.random.Generator:
    """Return the generator of a seed for one purpose."""
    return np.random.Generator(np.random.PCG64(stream_key(purpose, seed, *key)))
