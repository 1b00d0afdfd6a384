"""JAX: a tree of arrays as the state of a trial."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import torch


class Kept:
    """A tree of arrays as a trial's state: pass it to ``trial.steps(n, state=kept)``, and set ``kept.tree`` as it goes.

    A saved state is restored into arrays of the same shapes and types, bit for bit.
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def state_dict(self) -> dict[str, Any]:
        """Return the bytes of each leaf."""
        leaves = [np.asarray(_plain(leaf)) for leaf in jax.tree.leaves(self.tree)]
        return {"leaves": [torch.tensor(bytearray(leaf.tobytes()), dtype=torch.uint8) for leaf in leaves]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put the leaves back into a tree of the same structure."""
        leaves, structure = jax.tree.flatten(self.tree)
        pairs = zip(leaves, saved["leaves"], strict=True)
        self.tree = jax.tree.unflatten(structure, [_like(leaf, part.numpy().tobytes()) for leaf, part in pairs])


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(leaf: Any, content: bytes) -> Any:
    """Return bytes as a leaf of the same kind as another."""
    before = np.asarray(_plain(leaf))
    array = np.frombuffer(content, before.dtype).reshape(before.shape)
    if _is_key(leaf):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array):
        return jax.numpy.asarray(array)
    return array.copy() if isinstance(leaf, np.ndarray) else array.item()
