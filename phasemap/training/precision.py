"""How products round in training steps: ``training.precision``. Records are always in full.

``tf32`` and ``bf16`` keep 10 and 7 of float32's 23 bits of what is multiplied; sums are float32's. With tf32 the card
rounds by itself; with bf16 numbers are rounded before a product and its results are bf16's too. Weights and the
optimizer's moments are float32 in any case. Not measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
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
