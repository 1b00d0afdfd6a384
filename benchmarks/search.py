"""How well maps are known from a share of their trials: the boundary search against other ways to choose them.

    python benchmarks/search.py --short                     ten minutes of two cores
    python benchmarks/search.py --keep FOLDER               everything, goes on where it was stopped: hours
    python benchmarks/search.py --keep FOLDER --only-table  what is there
    python benchmarks/search.py --maps plane_wd0 space --methods ours straddle --seeds 10 --budgets 0.1 0.15

The stored maps (tests/data/search) were trained once in full, and the search was made with them; the others
(search_others.py) were used for nothing. A method chooses trials in batches of 8 (of 32 on maps of more than 1,000
points), is told their results, and at last says what every point of the map is, by a model of its own and by ours. All
other methods train one seed of each point that they choose, which is best for them. ``pdc`` is the method of Terayama
et al. 2019 as aiphad 1.0.1 has it: label propagation over standardized axes, least confidence or margin. AEPsych's
rules need AEPsych (pip install --no-deps aepsych botorch gpytorch linear_operator, and what these import).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import report
from scipy.special import logit
from scipy.stats import qmc
from search_others import MAPS, load_other
from search_rivals import (
    QUERIES,
    LevelSet,
    eavc,
    expected_feasibility,
    global_mi,
    label_level_sets,
    label_shares,
    level_sets,
    mile,
    surfaces,
)
from search_tables import tables
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation
from stored_maps import NAMES, StoredMap, completed, load_map, measures  # search_others names its folder

from phasemap.diagram.points import point_table
from phasemap.phases.labels import MEMORIZED_FRACTION
from phasemap.search.boundary import BoundarySearch, Observed
from phasemap.search.labelling import ByRule
from phasemap.search.modelled import Models
from phasemap.search.study_map import boundary_search, expected_wrong, taken_trials
from phasemap.search.study_model import map_model, names_of
from phasemap.search.study_search import StudySearch
from phasemap.search.target import Target, nearest, numeric_axis
from phasemap.study.rule_file import rule_of

BUDGETS = (0.05, 0.08, 0.1, 0.15, 0.2, 0.25)
SHORT = {
    "maps": ("plane_wd10", "onsager", "ising", "alloy", "newton", "paper_dropout"),
    "methods": ("ours", "random", "pdc_margin", "straddle", "contour"),
    "budgets": (0.1, 0.15),
    "seeds": 5,
}
GAP = 2.0  # on the logit scale: where a method knows labels only, a frontier lies midway between them
STRADDLE = 1.96


class Known:
    """What a method may look at: the map's axes, and the trials that it chose."""

    def __init__(self, full: StoredMap, seed: int) -> None:
        self.full, self.seed, self.random = full, seed, np.random.default_rng(seed)
        self.memory: dict[str, Any] = {}  # models that start where they ended
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
    """Return points whose quantities are least known to be on one side of a threshold (Bryan et al. 2005)."""
    found = [STRADDLE * one.deviation - np.abs(one.mean) for one in level_sets(known)]
    worth = np.max(found, axis=0)
    return spread_out(known, worth - worth.min(), n)


def by_levels(rule: Callable[[LevelSet], np.ndarray]) -> Callable[[Known, int], np.ndarray]:
    """Choose by a rule's worth summed over all thresholds of the quantities."""
    return lambda known, n: spread_out(known, np.sum([rule(one) for one in level_sets(known)], axis=0), n)


def by_answers(rule: Callable[[LevelSet, np.ndarray], np.ndarray]) -> Callable[[Known, int], np.ndarray]:
    """Choose by a look-ahead rule's worth summed over the labels."""

    def pick(known: Known, n: int) -> np.ndarray:
        queries = known.random.permutation(len(known.at))[:QUERIES]
        worth = np.sum([rule(one, queries) for one in label_level_sets(known)], axis=0)
        return spread_out(known, np.maximum(worth, 0), n)

    return pick


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
        if known.full.study.phases.own is not None:
            return points
        level = logit(known.full.study.phases.generalized)
        sides = np.where(points["phase"] == "grokking", level + GAP, level - GAP)
        return points.assign(test_accuracy=1 / (1 + np.exp(-sides)))

    return label


