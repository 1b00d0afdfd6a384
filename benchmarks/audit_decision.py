"""Whether an audit's advice pays: cases built to have a known best action, and regret against doing every action."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from audit_networks import Job, accuracy, asked, data_set, job_of, judged, kept, train
from common import report

from phasemap.auditing.decision import FREE, decide
from phasemap.auditing.inputs import Prices
from phasemap.auditing.response import FRACTIONS, LEVELS, RATES, LearningCurve, Response, with_recommendation
from phasemap.auditing.trainings import WEIGHT_DECAY
from phasemap.tasks.dataset import Dataset

CASES = ("noise", "data", "saturated", "regularization")
ROWS, POOL, TEST = 400, 600, 4000
LEARNING_SEEDS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """Data with their true labels: the rows that are audited, rows that could be collected, rows to test with."""

    inputs: np.ndarray  # (ROWS + POOL + TEST, F)
    truth: np.ndarray
    given: np.ndarray
    prices: Prices

    @property
    def audited(self) -> Dataset:
        """The rows that the audit sees."""
        return data_set(self.inputs[:ROWS], self.given[:ROWS], int(self.truth.max()) + 1)


def build(kind: str, seed: int) -> Case:
    """Build data whose best action is known by how they were made."""
    source = np.random.default_rng([seed, CASES.index(kind)])
    n_features = {"noise": 12, "data": 30, "saturated": 6, "regularization": 40}[kind]
    n_classes = int(source.integers(2, 5))
    spread = {"noise": 1.2, "data": 1.6, "saturated": 0.7, "regularization": 2.6}[kind]
    n_centres = n_classes * (6 if kind == "data" else 1)
    centres = source.normal(size=(n_centres, n_features)) * (1.6 if n_features < 30 else 1.2)
    which = source.integers(n_centres, size=ROWS + POOL + TEST)
    truth = which % n_classes
    inputs = centres[which] + spread * source.normal(size=(len(which), n_features))
    inputs = np.column_stack([inputs / inputs.std(axis=0), np.ones(len(which))]).astype(np.float32)
    rate = {"noise": 0.3, "data": 0.02, "saturated": 0.0, "regularization": 0.05}[kind]
    wrong = source.random(len(which)) < rate
    given = np.where(wrong, (truth + source.integers(1, n_classes, len(which))) % n_classes, truth)
    cost = {"noise": 2.0, "data": 1.0, "saturated": 5.0, "regularization": 5.0}[kind]
    volume = 4_000.0 if kind == "regularization" else 20_000.0
    prices = Prices(cost_label=1.0, cost_example=cost, volume=volume, spend=160.0)
    return Case(inputs=inputs, truth=truth, given=given, prices=prices)


def response_of(data: Dataset, n_rounds: int) -> Response:
    """Train what decisions rest on: rising corruption at the current regularization, and other levels without."""
    cells = [(rate, WEIGHT_DECAY) for rate in RATES] + [(0.0, v) for v in LEVELS["weight_decay"] if v != WEIGHT_DECAY]
    jobs, rows = [], []
    for rate, level in cells:
        for seed in range(2 * n_rounds):
            job, held_out, wrong = job_of(data, seed, corruption=rate)
            jobs.append(Job(train=job.train, given=job.given, seed=seed, weight_decay=level))
            rows.append({"round": seed // 2, "corruption": rate, "weight_decay": level, "corruption_effective": wrong,
                         "held_out": held_out})  # fmt: skip
    for row, weights in zip(rows, train(data, jobs), strict=True):
        held_out = row.pop("held_out")
        row["test_accuracy"] = accuracy(weights, data.inputs[held_out], data.labels[held_out])
    return with_recommendation(
        Response(
            regularizer="weight_decay", current=WEIGHT_DECAY, recommended=WEIGHT_DECAY, trials=pd.DataFrame(rows),
            points=pd.DataFrame(), generalized=1.0,
        )
    )  # fmt: skip


def learning_of(data: Dataset) -> LearningCurve:
    """Train on rising fractions of the rows."""
    made = [(seed, *job_of(data, seed, fraction=f)[:2]) for f in FRACTIONS for seed in range(LEARNING_SEEDS)]
    found = [
        {"n_train": len(job.train), "error": 1 - accuracy(weights, data.inputs[held_out], data.labels[held_out])}
        for (seed, job, held_out), weights in zip(made, train(data, [job for _, job, _ in made]), strict=True)
    ]  # fmt: skip
    frame = pd.DataFrame(found)
    sizes = {f: round(f * len(data.labels)) for f in FRACTIONS}
    nearest = np.array(list(sizes.values()))
    frame["n_train"] = nearest[np.abs(frame["n_train"].to_numpy()[:, None] - nearest).argmin(axis=1)]
    return LearningCurve(n=len(data.labels), trials=frame)


def oracle(case: Case, suspicion: np.ndarray, draws: int) -> dict[str, float]:
    """Return what every action is worth, by doing it and testing on true labels; regularize:LEVEL for each level."""
    prices, everyone = case.prices, np.arange(ROWS)
    data = data_set(case.inputs, case.given, int(case.truth.max()) + 1)
    count, more = int(prices.spend / prices.cost_label), ROWS + int(prices.spend / prices.cost_example)
    top = np.argsort(-suspicion)[:count]
    jobs: list[tuple[str, Job]] = []
    for seed in range(draws):
        source = np.random.default_rng(seed)

        def cleaned(rows: np.ndarray, source: np.random.Generator = source) -> np.ndarray:
            given = case.given[:ROWS].copy()
            slips = source.random(len(rows)) < prices.relabel_error
            given[rows] = np.where(slips, (case.truth[rows] + 1) % data.n_classes, case.truth[rows])
            return given

        done = {
            "nothing": (everyone, case.given[:ROWS], WEIGHT_DECAY),
            "clean_suspects": (everyone, cleaned(top), WEIGHT_DECAY),
            "clean_random": (everyone, cleaned(source.permutation(ROWS)[:count]), WEIGHT_DECAY),
            "collect": (np.arange(more), case.given[:more], WEIGHT_DECAY),
        } | {f"regularize:{v:g}": (everyone, case.given[:ROWS], v) for v in LEVELS["weight_decay"] if v != WEIGHT_DECAY}
        jobs += [(name, Job(train=t, given=g, seed=seed, weight_decay=v)) for name, (t, g, v) in done.items()]
    trained = train(data, [job for _, job in jobs])
    tests = slice(ROWS + POOL, None)
    found = pd.DataFrame({"action": [name for name, _ in jobs]}).assign(
        accuracy=[accuracy(weights, case.inputs[tests], case.truth[tests]) for weights in trained]
    )
    means = found.groupby("action")["accuracy"].mean()
    gains = (means - means["nothing"]) * prices.value_error * prices.volume
    return {str(a): float(g) - (0.0 if str(a).partition(":")[0] in FREE else prices.spend) for a, g in gains.items()}


def measured(kind: str, number: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return what the audit measures of a case, and what the oracle says of it."""
    case = build(kind, number)
    data = case.audited

    def train_all() -> dict[str, Any]:
        said = asked(data, args.trainings, args.planted)
        suspicion, _ = judged(data, said)
        return {
            "said": said,
            "response": response_of(data, args.rounds),
            "learning": learning_of(data),
            "worth": oracle(case, suspicion, args.oracle),
        }

    settings = (args.trainings, args.planted, args.rounds, args.oracle)
    found = kept(args.keep, f"case-{number}-{'-'.join(map(str, settings))}", train_all)
    suspicion, calibration = judged(data, found["said"])
    return {"wrong": calibration.cautious(suspicion), "prices": case.prices, "n_classes": data.n_classes, **found}


