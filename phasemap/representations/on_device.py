"""Measures of periodicity for many networks at once, on the device that holds them; as in ipr.py and extraction.py."""

from __future__ import annotations

import torch

from phasemap.representations.ipr import ROUNDING


def batched_ipr(vectors: torch.Tensor, *, constant: bool = True) -> torch.Tensor:
    """Return (||X||_4 / ||X||_2)^4 of each vector (..., n), X the magnitudes of its real DFT, in float64 (``ipr``)."""
    rows = vectors.double()
    rows = rows / rows.abs().amax(dim=-1, keepdim=True)  # a zero vector becomes NaN
    if not constant:
        rows = rows - rows.mean(dim=-1, keepdim=True)
        rows = rows.masked_fill(rows.abs().amax(dim=-1, keepdim=True) < ROUNDING, torch.nan)
    power = _power(torch.fft.rfft(rows, dim=-1))
    return (power / power.sum(dim=-1, keepdim=True)).square().sum(dim=-1)


def batched_projection(parts: torch.Tensor) -> torch.Tensor:
    """Keep of each neuron's three vectors (K, 3, N, n) their common main frequency; see ``extracted_weights``."""
    spectrum = torch.fft.rfft(parts.double(), dim=-1)  # (K, 3, N, n // 2 + 1)
    power = _power(spectrum[..., 1:])
    shares = power / power.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    main = 1 + shares.sum(dim=1).argmax(dim=-1)  # (K, N)
    frequencies = torch.arange(spectrum.shape[-1], device=parts.device)
    kept = spectrum * (frequencies == main[:, None, :, None])
    return torch.fft.irfft(kept, n=parts.shape[-1], dim=-1)


def _power(spectrum: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(spectrum).square().sum(dim=-1)
