"""A step as a CUDA graph: its kernels are recorded once and then launched together, without Python between them.

Switched on by ``PHASEMAP_CUDA_GRAPHS=1``; written by the rules of torch.cuda.graph and not yet run on a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

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
