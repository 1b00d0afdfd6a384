"""How well maps are known from a share of their trials: the boundary search against other ways to choose them.

    python benchmarks/search.py [--maps plane_wd0 space] [--methods ours straddle] [--seeds 10] [--budgets 0.1 0.15]

The maps were trained once in full (tests/data/search). A method chooses trials in batches of 8 (of 32 on maps of more
than 1,000 points), is told their results, and at last says what every point of the map is. All other
methods train one seed of each point that they choose, which is best for them. ``pdc`` is the method of Terayama
et al. 2019 as aiphad 1.0.1 has it: label propagation over standardized axes, least confidence or margin.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import report
from scipy.special import logit
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation

from phasemap.diagram.points import point_table
from phasemap.phases.rules import MEMORIZED_FRACTION
from phasemap.search.boundary import BoundarySearch, Observed
from phasemap.search.labelling import ByRule
from phasemap.search.modelled import Models
from phasemap.search.study_map import boundary_search, expected_wrong, observe, taken_trials
from phasemap.search.study_model import map_model, names_of
from phasemap.search.study_search import StudySearch
from phasemap.search.target import Target, nearest, numeric_axis
from phasemap.study.rule_file import rule_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from stored_maps import NAMES, StoredMap, completed, load_map, measures

BUDGETS = (0.08, 0.1, 0.15, 0.25, 0.4)
GAP = 2.0  # on the logit scale: where a method knows labels only, a frontier lies midway between them
STRADDLE = 1.96


class Known:
    """What a method may look at: the map's axes, and the trials that it chose."""

    def __init__(self, full: StoredMap, seed: int) -> None:
        self.full, self.random = full, np.random.default_rng(seed)
        self.at = full.target.coordinates()
        self.taken = np.zeros((len(self.at), full.n_seeds), dtype=bool)
        self.first = self.random.integers(full.n_seeds, size=len(self.at))

    @property
    def trials(self) -> pd.DataFrame:
        """The rows of the trials that were chosen."""
        return self.full.trials[self.taken.ravel()]

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The points with a trial, and the subphase of its first."""
        places = np.flatnonzero(self.taken.any(axis=1))
        rows = self.trials.assign(place=np.nonzero(self.taken)[0]).drop_duplicates("place")
        return places, rows["subphase"].to_numpy()

    def free(self) -> np.ndarray:
        """Return the points without a trial."""
        return np.flatnonzero(~self.taken.any(axis=1))

    def take(self, places: Any) -> None:
        """Train the next seed of each point."""
        for place in places:
            seeds = (self.first[place] + np.arange(self.full.n_seeds)) % self.full.n_seeds
            self.taken[place, next(seed for seed in seeds if not self.taken[place, seed])] = True

    def best(self, worth: np.ndarray, n: int) -> np.ndarray:
        """Return the n free points worth most; ties at random."""
        free = self.free()
        return free[np.lexsort((self.random.random(len(free)), -worth[free]))[:n]]


# --- ways to choose


def refine(known: Known, n: int) -> np.ndarray:
    """Return points of the coarsest sub-grid whose nearest measured points disagree."""
    places, labels = known.labels
    codes = pd.factorize(labels)[0]
    numbers = np.stack(np.unravel_index(np.arange(len(known.at)), known.full.target.shape), axis=1)
    around = codes[nearest(known.at, known.at[places], 2 ** known.at.shape[1])]
    open_ = (around != around[:, :1]).any(axis=1)
    worth = np.zeros(len(known.at))
    for stride, value in ((1, 1), (2, 2), (4, 3)):
        worth[(numbers % stride == 0).all(axis=1) & open_] = value
    return known.best(worth, n)


def straddle(known: Known, n: int) -> np.ndarray:
    """Return points whose test accuracy is least known to be on one side of the threshold (Bryan et al. 2005)."""
    observed, labelling = observe(known.full.searched(kind="boundary", metric="generalization").study, known.trials)
    search = boundary_search(known.full.study)
    search.believe(observed, labelling, np.arange(2))
    expected = search.surfaces.predict(known.at)
    level = logit(known.full.study.phases.generalized)
    worth = STRADDLE * expected.spread[:, 0] - np.abs(expected.mean[:, 0] - level)
    return spread_out(known, worth - worth.min(), n)


def spread_out(known: Known, worth: np.ndarray, n: int) -> np.ndarray:
    worth = np.where(known.taken.any(axis=1), -np.inf, worth)
    search = boundary_search(known.full.study)
    nothing = np.empty(0, dtype=np.int64)
    return np.asarray([p for p, _ in search._spread(n, np.arange(len(worth)), worth, known.taken, nothing)])


def classifier(known: Known) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and their probabilities (points, classes) by a Gaussian process classifier."""
    places, labels = known.labels
    names = np.unique(labels)
    if len(names) == 1:
        return names, np.ones((len(known.at), 1))
    kernel = ConstantKernel(10.0) * Matern(3.0, nu=1.5)
    found = GaussianProcessClassifier(kernel, optimizer=None).fit(known.at[places], labels)
    return found.classes_, found.predict_proba(known.at)


