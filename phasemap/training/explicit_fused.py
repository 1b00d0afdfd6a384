"""The fast kernel with fused passes: what ``explicit`` does between its matrix products, in two passes a block.

The products are the same; gathering, adding, phi, phi' and the sums by token are ``passes``, which numba compiles. The
masks are those of ``explicit`` too. Sums are taken in another order, so the bits are not: a run keeps to one of both.
"""

from __future__ import annotations

import numpy as np
import torch

from phasemap.study.names import FUSED_KERNEL
from phasemap.training import passes
from phasemap.training.dropout import RESOLUTION, DropoutMasks
from phasemap.training.explicit import Block, ExplicitKernel, Network


class FusedNetwork(Network):
    """One network; see ``Network``."""

    def _prepare(self, inputs: np.ndarray) -> None:
        """Note where each example stands in the blocks; the passes need no other order."""
        self._gradient = self.gradient.numpy()
        self._places = np.argsort(self._by_token.numpy())

    def _draw(self, dropout: DropoutMasks, step: int) -> torch.Tensor:
        """Return which units a step keeps, (n_train, N), in the blocks' order."""
        kept = self._scratch.masks(self.n_train, dropout.width)
        passes.draw_masks(dropout.state(step), dropout.threshold - RESOLUTION // 2, self._places, kept.numpy())
        return kept

    def _activate(self, embedding: torch.Tensor, block: Block, drawn: torch.Tensor | None) -> torch.Tensor:
        """Fill a block's active units phi(h) (R, N); the way back computes h anew, from the embedding."""
        given = embedding.numpy(), block.pairs.numpy(), block.active.numpy(), self._square
        if drawn is None:
            passes.activate(*given)
        else:
            passes.activate_kept(*given, drawn.numpy()[block.start : block.end])
        return embedding

    def _add_to_tokens(self, index: int, embedding: torch.Tensor, drawn: torch.Tensor | None) -> None:
        """Multiply what came back to a block's active units by phi'(h) and add it to the gradients of U and V."""
        block = self.training[index]
        given = embedding.numpy(), block.pairs.numpy(), block.active.numpy(), self._square, self._gradient
        if drawn is None:
            passes.add_gradients(*given)
        else:
            passes.add_gradients_kept(*given, drawn.numpy()[block.start : block.end])


class FusedKernel(ExplicitKernel):
    """K two-layer MLPs on tokens, as ``ExplicitKernel`` takes them, on the CPU."""

    name = FUSED_KERNEL
    network = FusedNetwork
