"""What a rule says of points whose quantities are expected and not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.diagram.frontier import MapFrontier, generalization_wins, map_frontiers
from phasemap.phases.built_in import GENERALIZATION, N_CLASSES, N_CORRUPTED, WINS_COLUMN, phase_named
from phasemap.study.names import GENERALIZES
from phasemap.study.spec import Study

TESTED_FACTS = (N_CORRUPTED, N_CLASSES)
Columns = Mapping[str, NDArray[Any]]


def expected_sides(study: Study, phases: NDArray[np.object_], quantities: Columns, facts: Columns) -> dict[str, Any]:
    """Tell which points (n,) generalize, and where generalization beats memorization, as far as the rule can.

    ``phases`` are the likeliest ones, ``quantities`` and ``facts`` what is expected.
    """
    sides: dict[str, Any] = {}
    for frontier in map_frontiers(study):
        if not set(frontier.quantities) <= set(quantities):
            continue
        if frontier.name == GENERALIZATION and frontier.against is None:
            built_in = study.phases.own is None
            above = quantities[frontier.quantity] >= frontier.level
            sides[GENERALIZES] = phases == phase_named(GENERALIZES) if built_in else above
        elif frontier.tested and set(TESTED_FACTS) <= set(facts):
            sides[WINS_COLUMN] = _wins(frontier, quantities, facts)
    return sides


def _wins(frontier: MapFrontier, quantities: Columns, facts: Columns) -> NDArray[np.object_]:
    """Test (n,) as for one network with the expected accuracies."""
    n_corrupted = facts[N_CORRUPTED].astype(np.int64)
    first, second = (np.round(np.nan_to_num(quantities[q]) * n_corrupted).astype(np.int64) for q in frontier.quantities)
    return generalization_wins(first, second, n_corrupted, 1 / facts[N_CLASSES]).astype(object)