def propagation(known: Known) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and their probabilities by label propagation with scikit-learn's defaults."""
    places, labels = known.labels
    names, codes = np.unique(labels, return_inverse=True)
    targets = np.full(len(known.at), -1)
    targets[places] = codes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = LabelPropagation().fit(StandardScaler().fit_transform(known.at), targets)
    return names, np.nan_to_num(found.label_distributions_, nan=1 / len(names))


def entropy(known: Known, n: int) -> np.ndarray:
    share = classifier(known)[1]
    return spread_out(known, -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1), n)


def least_confidence(known: Known, n: int) -> np.ndarray:
    return known.best(1 - propagation(known)[1].max(axis=1), n)


def margin(known: Known, n: int) -> np.ndarray:
    share = np.sort(np.pad(propagation(known)[1], [(0, 0), (1, 0)]), axis=1)
    return known.best(1 - (share[:, -1] - share[:, -2]), n)


# --- ways to say what the other points are


def by_model(known: Known) -> pd.DataFrame:
    return completed(known.full, known.trials)


def by_nearest(known: Known) -> pd.DataFrame:
    """Give each point the labels and accuracies of the nearest with a trial; of three, the share is the confidence."""
    points = point_table(known.full.study, known.trials)
    bare, places = known.free(), np.flatnonzero(known.taken.any(axis=1))
    around = places[nearest(known.at[bare], known.at[places], 3)]
    filled = points.copy()
    filled.loc[bare] = points.loc[around[:, 0]].to_numpy()
    phase = points["phase"].to_numpy()
    filled.loc[bare, "confidence"] = (phase[around] == phase[around[:, :1]]).mean(axis=1)
    filled.loc[bare, "inferred"] = True
    return filled


def by_shares(shares: Callable[[Known], tuple[np.ndarray, np.ndarray]]) -> Callable[[Known], pd.DataFrame]:
    """Label by probabilities; accuracies are not known, so frontiers lie midway between labels."""

    def label(known: Known) -> pd.DataFrame:
        names, share = shares(known)
        points, bare = point_table(known.full.study, known.trials), known.free()
        phase_of = known.full.trials.drop_duplicates("subphase").set_index("subphase")["phase"]
        subphase = names[share.argmax(axis=1)]
        phase = phase_of[subphase].to_numpy()
        inside = (phase_of[names].to_numpy()[None] == phase[:, None]) * share
        for name, values in (("subphase", subphase), ("phase", phase), ("confidence", inside.sum(axis=1))):
            points.loc[bare, name] = values[bare]
        points.loc[bare, "inferred"] = True
        level = logit(known.full.study.phases.generalized)
        sides = np.where(points["phase"] == "grokking", level + GAP, level - GAP)
        return points.assign(test_accuracy=1 / (1 + np.exp(-sides)))

    return label


CUSTOM: dict[str, tuple[Callable[[Known, int], np.ndarray], Callable[[Known], pd.DataFrame]]] = {
    "refinement": (refine, by_nearest),
    "classifier_entropy": (entropy, by_shares(classifier)),
    "pdc_least_confidence": (least_confidence, by_shares(propagation)),
    "pdc_margin": (margin, by_shares(propagation)),
    "straddle": (straddle, by_model),
}
BY_STUDY: dict[str, tuple[dict[str, Any], Callable[[Known], pd.DataFrame]]] = {
    "ours": ({"kind": "boundary"}, by_model),
    "random": ({"kind": "random", "seeds_per_point": 1}, by_nearest),
    "random_model": ({"kind": "random", "seeds_per_point": 1}, by_model),
    "sobol": ({"kind": "sobol", "seeds_per_point": 1}, by_nearest),
}
LABELS_ONLY = ("classifier_entropy", "pdc_least_confidence", "pdc_margin")
METHODS = (*BY_STUDY, "coarse_grid", *CUSTOM)


