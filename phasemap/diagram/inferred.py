"""What a rule says of points whose quantities are expected and not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.diagram.statistics import generalization_wins
from phasemap.study.spec import PhaseRule

WINS_QUANTITIES = ("recovered_accuracy", "memorized_accuracy")
WINS_FACTS = ("n_corrupted", "n_classes")


def wins_expected(
    rule: PhaseRule, quantities: Mapping[str, NDArray[Any]], facts: Mapping[str, NDArray[Any]]
) -> NDArray[np.object_] | None:
    """Tell whether generalization beats memorization, as for one network with the expected accuracies (n,).

    None where the rule has no such frontier, or what it looks at is not known.
    """
    known = {*WINS_QUANTITIES} <= set(quantities) and {*WINS_FACTS} <= set(facts)
    if "inversion" not in rule.frontiers or not known:
        return None
    n_corrupted = facts["n_corrupted"].astype(np.int64)
    recovered, memorized = (
        np.round(np.nan_to_num(quantities[name]) * n_corrupted).astype(np.int64) for name in WINS_QUANTITIES
    )
    return generalization_wins(recovered, memorized, n_corrupted, 1 / facts["n_classes"]).astype(object)
