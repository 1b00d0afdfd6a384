"""The values that settings take in a study, alone and together, with their places in the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from phasemap.study.networks import NETWORK_SETTINGS, scaled_steps
from phasemap.study.spec import NetworkStudy, Study

Path = tuple[Any, ...]
Found = tuple[Path, str]
"""A place in the study file, and what is wrong there."""


def values_of(study: Study, name: str) -> list[tuple[Path, Any]]:
    """Return (path in the file, value) for every value that a setting takes in a study."""
    if name in study.axis_names:
        return [(("axes", name, i), value) for i, value in enumerate(study.axis(name).values)]
    setting = study.declared.get(name) or NETWORK_SETTINGS[name]  # of others: what it is for all networks
    return [((setting.section, setting.key), study.setting(name))]


def together(study: Study, *names: str) -> Iterator[tuple[tuple[Path, Any], ...]]:
    """Yield every combination of the values of several settings, each with its path."""
    yield from itertools.product(*(values_of(study, name) for name in names))


def longest_training(study: Study) -> int | None:
    """Return the largest number of optimizer steps among a study's trials; None where only its program knows."""
    if not isinstance(study, NetworkStudy):
        return None
    found = together(study, "steps", "batch_size", "scale_to_batch")
    return max(scaled_steps(*(value for _, value in values)) for values in found)
