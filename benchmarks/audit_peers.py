"""How well audits find wrong labels, beside the field: each rival by its paper's formula, or by its package.

Data-OOB (Kwon & Zou 2023, arXiv 2304.07718), AUM (Pleiss et al. 2020, 2001.10528), data cartography (Swayamdipta et al.
2020, 2009.10795), k-nearest-neighbour Shapley (Jia et al. 2019, 1908.08619), SimiFeat (Zhu et al. 2022, 2110.06283),
and cleanlab's confident learning (Northcutt et al. 2021, 1911.00068). Those that train a network train the audit's.
Datalab's issues of labels are ranked by cleanlab's self-confidence, so that it has no row of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from audit_networks import asked, data_set, judged, neighbours_of, template
from audit_ranking import confident_learning, five_folds, flip, measures, vader
from audit_sets import SETS, USED, load
from common import half_interval, report

from phasemap.tasks.dataset import Dataset
from phasemap.training.initial import initial_features_mlp

KINDS, RATES = ("uniform", "class", "feature"), (0.05, 0.2, 0.4)
TREES, SHAPLEY_NEIGHBOURS = 200, 10
DRAWS = 2000  # of the bootstrap
SHORT: dict[str, Any] = {
    "sets": "iris,penguins,penguins_sex,cars,diabetes,wine,breast_cancer", "draws": 2, "trainings": 16, "planted": 8,
}  # fmt: skip
SLIGHT = 1e-9


def data_oob(data: Dataset, seed: int) -> np.ndarray:
    """Return the share of wrong out-of-bag answers of bagged trees; the paper's 800 trees are 200 here."""
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier

    bag = BaggingClassifier(DecisionTreeClassifier(), n_estimators=TREES, random_state=seed)
    bag.fit(data.inputs, data.labels)
    right, out = np.zeros(len(data.labels)), np.zeros(len(data.labels))
    for tree, rows in zip(bag.estimators_, bag.estimators_samples_, strict=True):
        outside = np.setdiff1d(np.arange(len(data.labels)), rows)
        right[outside] += bag.classes_[tree.predict(data.inputs[outside]).astype(int)] == data.labels[outside]
        out[outside] += 1
    return np.asarray(1 - right / np.maximum(out, 1))


