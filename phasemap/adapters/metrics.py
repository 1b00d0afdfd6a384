"""What of a library's metrics a trial reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasemap.training.program_context import TrialContext


def declared_numbers(trial: TrialContext, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared quantities; where none is declared, all numbers. What is missing ``report`` names."""
    if trial.quantities:
        return {name: found[name] for name in trial.quantities if name in found}
    return {name: one for name, one in found.items() if isinstance(one, int | float) and not isinstance(one, bool)}
