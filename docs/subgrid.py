"""Compare the inferred points of a search with a sub-grid that was trained in full and that the search did not see.

python docs/subgrid.py RUN/points.parquet SUBGRID/points.parquet
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

DIGITS = 10
"""Values of an axis are the same point where they agree to so many digits."""


@dataclass(frozen=True)
class Agreement:
    """How many inferred points have the label that was trained on the sub-grid; shares in [0, 1], nan of no points."""

    n_points: int
    n_inferred: int
    share_right: float
    n_away: int
    share_right_away: float
    expected_wrong: float
    really_wrong: float


def agreement(searched: pd.DataFrame, subgrid: pd.DataFrame, axes: Sequence[str], label: str = "subphase") -> Agreement:
    """Compare a search's points with those of a sub-grid, over the points that both have.

    ``axes`` are all axes; the first two span the map, each value of the others has a map of its own. A point is away
    from borders where its neighbours on the sub-grid, the diagonal ones too, all have its label. ``really_wrong`` and
    ``expected_wrong`` (from ``confidence``) are over the inferred points.
    """
    known = labels_of(subgrid, axes, label)
    away = {point for point in known if is_away(point, known)}
    points = [tuple(row) for row in searched[list(axes)].astype(float).round(DIGITS).to_numpy()]
    shared = searched.assign(point=points)[[point in known for point in points]]
    inferred = shared[shared["inferred"].astype(bool)]
    right = np.array(
        [known[point] == found for point, found in zip(inferred["point"], inferred[label], strict=True)], bool
    )
    far = np.array([point in away for point in inferred["point"]], bool)
    return Agreement(
        n_points=len(shared),
        n_inferred=len(inferred),
        share_right=share(right),
        n_away=int(far.sum()),
        share_right_away=share(right[far]),
        expected_wrong=share(1 - inferred["confidence"].to_numpy(float)),
        really_wrong=share(~right),
    )


def labels_of(points: pd.DataFrame, axes: Sequence[str], label: str) -> dict[tuple[float, ...], str]:
    """Return the label of each point that has one."""
    kept = points[points[label].notna()]
    rows = kept[list(axes)].astype(float).round(DIGITS).to_numpy()
    return {tuple(row): found for row, found in zip(rows, kept[label], strict=True)}


def is_away(point: tuple[float, ...], known: dict[tuple[float, ...], str]) -> bool:
    """Tell whether no border is next to a point: its neighbours in the plane of the first two axes have its label."""
    rest = point[2:]
    steps = []
    for axis in (0, 1):
        values = sorted({other[axis] for other in known if other[2:] == rest})
        place = values.index(point[axis])
        steps.append(values[max(0, place - 1) : place + 2])
    neighbours = ((first, second, *rest) for first, second in product(*steps))
    return all(known.get(other) in (None, known[point]) for other in neighbours)


def share(values: np.ndarray) -> float:
    """Return the mean, nan of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def axes_of(study: Path) -> list[str]:
    """Return the axes of a stored study, from its check.json."""
    return list(json.loads((study / "check.json").read_text(encoding="utf-8"))["axes"])


if __name__ == "__main__":
    searched, subgrid = map(Path, sys.argv[1:])
    names = axes_of(subgrid.parent)
    print(json.dumps(asdict(agreement(pd.read_parquet(searched), pd.read_parquet(subgrid), names)), indent=2))