def by_mean(known: Known) -> pd.DataFrame:
    """Label by what is expected of the quantities, as level-set rules do."""
    search, model = surfaces(known)
    expected = search.surfaces.predict(search.coordinates).mean
    codes = model.labelling.label(expected, np.arange(len(expected)))
    points, bare, names = point_table(known.full.study, known.trials), known.free(), names_of(known.full.study)
    subphase = pd.Series([*names.labels, None], dtype=object).to_numpy()[codes]
    points.loc[bare, "subphase"] = subphase[bare]
    points.loc[bare, "phase"] = [names.phase_of.get(one) for one in subphase[bare]]
    points.loc[bare, "confidence"] = 1.0
    points.loc[bare, "inferred"] = True
    return points


Pick = Callable[[Known, int], np.ndarray]
Say = Callable[[Known], pd.DataFrame]


def coarse(known: Known) -> np.ndarray:
    return known.random.permutation(known.full.target.coarse(len(known.at)))


def drawn(count: Callable[[int], int], draw: Callable[[int, int, int], np.ndarray]) -> Callable[[Known], np.ndarray]:
    """Start at points drawn from the unit cube."""

    def start(known: Known) -> np.ndarray:
        shape = np.asarray(known.full.target.shape)
        points = draw(len(shape), count(len(shape)), known.seed)
        numbers = np.minimum((points * shape).astype(int), shape - 1)
        return np.unique(np.ravel_multi_index(tuple(numbers.T), tuple(shape)))

    return start