def regret(kind: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Take the audit's advice, and compare its worth with the best action's; abstaining is worth 0."""
    response, worth = found["response"], found["worth"]
    advice = decide(response, found["learning"], found["wrong"], found["prices"], n_classes=found["n_classes"])
    taken = f"regularize:{response.recommended:g}" if advice.action == "regularize" else advice.action
    best = max(worth, key=lambda name: worth[name])
    return {
        "case": kind, "advice": advice.action, "best": best.partition(":")[0], "best_gain": worth[best],
        "regret": worth[best] - worth.get(taken, 0.0),
        "expected": {name: round(net.value) for name, net in advice.net.items()},
        "worth": {name: round(value) for name, value in worth.items()},
    }  # fmt: skip


def worst_tenth(regrets: pd.Series) -> float:
    """Return the mean of the largest tenth of some regrets."""
    return float(regrets.nlargest(max(1, round(len(regrets) / 10))).mean())


def decision(args: argparse.Namespace) -> None:
    """Audit every case and report the regret of its advice."""
    rows = []
    for number in range(args.first, args.first + args.cases):
        kind = CASES[number % len(CASES)]
        rows.append(regret(kind, measured(kind, number, args)))
        print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    report(
        "audit decision",
        {
            "cases": len(table),
            "mean_regret": float(table["regret"].mean()),
            "worst_tenth_regret": worst_tenth(table["regret"]),
            "mean_best_gain": float(table["best_gain"].mean()),
            "regret_share": float(table["regret"].mean() / table["best_gain"].mean()),
            "abstained": int((table["advice"] == "not_enough_evidence").sum()),
            "right": int((table["advice"] == table["best"]).sum()),
            "by_kind": table.groupby("case")[["regret", "best_gain"]].mean().to_dict(orient="index"),
            "rows": rows,
        },
        trainings=args.trainings,
        rounds=args.rounds,
        oracle=args.oracle,
    )
