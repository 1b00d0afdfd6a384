"""What is said to CUDA: how products round in training steps, and a step as one graph.

``training.precision``: ``tf32`` and ``bf16`` keep 10 and 7 of float32's 23 bits of what is multiplied; sums are
float32's, and records are always in full. With tf32 the card rounds by itself; with bf16 numbers are rounded before a
product and its results are bf16's too. Weights and the optimizer's moments are float32 in any case.

A graph: a step's kernels are recorded once and then launched together, without Python between them. Switched on by
``PHASEMAP_CUDA_GRAPHS=1``: on an H200 small networks train up to a quarter faster, large ones no faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Let float32 products on a GPU round as wanted: PyTorch's switch is the process's."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def any_products(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Let the products of any module round to bf16 where that is wanted; ``meta`` has no numbers to round."""
    if precision != "bf16" or device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class Products:
    """Batched products of float32 tensors, with factors that were ``rounded`` once."""

    def __init__(self, precision: str) -> None:
        self._bf16 = precision == "bf16"

    def rounded(self, factor: torch.Tensor) -> torch.Tensor:
        """Return a factor as products take it."""
        return factor.bfloat16() if self._bf16 else factor

    def product(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return the product of two rounded factors, in float32."""
        return torch.bmm(left, right).float()

    def product_into(self, out: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float) -> None:
        """Put ``scale`` times the product of two rounded factors into a tensor in float32."""
        if self._bf16:
            torch.mul(torch.bmm(left, right), scale, out=out)
        else:
            torch.baddbmm(out, left, right, beta=0, alpha=scale, out=out)


SWITCH = "PHASEMAP_CUDA_GRAPHS"
EAGER_STEPS = 3  # torch asks for a few on a side stream, so that libraries have their workspaces before the recording


def graphs_wanted(device: torch.device) -> bool:
    """Whether steps of static shapes are to be recorded on this device."""
    return device.type == "cuda" and os.environ.get(SWITCH) == "1"


class GraphedStep:
    """Calls a step that reads and writes the same tensors each time: at first as it is, then as one graph."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step, self._taken = step, 0
        self._side = torch.cuda.Stream()
        self._graph = torch.cuda.CUDAGraph()

    def __call__(self) -> None:
        """Take one step."""
        if self._taken < EAGER_STEPS:
            self._take_aside()
        else:
            if self._taken == EAGER_STEPS:
                with torch.cuda.graph(self._graph):  # records, and computes nothing
                    self._step()
            self._graph.replay()
        self._taken += 1

    def _take_aside(self) -> None:
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            self._step()
        torch.cuda.current_stream().wait_stream(self._side)
