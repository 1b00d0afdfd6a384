"""The built-in rules are files of the language, and say trial by trial what the paper and its extensions say.

The oracle below is one trial at a time, in plain Python, from the tables that the rules come from.
"""

import math
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.phases.curves import Curves
from phasemap.phases.labelling import curves_in
from phasemap.phases.labels import columns, label_curves_by, settled, step_times
from phasemap.study.rule_file import packaged_rule

DATA = Path(__file__).parent.parent / "data"
RULES = ("doshi2024", "memorized_fraction")
PHASE_OF = dict.fromkeys(
    ("coexistence", "partial_inversion", "full_inversion", "clean_fit", "undetermined"), "grokking"
)
TIMES = ("memorization_step", "grokking_step", "unlearning_step", "forgetting_step")


def judged(steps, rule):
    """The number of the last records that a rule looks at."""
    if rule == "doshi2024":
        return 1
    inside = sum(1 for step in steps if step >= 0.9 * steps[-1])
    return max(inside, 5) if len(steps) >= 50 else max(inside, 1)


def over(values, k):
    return median(values[-k:])


def had_generalized_and_lost_it(trial, rule):
    before = trial["test"][: -judged(trial["steps"], rule)]
    return any(value >= 0.9 for value in before) and trial["test"][-1] < 0.9


def oracle_label(trial, rule):
    k = judged(trial["steps"], rule)
    test, train, memorized = (over(trial[name], k) for name in ("test", "train", "memorized"))
    if test < 0.9:
        if train >= 0.9:
            return "memorization"
        return "forgetting" if had_generalized_and_lost_it(trial, rule) else "confusion"
    if rule == "doshi2024":
        if train >= 0.9:
            return "coexistence"
        return "partial_inversion" if train >= round(1.05 - trial["corruption"], 12) else "full_inversion"
    if trial["n_corrupted"] == 0:
        return "clean_fit"
    if trial["n_corrupted"] < 20:
        return "undetermined"
    if memorized >= 0.9:
        return "coexistence"
    return "full_inversion" if memorized <= 0.1 else "partial_inversion"


def between(trial, values, level, after):
    """The step at which values cross a level between two records, linear in the logarithm of the step."""
    steps = trial["steps"]
    if after == 0:
        return float(steps[0])
    left, right = values[after - 1], values[after]
    logs = math.log(steps[after - 1]), math.log(steps[after])
    return math.exp(logs[0] + (level - left) / (right - left) * (logs[1] - logs[0]))


def first_reached(trial, values, level):
    for number, value in enumerate(values):
        if value >= level:
            return between(trial, values, level, number)
    return None


def below_for_good(trial, values, level):
    """Where values that had reached a level fall below it for the last time; None where they never do."""
    if values[-1] >= level or max(values) < level:
        return None
    last = max(number for number, value in enumerate(values) if value >= level)
    return between(trial, values, level, last + 1)


def oracle_times(trial, rule):
    memorized = trial["memorized"]
    unlearned = None
    if trial["n_corrupted"] > 0 and max(memorized) >= 0.5:
        unlearned = below_for_good(trial, memorized, max(memorized) / 2)
    forgotten = below_for_good(trial, trial["test"], 0.9) if had_generalized_and_lost_it(trial, rule) else None
    return {
        "memorization_step": first_reached(trial, trial["clean"], 0.9),
        "grokking_step": first_reached(trial, trial["test"], 0.9),
        "unlearning_step": unlearned,
        "forgetting_step": forgotten,
    }


def oracle_delayed(times):
    if times["grokking_step"] is None or times["memorization_step"] is None:
        return None
    return times["grokking_step"] >= 3 * times["memorization_step"] * (1 - 1e-12)


def until(trial, step):
    n = sum(1 for recorded in trial["steps"] if recorded <= step)
    return {name: value[:n] if isinstance(value, list) else value for name, value in trial.items()}


def oracle_settled(trial, rule):
    last = oracle_label(trial, rule)
    late = [step for step in trial["steps"] if step >= float(trial["steps"][-1]) ** (1 - 1 / 3)]
    return all(oracle_label(until(trial, step), rule) == last for step in late)


