"""Memorization scores against brute-force retraining: each row of a small set added and left out again and again."""

from __future__ import annotations

import argparse

import numpy as np
from audit_networks import Job, answers, data_set, train
from audit_ranking import flip, load
from common import report
from scipy.stats import spearmanr

from phasemap.auditing.measures import scores
from phasemap.auditing.trainings import probabilities
from phasemap.tasks.dataset import Dataset

ROWS, RATE = 80, 0.1


def memorization(args: argparse.Namespace) -> None:
    """Retrain with and without each row of a part of wine, and compare with the scores of complementary halves."""
    inputs, labels = load("wine")
    source = np.random.default_rng(0)
    chosen = source.permutation(len(labels))[:ROWS]
    data = data_set(inputs[chosen], flip(inputs[chosen], labels[chosen], "uniform", RATE, source))
    estimated = scores(answers(data, args.trainings)).score
    found = np.array([brute(data, row, args.subsets) for row in range(ROWS)])  # (rows, subsets)
    first, second = found[:, ::2].mean(axis=1), found[:, 1::2].mean(axis=1)
    report(
        "audit memorization",
        {
            "rows": ROWS,
            "rank_correlation": float(spearmanr(estimated, found.mean(axis=1))[0]),
            "noise_ceiling": float(spearmanr(first, second)[0]),
        },
        trainings=args.trainings,
        subsets=args.subsets,
    )


def brute(data: Dataset, row: int, subsets: int) -> np.ndarray:
    """Return for random halves of the other rows whether a network is right about a row with it, minus without it."""
    others, jobs = np.setdiff1d(np.arange(len(data.labels)), [row]), []
    for seed in range(subsets):
        half = np.random.default_rng([seed, row]).permutation(others)[: len(others) // 2]
        jobs += [Job(train=rows, given=data.labels[rows], seed=seed) for rows in (half, np.append(half, row))]
    asked = data.inputs[row : row + 1]
    right = np.array([probabilities(w, asked).argmax() == data.labels[row] for w in train(data, jobs)], dtype=float)
    return right[1::2] - right[::2]