def dynamics(data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train the audit's network on all rows; (1 - mean confidence, - mean margin) of given labels over its steps.

    The first is data cartography's, the second the area under the margin of the scores.
    """
    trial = replace(template(), seed=seed)
    first, last = (
        w.clone().requires_grad_() for w in initial_features_mlp(trial, data.inputs.shape[1], data.n_classes)
    )
    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    optimizer = torch.optim.AdamW([first, last], lr=0.01, weight_decay=trial.weight_decay, betas=(0.9, 0.98))
    confidence, margin = torch.zeros(len(labels)), torch.zeros(len(labels))
    rows = torch.arange(len(labels))
    for _ in range(trial.horizon):
        scores = torch.relu(inputs @ first) @ last.t()
        with torch.no_grad():
            others = scores.clone()
            others[rows, labels] = -torch.inf
            margin += scores[rows, labels] - others.max(dim=1).values
            confidence += torch.softmax(scores, dim=1)[rows, labels]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()
    return (1 - confidence / trial.horizon).numpy(), (-margin / trial.horizon).numpy()


def knn_shapley(data: Dataset) -> np.ndarray:
    """Return minus the mean Shapley value of each row for k neighbours, every other row being validation once."""
    n, k = len(data.labels), SHAPLEY_NEIGHBOURS
    squares = (data.inputs.astype(float) ** 2).sum(axis=1)
    total = np.zeros(n)
    for row in range(n):
        distance = squares - 2 * data.inputs @ data.inputs[row]
        distance[row] = np.inf
        order = np.argsort(distance)[: n - 1]
        same = (data.labels[order] == data.labels[row]).astype(float)
        places = np.arange(1, n - 1)
        steps = (same[:-1] - same[1:]) / k * np.minimum(k, places) / places
        total[order] += same[-1] / (n - 1) + np.append(np.cumsum(steps[::-1])[::-1], 0.0)
    return np.asarray(-total / (n - 1))


def simifeat(data: Dataset) -> np.ndarray:
    """Return 1 - the cosine of the given label and the neighbours' labels, SimiFeat's score for ranking."""
    near = neighbours_of(data.inputs.tobytes(), data.inputs.shape)
    votes = np.eye(data.n_classes)[data.labels[near]].sum(axis=1)
    return np.asarray(1 - votes[np.arange(len(votes)), data.labels] / np.linalg.norm(votes, axis=1))


def all_methods(data: Dataset, args: argparse.Namespace, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Return each method's ranking and, where it has one, probability of wrong labels."""
    own, calibration = judged(data, asked(data, args.trainings, args.planted))
    oob, (hard, margin), votes = data_oob(data, seed), dynamics(data, seed), simifeat(data)
    learned = {name: (score, score) for name, score in confident_learning(data, five_folds(data)).items()}
    return {
        "phasemap": (own, calibration.probability(own)),
        "Data-OOB": (oob, oob),
        "AUM": (margin, None),
        "cartography": (hard, hard),
        "kNN-Shapley": (knn_shapley(data), None),
        "SimiFeat": (votes, votes),
        **learned,
    }


def cells(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the cells draw after draw, human noise among them."""
    for draw in range(args.draws or 2):
        for name in args.sets.split(","):
            if name == "vader":
                yield {"set": name, "kind": "human", "rate": 0.12, "draw": draw}
                continue
            for kind in args.kinds.split(","):
                for rate in args.rates.split(","):
                    yield {"set": name, "kind": kind, "rate": float(rate), "draw": draw}


def _labels(cell: dict[str, Any], args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, given and true labels of a cell."""
    if cell["set"] == "vader":
        inputs, ratings = vader(args.components)
        rows = np.sort(np.random.default_rng(0).permutation(len(ratings))[:2000])
        inputs, ratings = inputs[rows], ratings[rows]
        chosen = np.random.default_rng(cell["draw"]).integers(10, size=len(rows))
        return inputs, (ratings[np.arange(len(rows)), chosen] > 0).astype(int), (ratings.mean(axis=1) > 0).astype(int)
    inputs, truth = load(cell["set"])
    source = np.random.default_rng([cell["draw"], round(100 * cell["rate"]), KINDS.index(cell["kind"])])
    return inputs, flip(inputs, truth, cell["kind"], cell["rate"], source), truth


def measured(cell: dict[str, Any], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all methods in one cell."""
    inputs, given, truth = _labels(cell, args)
    data, rows = data_set(inputs, given, int(truth.max()) + 1), []
    for method, (score, probability) in all_methods(data, args, cell["draw"]).items():
        found = measures(
            given != truth, score, np.zeros(len(score)) if probability is None else np.clip(probability, 0, 1)
        )
        if probability is None:
            found |= dict.fromkeys(("calibration_error", "brier", "expected_rate"), None)
        rows.append({**cell, "method": method, "wrong": float((given != truth).mean()), **found})
    return rows


def peers(args: argparse.Namespace) -> None:
    """Measure what is missing in the file of results, one line a cell, and print the table."""
    path = Path(args.keep or "peers") / f"peers-{args.trainings}-{args.planted}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {json.dumps(one["cell"], sort_keys=True): one["rows"] for one in kept}
    found: list[dict[str, Any]] = []
    for cell in cells(args):
        key = json.dumps(cell, sort_keys=True)
        if key not in done and not args.only_table:
            started = time.perf_counter()
            done[key] = measured(cell, args)
            with path.open("a") as file:
                file.write(json.dumps({"cell": cell, "rows": done[key]}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            print(key, f"{time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        found += done.get(key, [])
    report("audit peers", summary(pd.DataFrame(found)), trainings=args.trainings, planted=args.planted)


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return the tables: over all cells, and over those of sets that chose nothing; none where nothing was measured."""
    if not len(table):
        return {}
    table = table.astype(dict.fromkeys(("calibration_error", "brier"), float))
    fresh = table[~table["set"].isin(USED)]
    not_used = {"not used for choosing": _table(fresh)} if len(fresh) else {}
    return {"all": _table(table), **not_used, "cells": _cells(table)}


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """Return the means of each method, and the audit's paired difference to each rival over draws of cells."""
    wide = {name: table.pivot_table(index=["set", "kind", "rate", "draw"], columns="method", values=name)
            for name in ("average_precision", "auc", "misses", "calibration_error", "brier")}  # fmt: skip
    precision = wide["average_precision"]
    rivals = [name for name in precision if name != "phasemap"]
    best = str(precision[rivals].mean().idxmax())
    per_cell = (precision["phasemap"] - precision[best]).groupby(level=["set", "kind", "rate"])
    lower = [gaps.mean() + half_interval(gaps.tolist()) < 0 for _, gaps in per_cell if len(gaps) > 1]
    below = (precision["phasemap"] < precision[rivals].max(axis=1) - SLIGHT).groupby(level=["set", "kind", "rate"])
    methods = {name: {m: round(float(w[name].mean()), 4) for m, w in wide.items() if name in w} for name in precision}
    calibration = wide["calibration_error"].groupby(level=["set", "kind", "rate"]).mean()
    others = calibration.drop(columns="phasemap").min(axis=1)
    single = str(wide["calibration_error"].drop(columns="phasemap").mean().idxmin())
    return {
        "cells": len(per_cell),
        "sets": sorted(set(table["set"])),
        "draws": int(table["draw"].nunique()),
        "methods": methods,
        "precision_against": {
            name: dict(zip(("difference", "low", "high"), (round(v, 4) for v in _gap(precision, name)), strict=True))
            for name in rivals
        },
        "best_rival": best,
        "cells_lower_beyond_noise": round(float(np.mean(lower)), 4) if lower else None,
        "cells_below_best_of_all": round(float(below.mean().mean()), 4),
        "calibration_no_worse_than_each_best": _share(calibration["phasemap"] <= others + SLIGHT),
        "calibration_no_worse_than_best_single": [
            single,
            _share(calibration["phasemap"] <= calibration[single] + SLIGHT),
        ],
    }  # fmt: skip


def _share(holds: pd.Series) -> float:
    return round(float(holds.mean()), 4)


def _gap(precision: pd.DataFrame, rival: str) -> tuple[float, float, float]:
    """Return the difference to a rival and its ends, sets being drawn again with all their cells."""
    gaps = (precision["phasemap"] - precision[rival]).groupby(level="set").mean().to_numpy()
    return (float((precision["phasemap"] - precision[rival]).mean()), *_interval(gaps))


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Return the low and high end of a mean's bootstrap interval."""
    drawn = np.random.default_rng(0).choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _cells(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each cell's average precision by method, its interval over draws, and how far the expected share is off.

    Cells of sets that chose something of the audit are marked as used.
    """
    keys = ["set", "kind", "rate"]
    wide = table.pivot_table(index=keys, columns="method", values="average_precision").round(3)
    own = table[table["method"] == "phasemap"].groupby(keys)
    spread = own["average_precision"].agg(draws="size", half=half_interval).round(3)
    shares = own[["expected_rate", "wrong"]].mean().round(3)
    found = wide.join(spread).join(shares).reset_index()
    return found.assign(used=found["set"].isin(USED)).to_dict(orient="records")


ALL_SETS = (*SETS, "vader")