def trials_of(curves):
    for row in range(len(curves)):
        short = {
            name: curves.values[f"{name}_accuracy"][row].tolist() for name in ("test", "train", "clean", "memorized")
        }
        yield short | {
            "steps": curves.steps.tolist(),
            "corruption": float(curves.facts["corruption"][row]),
            "n_corrupted": int(curves.facts["n_corrupted"][row]),
        }


def assert_as_the_oracle_says(curves, name):
    rule = packaged_rule(name)
    found = label_curves_by(curves, rule)
    times = step_times(curves, rule)
    delayed = columns(curves, rule, times)["delayed"]
    held = settled(curves, rule, found.codes)
    for row, trial in enumerate(trials_of(curves)):
        label = oracle_label(trial, name)
        assert found.names(rule)[row] == label
        assert rule.phase_of[label] == PHASE_OF.get(label, label)
        assert bool(held[row]) == oracle_settled(trial, name)
        expected = oracle_times(trial, name)
        for time in TIMES:
            wanted = np.nan if expected[time] is None else expected[time]
            assert times[time][row] == pytest.approx(wanted, rel=1e-9, nan_ok=True), (time, trial)
        assert delayed[row] == oracle_delayed(expected)


def shares(n):
    """Accuracies over n examples, often at a threshold or at an end."""
    near = [0, n, -(-9 * n // 10), -(-9 * n // 10) - 1, n // 10, n // 10 + 1, n // 2]
    return (st.sampled_from(near) | st.integers(0, n)).map(lambda count: min(max(count, 0), n) / n)


@st.composite
def random_curves(draw):
    n_records = draw(st.integers(1, 8) | st.sampled_from([49, 50, 51, 60]))
    n_trials = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if n_records > 8:  # drawn by numpy, with levels that last
        steps = np.sort(rng.choice(np.arange(1, 3 * n_records), n_records, replace=False))
        levels = np.clip(1.3 * rng.random((len(NAMES), n_trials, n_records // 4 + 1)), 0, 1).round(2)
        values = dict(zip(NAMES, np.repeat(levels, 4, axis=2)[:, :, :n_records], strict=True))
    else:
        steps = np.cumsum(draw(st.lists(st.integers(1, 40), min_size=n_records, max_size=n_records)))
        columns_of = st.lists(shares(draw(st.sampled_from([10, 20, 30, 97]))), min_size=n_records, max_size=n_records)
        values = {name: np.asarray([draw(columns_of) for _ in range(n_trials)]) for name in NAMES}
    counts = st.sampled_from([0, 1, 19, 20, 21, 300])
    n_corrupted = np.asarray(draw(st.lists(counts, min_size=n_trials, max_size=n_trials)))
    values["memorized_accuracy"][n_corrupted == 0] = np.nan
    corruption = rng.integers(0, 101, n_trials) / 100
    return Curves(steps=steps, values=values, facts={"corruption": corruption, "n_corrupted": n_corrupted})


NAMES = ("train_accuracy", "test_accuracy", "clean_accuracy", "memorized_accuracy", "recovered_accuracy")


@pytest.mark.parametrize("name", RULES)
@given(curves=random_curves())
def test_a_packaged_rule_says_of_random_curves_what_the_tables_say(name, curves):
    assert_as_the_oracle_says(curves, name)


@pytest.mark.parametrize("name", RULES)
def test_a_packaged_rule_says_of_stored_curves_what_the_tables_say(name):
    """The curves of the study ``quickstart``, and a third of those of the plane at weight decay 15."""
    frame = pd.read_parquet(DATA / "curves" / "plane.parquet")
    seen = set()
    for _, curves in curves_in(frame):
        for step in (100, 300, int(curves.steps[-1])):
            assert_as_the_oracle_says(curves.until(step), name)
        seen |= set(label_curves_by(curves, packaged_rule(name)).names(packaged_rule(name)))
    assert len(seen) >= 6


def test_the_rules_files_are_in_the_package_and_name_their_frontiers():
    for name in RULES:
        rule = packaged_rule(name)
        assert [str(frontier) for frontier in rule.frontiers] == [
            "test_accuracy = generalized",
            "recovered_accuracy = memorized_accuracy",
        ]
        assert rule.phases == ("memorization", "forgetting", "confusion", "grokking")
