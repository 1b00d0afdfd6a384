"""The boundary search of phasemap as a sampler: it finds the borders between labels with few trials."""

from phasemap import BoundarySampler

__all__ = ["BoundarySampler"]
