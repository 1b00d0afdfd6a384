"""Are the trials of two runs the same networks, labelled in two ways?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.alignment import Alignment, Side, rule_words
from phasemap.study.trials import grid_ids

ENDED = ("ok", "diverged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sameness:
    """How many of two runs' compared trials are one and the same network, and how their labels were made."""

    n_same: int
    n_trials: int  # of either run
    n_relabelled: int  # of the same networks: those with another subphase
    labels: str  # in words: what the two labellings differ in, or "" where nothing is known to differ

    @property
    def whole(self) -> bool:
        """Whether the runs are the same networks altogether."""
        return self.n_same == self.n_trials > 0

    @property
    def words(self) -> str:
        """Say what is the same."""
        labelled = f", labelled {self.labels}" if self.labels else ""
        if self.whole:
            return f"the same {self.n_same} networks{labelled}"
        return f"{self.n_same} of {self.n_trials} networks are the same in both runs{labelled}" if self.n_same else ""


def sameness(aligned: Alignment, both: NDArray[np.bool_]) -> Sameness:
    """Tell which trials of the points ``both`` (P,) are the same networks in both runs."""
    a, b = (_compared(side, both) for side in (aligned.a, aligned.b))
    shared = a.index.intersection(b.index)
    quantities = [name for name in aligned.a.study.recorded.quantities if name in aligned.b.study.recorded.quantities]
    same = _trained_once(a.loc[shared], b.loc[shared], quantities)
    rows = [frame.loc[shared][same] for frame in (a, b)]
    labels = " and ".join(filter(None, [_by_rules(aligned), _at_steps(*rows)]))
    subphases = [frame["subphase"].astype(object).fillna("") for frame in rows]
    return Sameness(
        n_same=int(same.sum()),
        n_trials=len(a.index.union(b.index)),
        n_relabelled=int((subphases[0] != subphases[1]).sum()),
        labels=labels,
    )


def _compared(side: Side, both: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the trials of the compared points that ended, by their ids."""
    ids = np.asarray(grid_ids(side.study), dtype=object).reshape(len(both), -1)[both].ravel()
    rows = side.trials[side.trials["trial_id"].isin(ids) & side.trials["status"].isin(ENDED)]
    return rows.set_index("trial_id")


def _trained_once(a: pd.DataFrame, b: pd.DataFrame, quantities: Sequence[str]) -> NDArray[np.bool_]:
    """Tell for trials of the same ids, row by row, whether both rows come from one training, or from equal ones.

    One training took one time; and at the same step equal trainings measure the same to the bit.
    """
    seconds = a["train_seconds"].to_numpy(dtype=float) == b["train_seconds"].to_numpy(dtype=float)
    one, other = (frame[["horizon", *quantities]].to_numpy(dtype=float) for frame in (a, b))
    equal = ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    return np.asarray((a["status"] == b["status"]).to_numpy() & (seconds | equal), dtype=bool)


def _by_rules(aligned: Alignment) -> str:
    rules = [side.study.phases.model_copy(update={"at_step": None}) for side in (aligned.a, aligned.b)]
    return "" if rules[0] == rules[1] else f"by two rules ({' and '.join(map(rule_words, rules))})"


def _at_steps(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Say at which steps the same networks were labelled, where these differ."""
    if (a["horizon"].fillna(-1).to_numpy() == b["horizon"].fillna(-1).to_numpy()).all():
        return ""
    return f"at two steps ({_steps(a)} and {_steps(b)})"


def _steps(rows: pd.DataFrame) -> str:
    steps = sorted({int(step) for step in rows["horizon"].dropna()})
    return str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
