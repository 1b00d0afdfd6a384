"""What of a library's metrics a trial reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasemap.study.values import is_number
from phasemap.training.program_context import TrialContext


def declared_numbers(trial: TrialContext, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared quantities; where none is declared, all numbers. What is missing ``report`` names."""
    if trial.quantities:
        return {name: metrics[name] for name in trial.quantities if name in metrics}
    return {name: one for name, one in metrics.items() if is_number(one)}