def sobol(n_axes: int, n: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # n is no power of two
        return np.asarray(qmc.Sobol(n_axes, rng=seed).random(n))


aepsych_start = drawn(lambda n_axes: 10, sobol)
sampler_start = drawn(lambda n_axes: 5, lambda n_axes, n, seed: np.random.default_rng(seed).random((n, n_axes)))
latin_start = drawn(
    lambda n_axes: (n_axes + 1) * (n_axes + 2) // 2,
    lambda n_axes, n, seed: qmc.LatinHypercube(n_axes, rng=seed).random(n),
)
CUSTOM: dict[str, tuple[Callable[[Known], np.ndarray], Pick, Say]] = {
    "refinement": (coarse, refine, by_nearest),
    "classifier_entropy": (coarse, entropy, by_shares(classifier)),
    "pdc_least_confidence": (coarse, least_confidence, by_shares(propagation)),
    "pdc_margin": (coarse, margin, by_shares(propagation)),
    "straddle": (coarse, straddle, by_mean),
    "contour": (latin_start, by_levels(expected_feasibility), by_mean),
    "mile": (sampler_start, by_levels(mile), by_mean),
    "global_mi": (aepsych_start, by_answers(global_mi), by_shares(label_shares)),
    "eavc": (aepsych_start, by_answers(eavc), by_shares(label_shares)),
}
BY_STUDY: dict[str, tuple[dict[str, Any], Say]] = {
    "ours": ({"kind": "boundary"}, by_model),
    "random": ({"kind": "random", "seeds_per_point": 1}, by_nearest),
    "sobol": ({"kind": "sobol", "seeds_per_point": 1}, by_nearest),
}
NEEDS_AEPSYCH = ("global_mi", "eavc")
NO_ACCURACIES = (
    "classifier_entropy",
    "pdc_least_confidence",
    "pdc_margin",
    *NEEDS_AEPSYCH,
    "straddle",
    "contour",
    "mile",
)
METHODS = (*BY_STUDY, "coarse_grid", *CUSTOM)


def search_map(full: StoredMap, method: str, seed: int, budgets: list[float]) -> list[dict[str, Any]]:
    """Let a method choose, and measure its map at each budget, completed by its own model and by ours."""
    known, rows = Known(full, seed), []
    total, spent = known.taken.size, 0.0
    batch = 8 if len(known.at) <= 1000 else 32
    choose, own = chooser(known, method, seed, max(budgets))
    for budget in budgets:
        started = time.process_time()
        while known.taken.sum() < round(budget * total) and choose:
            choose(min(batch, round(budget * total) - int(known.taken.sum())))
        if not choose:
            take_coarse(known, round(budget * total))
        spent += time.process_time() - started
        for by, say in {"own": own, "ours": by_model}.items():
            if method == "ours" and by == "own":
                continue
            points = say(known)
            found: dict[str, Any] = measures(full, points) | {"bins": calibration(full, points)}
            if by == "own" and method in NO_ACCURACIES:
                found["inversion_cells"] = np.nan
            if method == "ours":
                found["expected_wrong"] = expected_wrong(full.searched(kind="boundary").study, known.trials)
            rows.append({"budget": budget, "trials": int(known.taken.sum()), "by": by, **found, "seconds": spent})
    return rows


def calibration(full: StoredMap, points: pd.DataFrame) -> list[list[float]]:
    """Return for ten bins of the confidence of inferred points: their number, the confidences' sum, the shares' sum."""
    inferred = points["inferred"].to_numpy(dtype=bool)
    confidence, share = points["confidence"].to_numpy(dtype=float)[inferred], full.shares(points["phase"])[inferred]
    bins = np.minimum((confidence * 10).astype(int), 9)
    return [[float(part.sum()) for part in (bins == b, confidence[bins == b], share[bins == b])] for b in range(10)]


def chooser(known: Known, method: str, seed: int, most: float) -> Any:
    """Return how a method takes n more trials, and how it says what the points are."""
    if method in BY_STUDY:
        return study_chooser(known, *BY_STUDY[method], seed, most)
    if method == "coarse_grid":
        return None, by_nearest
    start, pick, say = CUSTOM[method]
    known.take(start(known))
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


def load(name: str) -> StoredMap:
    """Return a map that was used to make the search, or one that was not."""
    return load_map(name) if name in NAMES else load_other(name)


def searches(chosen: argparse.Namespace) -> Any:
    """Yield the rows of all searches, seed after seed; those that are kept are not made again."""
    path = Path(chosen.keep or ".") / "searches.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if chosen.keep and path.exists() else []
    done = {tuple(one["key"]): one["rows"] for one in kept}
    for seed in range(chosen.seeds):
        for name in chosen.maps:
            for method in chosen.methods:
                key = (name, method, seed, *chosen.budgets)
                if key not in done and not chosen.only_table:
                    started = time.process_time()
                    done[key] = search_map(load(name), method, seed, chosen.budgets)
                    print(name, method, seed, f"{time.process_time() - started:.1f} s", file=sys.stderr, flush=True)
                    if chosen.keep:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with path.open("a") as file:
                            file.write(json.dumps({"key": key, "rows": done[key]}) + "\n")
                yield from ({"map": name, "method": method, "seed": seed, **row} for row in done.get(key, []))


def main() -> None:
    every = (*NAMES, *MAPS)
    there = [m for m in METHODS if m not in NEEDS_AEPSYCH or find_spec("aepsych")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few maps, methods and budgets")
    parser.add_argument("--maps", nargs="*", default=None, choices=every)
    parser.add_argument("--methods", nargs="+", default=None, choices=METHODS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--budgets", nargs="+", type=float)
    parser.add_argument("--keep", help="folder of searches that were made")
    parser.add_argument("--only-table", action="store_true", help="print what is there, search nothing")
    parser.add_argument("--proposals", action="store_true", help="time the choosing of a batch")
    chosen = parser.parse_args()
    usual: dict[str, Any] = {"maps": every, "methods": there, "budgets": BUDGETS, "seeds": 10}
    for name, value in (SHORT if chosen.short else usual).items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    found = tables(pd.DataFrame(searches(chosen)), chosen=NAMES)
    proposals = [proposal_seconds(n) for n in (250, 500, 1000, 2000, 4000)] if chosen.proposals else []
    report("search", found, seeds=chosen.seeds, proposals=proposals)


if __name__ == "__main__":
    main()
