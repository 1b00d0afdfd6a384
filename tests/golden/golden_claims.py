"""Verdicts of claims on the stored runs: each term of docs/claims.md, conditions, chains, and what can't be said."""

from __future__ import annotations

from functools import partial
from typing import Any

from golden_files import DERIVED, Golden
from golden_runs import copied

import phasemap as pm
from phasemap.diagram.claims import ClaimResult

PLANE = (
    # areas: of phases, subphases, and what generalizes
    "area(full_inversion, weight_decay=5) > area(full_inversion, weight_decay=0)",
    "area(memorization) < 0.1",
    "area(coexistence) >= area(partial_inversion)",
    "area(generalizes) > 0.35",
    "area(clean_fit, corruption=0) > 0.5",
    "area(full_inversion) > 0.3",
    # means and the like, of quantities, settings and step times
    "mean(test_accuracy, corruption=0.2, weight_decay=2) > 0.8",
    "test_accuracy > 0.6 at corruption=0, weight_decay=5",
    "min(train_accuracy, weight_decay<=2) > 0.9",
    "max(weight_norm, weight_decay=10) < min(weight_norm, weight_decay=0)",
    "median(test_loss) < 0.03",
    "median(peak_test_accuracy, corruption<=0.1) >= 0.9",
    "mean(corruption_effective, corruption=0.1) < 0.1",
    "0 < median(grokking_step) < 500 at corruption=0, weight_decay=5",
    "median(memorization_step, weight_decay=0) <= 60",
    "mean(grokking_step) < 100",
    "max(memorization_step, corruption=0) < 100",
    # shares
    "share(train_accuracy < clean_accuracy) > 0.1 where corruption > 0 and weight_decay >= 5",
    "share(test_accuracy >= 0.9, corruption=0) > 0.2",
    "share(memorized_accuracy = 1.0, weight_decay=0) >= 0.9 where corruption != 0",
    "share(memorized_accuracy != 1.0, weight_decay=0) < 0.1 where corruption > 0",
    "share(grokking_step < 1000) < 0.9",
    # correlations and frontiers
    "correlation(weight_decay, weight_norm) < -0.5",
    "correlation(corruption, test_accuracy, weight_decay<=5) < 0",
    "correlation(test_accuracy, train_accuracy) > 0.9",
    "frontier(generalization, along=corruption, weight_decay=5) > 0.05",
    "frontier(generalization, along=corruption, weight_decay=5) > "
    "frontier(generalization, along=corruption, weight_decay=0) + 0.1",
    "frontier(inversion, along=weight_decay, corruption=0.1) < 8",
    "frontier(inversion, along=corruption, weight_decay=5) > 0.1",
    "frontier(inversion, along=corruption, weight_decay=5) > 0.4",
    "frontier(generalization, along=corruption, weight_decay=10) > 0",
    # chains, arithmetic, sides that are equal or undefined
    "0.2 < area(grokking) < 0.8",
    "area(grokking) < 0.9 < area(memorization)",
    "area(grokking) + area(memorization) + area(confusion) >= 1",
    "2 * (mean(test_accuracy) - 0.5) / 3 < 0.3",
    "mean(test_accuracy) / (area(forgetting) - area(forgetting)) > 1",
    "memorized_accuracy > 0.5 at corruption=0",
    "memorized_accuracy > 0.3",
    "mean_ipr > 0.5",
    "mean(train_accuracy, weight_decay=10) > 0.9",
)
MIXED = (
    "test_accuracy > 0.1 at width=16, learning_rate=0.01",
    "area(memorization) > 0.9",
    "area(memorization, width=16) > 0.9",
    "area(memorization, learning_rate=1000000) > 0.9",
)
RECORDS = (
    "mean_ipr > 0.2",
    "correlation(mean_ipr, test_accuracy) > 0",
    "needed_neurons <= 12",
    "extracted_accuracy > 0.05",
    "pruned_memorized_accuracy < 1.5",
    "share(mean_ipr > 0.3) > 0.5 at corruption=0.2",
)
INTERRUPTED = (
    "train_accuracy > 0.5 at dropout=0",
    "area(memorization) > 0.5",
    "test_accuracy >= 0",
)
CLAIMS = {"plane": PLANE, "mixed": MIXED, "records": RECORDS, "interrupted": INTERRUPTED}


def content(result: ClaimResult) -> dict[str, Any]:
    """Return a verdict, with the numbers behind it."""
    links = [
        {
            "comparison": link.comparison,
            "verdict": link.verdict,
            DERIVED: {
                "left": link.left, "right": link.right, "difference": link.difference, "interval": link.interval,
            },
        }
        for link in result.links
    ]  # fmt: skip
    return {
        "claim": result.text,
        "verdict": result.verdict,
        "reason": result.reason,
        "n_seeds": result.n_seeds,
        "n_trials": result.n_trials,
        "n_expected": result.n_expected,
        "links": links,
    }


def make(name: str) -> list[dict[str, Any]]:
    (folder,) = copied(name)
    return [content(result) for result in pm.open_run(folder.path).check(CLAIMS[name])]


GOLDEN = tuple(Golden(name=f"claims_{name}", make=partial(make, name)) for name in CLAIMS)
