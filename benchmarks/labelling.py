"""How long a rule takes to label 100,000 trials of 60 records, step times, columns and `settled` included.

    python benchmarks/labelling.py [--trials 100000] [--records 60] [--repeats 3]

The curves are random walks of accuracies. `labels` is the label alone; `everything` is all that the table of trials has
of one rule. Labelled in pieces of 4,096 trials, as a run's shards are.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import report, timed

from phasemap.phases.curves import Curves
from phasemap.phases.labels import columns, label_curves_by, settled, step_times
from phasemap.study.names import ACCURACIES
from phasemap.study.rule import Rule
from phasemap.study.rule_file import packaged_rule, parse_rule
from phasemap.study.yaml_lines import parse_document

PIECE = 4096
OWN = """
parameters: {generalized: 0.9}
labels:
  diverging: train_loss > 10 * min(train_loss)
  grokking: test_accuracy >= generalized and step(test_accuracy >= generalized) > 3 * step(train_accuracy >= 0.9)
  comprehension: test_accuracy >= generalized
  memorization: train_accuracy >= 0.9
  forgetting: earlier(test_accuracy) >= generalized
  confusion: otherwise
times: {grokking_step: test_accuracy >= generalized, lost_step: lasting(test_accuracy < 0.5)}
columns: {spread: max(test_accuracy) - min(test_accuracy)}
"""


def walks(n: int, records: int) -> Curves:
    """Return random curves that pass the thresholds in both directions."""
    rng = np.random.default_rng(0)
    values = {name: np.clip(0.5 + 0.2 * rng.standard_normal((n, records)).cumsum(axis=1), 0, 1) for name in ACCURACIES}
    values["train_loss"] = np.exp(-values["train_accuracy"])
    n_corrupted = rng.integers(0, 500, n)
    values["memorized_accuracy"][n_corrupted == 0] = np.nan
    recorded = (np.unique(np.geomspace(1, 2000, count).round()) for count in itertools.count(records))
    steps = next(steps for steps in recorded if len(steps) == records)
    return Curves(
        steps=steps.astype(np.int64),
        values=values,
        facts={"corruption": rng.integers(0, 10, n) / 10, "n_corrupted": n_corrupted},
    )


def pieces(curves: Curves) -> list[Curves]:
    """Cut curves into pieces."""
    return [
        Curves(
            steps=curves.steps,
            values={name: value[start : start + PIECE] for name, value in curves.values.items()},
            facts={
                "corruption": curves.facts["corruption"][start : start + PIECE],
                "n_corrupted": curves.facts["n_corrupted"][start : start + PIECE],
            },
        )
        for start in range(0, len(curves), PIECE)
    ]


def everything(curves: Curves, rule: Rule) -> None:
    """Compute all that a rule says of trials."""
    last = label_curves_by(curves, rule)
    columns(curves, rule, step_times(curves, rule))
    settled(curves, rule, last.codes)


def over_all(work: Callable[[Curves, Rule], Any], parts: list[Curves], rule: Rule) -> None:
    """Do some work on all pieces."""
    for part in parts:
        work(part, rule)


def main() -> None:
    """Time each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rules = {name: packaged_rule(name) for name in ("doshi2024", "memorized_fraction")}
    rules["own"] = parse_rule(parse_document(OWN, "own.yaml"), "own")
    parts = pieces(walks(options.trials, options.records))
    results: dict[str, Any] = {}
    for name, rule in rules.items():
        results[name] = {
            "labels": [timed(partial(over_all, label_curves_by, parts, rule)) for _ in range(options.repeats)],
            "everything": [timed(partial(over_all, everything, parts, rule)) for _ in range(options.repeats)],
        }
    report("labelling", results, trials=options.trials, records=options.records)


if __name__ == "__main__":
    main()
