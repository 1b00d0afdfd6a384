"""From quantities to labels: the seam between the model of a map and what its points are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from phasemap.diagram.frontier import logit
from phasemap.phases.evaluation import GivenTerms
from phasemap.phases.labels import label_trials
from phasemap.study.conditions import Fact, Reduced, Term, Value
from phasemap.study.names import GROKKING, PHASES, SUBPHASES
from phasemap.study.rule_file import rule_of
from phasemap.study.sizes import count, trial_size
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.trials import expand, networks

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

SATURATION = 0.02  # accuracies beyond this and 1 minus this are the same to the model
NEEDED = {
    "phases": ("test_accuracy", "train_accuracy", "memorized_accuracy", "peak_test_accuracy"),
    "generalization": ("test_accuracy",),
    "inversion": ("recovered_accuracy", "memorized_accuracy"),
}
"""The quantities that decide each metric."""
MODELLED = (*NEEDED["phases"], "recovered_accuracy")
"""All of them; a labelling reads the first of the columns that it is given."""

PHASE_OF = np.asarray([PHASES.index("grokking" if name in GROKKING else name) for name in SUBPHASES])


class Labelling(Protocol):
    """Names points by their quantities. Codes are in groups: of a group the most frequent code is a point's label."""

    @property
    def group(self) -> Codes:
        """The group of each code (number of codes,); groups and codes stand in the order that decides ties."""

    @property
    def doubt(self) -> float:
        """A deviation of the quantities that is added to the model's own: it can't know how steep a border is."""

    def label(self, values: Floats, places: Codes) -> Codes:
        """Label values (..., m, q) of the model at m points of the target grid: codes (..., m)."""


@dataclass(frozen=True, slots=True)
class OneHot:
    """Labels as they are: each has a quantity of its own, 1 where it was seen, and the largest names the point."""

    n_codes: int
    doubt: float = 0.2  # a label jumps between two points, wherever the border lies

    @property
    def group(self) -> Codes:
        """Each label is a group of its own."""
        return np.arange(self.n_codes)

    def values(self, codes: Codes) -> Floats:
        """Return the quantities (n, n_codes) of observed labels (n,)."""
        return np.eye(self.n_codes)[codes]

    def label(self, values: Floats, places: Codes) -> Codes:
        """Return the label with the largest quantity."""
        return np.asarray(values.argmax(axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRule:
    """Labels of networks by a study's rule, from accuracies on the logit scale."""

    rule: PhaseRule
    metric: str
    corruption: Floats  # (n,) of each point of the grid
    n_corrupted: Codes  # (n,) labels that are really wrong, known or expected
    doubt: float = 0.0  # accuracies change over several cells, so the model's own deviations are right

    @property
    def quantities(self) -> tuple[str, ...]:
        """The names of the q quantities."""
        return NEEDED[self.metric]

    @property
    def group(self) -> Codes:
        """Subphases are grouped by their phase; what a frontier parts are groups of their own."""
        return PHASE_OF if self.metric == "phases" else np.arange(3)

    def label(self, values: Floats, places: Codes) -> Codes:
        """Label drawn values by the rule, or by the side of the frontier on which they are."""
        at = {name: expit(values[..., number]).ravel().round(9) for number, name in enumerate(self.quantities)}
        shape = values.shape[:-1]
        n_corrupted = np.broadcast_to(self.n_corrupted[places], shape).ravel()
        if self.metric == "generalization":
            return np.asarray(at["test_accuracy"] >= self.rule.generalized, dtype=np.int64).reshape(shape)
        if self.metric == "inversion":
            return inversion_codes(at["recovered_accuracy"], at["memorized_accuracy"], n_corrupted).reshape(shape)
        rule = rule_of(self.rule)
        given: dict[Term, NDArray[Any]] = {
            **{Value(name): at[name] for name in ("test_accuracy", "train_accuracy", "memorized_accuracy")},
            Reduced("last", "test_accuracy"): at["test_accuracy"],
            Reduced("earlier", "test_accuracy"): at["peak_test_accuracy"],  # the model's is that before the window
            Fact("corruption"): np.broadcast_to(self.corruption[places], shape).ravel(),
            Fact("n_corrupted"): n_corrupted,
        }
        terms = GivenTerms(given, dict(rule.parameters))
        code_of = np.asarray([SUBPHASES.index(name) for name in rule.label_names])
        return np.asarray(code_of[label_trials(rule, terms, len(n_corrupted)).codes]).reshape(shape)

    def codes(self, trials: pd.DataFrame) -> Codes:
        """Return the codes (n,) of trials that ended ``ok``."""
        subphase = np.asarray([SUBPHASES.index(name) for name in trials["subphase"]], dtype=np.int64)
        if self.metric == "phases":
            return subphase
        if self.metric == "generalization":
            return np.asarray(np.isin(subphase, [SUBPHASES.index(n) for n in GROKKING]), dtype=np.int64)
        columns = ("recovered_accuracy", "memorized_accuracy", "n_corrupted")
        return inversion_codes(*(trials[name].to_numpy(dtype=float) for name in columns))


def inversion_codes(recovered: Floats, memorized: Floats, n_corrupted: NDArray[np.generic]) -> Codes:
    """Tell (n,) whether the rule (0) or memory (1) answers corrupted examples; 2 where nothing is corrupted."""
    return np.where(n_corrupted == 0, 2, np.where(recovered > memorized, 0, 1))


def model_values(trials: pd.DataFrame, rule: PhaseRule, names: Sequence[str] = MODELLED) -> Floats:
    """Return the quantities (n, q) of trials on the model's scale; NaN where undefined.

    The peak that the model knows is the one before the window that the rule judges. A network in confusion has none
    there that reaches the threshold, so a peak that does lies in the window, and its last test accuracy stands in.
    """
    values = trials[list(names)]
    if "peak_test_accuracy" in names:
        late = (trials["subphase"] == "confusion") & (trials["peak_test_accuracy"] >= rule.generalized)
        values = values.assign(peak_test_accuracy=trials["peak_test_accuracy"].mask(late, trials["test_accuracy"]))
    return logit(values.to_numpy(dtype=float), SATURATION)


def by_rule(study: Study, trials: pd.DataFrame, places: Codes) -> ByRule:
    """Return the labelling of a study's points by its rule.

    ``trials`` that ended ``ok`` at ``places`` tell how many labels are really wrong; elsewhere it is expected.
    """
    corruption, asked = _corruption(study)
    known = trials["n_corrupted"].to_numpy(dtype=np.int64)
    expected = np.round(asked * known.sum() / max(asked[places].sum(), 1)).astype(np.int64)
    expected[places] = known
    return ByRule(rule=study.phases, metric=study.search.metric, corruption=corruption, n_corrupted=expected)


@lru_cache(maxsize=1)
def _corruption(study: Study) -> tuple[Floats, Codes]:
    """Return the corruption of each point (n,) of a study, and how many labels are to be corrupted there."""
    points = networks(expand(study.model_copy(update={"seeds": study.seeds[:1]})))
    corruption = np.asarray([point.corruption for point in points])
    trained = [count(point.data_fraction, trial_size(point).n_examples) for point in points]
    return corruption, np.asarray([count(share, n) for share, n in zip(corruption, trained, strict=True)])