def search_map(full: StoredMap, method: str, seed: int, budgets: list[float]) -> list[dict[str, float]]:
    """Let a method choose, and measure its map at each budget."""
    known, rows = Known(full, seed), []
    total, spent = known.taken.size, 0.0
    batch = 8 if len(known.at) <= 1000 else 32
    choose, say = chooser(known, method, seed, max(budgets))
    for budget in budgets:
        started = time.process_time()
        while known.taken.sum() < round(budget * total) and choose:
            choose(min(batch, round(budget * total) - int(known.taken.sum())))
        if not choose:
            take_coarse(known, round(budget * total))
        spent += time.process_time() - started
        found = measures(full, say(known)) | {"seconds": spent}
        if method in LABELS_ONLY:
            found["inversion_cells"] = np.nan
        if method == "ours":
            found["expected_wrong"] = expected_wrong(full.searched(kind="boundary").study, known.trials)
        rows.append({"budget": budget, **found})
    return rows


def chooser(known: Known, method: str, seed: int, most: float) -> Any:
    """Return how a method takes n more trials, and how it says what the points are."""
    if method in BY_STUDY:
        return study_chooser(known, *BY_STUDY[method], seed, most)
    if method == "coarse_grid":
        return None, by_nearest
    known.take(known.random.permutation(known.full.target.coarse(len(known.at))))
    pick, say = CUSTOM[method]
    return lambda n: known.take(pick(known, n)), say


def study_chooser(known: Known, search: dict[str, Any], say: Any, seed: int, most: float) -> Any:
    study = known.full.searched(**search, budget=most, tolerance=0.0).study
    driven = StudySearch(study, known.full.trials[:0], seed=seed)

    def take(n: int) -> None:
        rows = known.full.rows(trial.trial_id for trial in driven.ask(n))
        driven.tell(rows)
        known.taken |= taken_trials(study, rows["trial_id"])

    return take, say


def take_coarse(known: Known, n: int) -> None:
    """Take every k-th value of each axis, with the finest k that n trials allow; what is left over is not used."""
    known.taken[:] = False
    known.take(known.full.target.coarse(n, stride=1))


def proposal_seconds(n: int, side: int = 101) -> dict[str, float]:
    """Time a batch on a map of side x side points of which n are known, with and without a fit of the lengths."""
    target = Target((numeric_axis(np.arange(side)), numeric_axis(np.arange(side))))
    search = BoundarySearch(target, 2, 2)
    random = np.random.default_rng(0)
    places = random.choice(len(target), n, replace=False)
    at = search.coordinates[places] / side
    codes = (np.hypot(*at.T) > 0.6).astype(np.int64) + (at[:, 0] > at[:, 1])
    values = np.stack([3 * np.tanh(20 * (np.hypot(*at.T) - 0.6)), 3 * np.tanh(20 * (at[:, 0] - at[:, 1]))] * 2, axis=1)
    full = load_map(NAMES[0])
    labelling = ByRule(
        rule=rule_of(MEMORIZED_FRACTION),
        names=names_of(full.study),
        models=Models(map_model(full.study, full.trials[:1]).models),
        facts={"corruption": np.full(len(target), 0.3), "n_corrupted": np.full(len(target), 200.0)},
    )
    known = Observed(places=places, seeds=0 * places, codes=codes, values=values)
    taken = np.zeros((len(target), 2), dtype=bool)
    taken[places, 0] = True
    found = {}
    for name in ("with_fit", "seconds"):
        started = time.process_time()
        search.choose(64, known, taken, places[:0], labelling)
        found[name] = round(time.process_time() - started, 2)
    return {"n_known": n, "n_points": len(target), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="*", default=list(NAMES), choices=NAMES)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budgets", nargs="+", type=float, default=list(BUDGETS))
    chosen = parser.parse_args()
    found = []
    for name in chosen.maps:
        full = load_map(name)
        for method in chosen.methods:
            rows = [row for seed in range(chosen.seeds) for row in search_map(full, method, seed, chosen.budgets)]
            mean = pd.DataFrame(rows).groupby("budget").mean().reset_index()
            found.append(mean.assign(map=name, method=method))
            print(f"{name} {method}\n{mean.round(4).to_string(index=False)}", file=sys.stderr, flush=True)
    table = pd.concat(found).round(5) if found else pd.DataFrame()
    proposals = [proposal_seconds(n) for n in (250, 500, 1000, 2000, 4000)]
    report("search", table.to_dict("records"), seeds=chosen.seeds, proposals=proposals)


if __name__ == "__main__":
    main()
