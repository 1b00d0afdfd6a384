"""The labelling rules against the tables they come from."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phasemap.phases.curves import Curves
from phasemap.phases.evaluation import window_records
from phasemap.phases.labelling import label_columns, label_curves, label_frame
from phasemap.phases.labels import DOSHI2024, label_curves_by, phases, settled, step_times, subphases
from phasemap.study.names import PHASES, QUANTITIES, SUBPHASES
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule

RULE = PhaseRule()


def curves(steps=(1, 10, 100, 1000), corruption=0.3, n_corrupted=100, **values):
    """Return one trial's curves; a number stands for a constant quantity."""
    full = {name: np.full((1, len(steps)), np.nan) for name in QUANTITIES}
    for name, value in values.items():
        full[name] = np.broadcast_to(np.asarray(value, dtype=float), (1, len(steps))).copy()
    return Curves(
        steps=np.asarray(steps),
        values=full,
        facts={"corruption": np.asarray([corruption]), "n_corrupted": np.asarray([n_corrupted])},
    )


def at_end(test, train, memorized=0.5, **more):
    return curves(test_accuracy=test, train_accuracy=train, memorized_accuracy=memorized, clean_accuracy=1.0, **more)


@pytest.mark.parametrize(
    ("test", "train", "corruption", "expected"),
    [
        (0.90, 0.90, 0.35, "coexistence"),
        (1.00, 0.8999, 0.35, "partial_inversion"),
        (1.00, 0.70, 0.35, "partial_inversion"),
        (1.00, 0.6999, 0.35, "full_inversion"),
        (0.95, 0.899, 0.15, "full_inversion"),  # at xi <= .15 partial inversion can't occur
        (0.95, 0.90, 0.15, "coexistence"),
        (0.8999, 0.90, 0.35, "memorization"),
        (0.8999, 0.8999, 0.35, "confusion"),
    ],
)
def test_doshi2024_is_the_papers_table(test, train, corruption, expected):
    assert subphases(at_end(test, train, corruption=corruption), DOSHI2024) == [expected]


@pytest.mark.parametrize("rule", [RULE, DOSHI2024])
def test_forgetting_is_confusion_with_a_past(rule):
    had = curves(test_accuracy=[0.1, 0.95, 0.5, 0.1], train_accuracy=0.2)
    never = curves(test_accuracy=[0.1, 0.89, 0.5, 0.1], train_accuracy=0.2)
    assert subphases(had, rule) == ["forgetting"]
    assert subphases(never, rule) == ["confusion"]


@pytest.mark.parametrize(
    ("memorized", "n_corrupted", "expected"),
    [
        (0.90, 100, "coexistence"),
        (0.89, 100, "partial_inversion"),
        (0.11, 100, "partial_inversion"),
        (0.10, 100, "full_inversion"),
        (0.00, 20, "full_inversion"),
        (0.00, 19, "undetermined"),
        (np.nan, 0, "clean_fit"),
    ],
)
def test_memorized_fraction_judges_generalizing_networks_by_what_they_memorized(memorized, n_corrupted, expected):
    assert subphases(at_end(0.95, 0.5, memorized, n_corrupted=n_corrupted), RULE) == [expected]


def test_memorized_fraction_labels_a_window_and_doshi2024_the_last_step():
    steps = (1, 10, 100, 900, 925, 950, 975, 1000)
    spike = [0.1, 0.5, 1, 1, 1, 1, 1, 0.2]
    found = curves(steps, test_accuracy=spike, train_accuracy=0.5, memorized_accuracy=0.0)
    assert subphases(found, RULE) == ["full_inversion"]
    assert subphases(found, DOSHI2024) == ["forgetting"]


@given(st.sets(st.integers(1, 3000), min_size=1, max_size=120))
@example(range(1, 50))  # the last tenth: 45 to 49
@example([*range(1, 50), 3000])  # 50 records, one in the last tenth
@example([*range(1, 49), 3000])
def test_the_window_is_a_tenth_of_the_steps_and_five_records_of_fifty_or_more(recorded):
    steps = np.sort(np.asarray(list(recorded)))
    found, inside = window_records(steps, 0.1), int((10 * steps >= 9 * steps[-1]).sum())
    assert 1 <= found <= len(steps)
    assert found == (max(5, inside) if len(steps) >= 50 else inside)


def test_a_label_is_taken_over_the_window_alone():
    few = curves((1, 2, 3, 4, 5, 1000), test_accuracy=[0, 0, 0, 0, 0, 1], train_accuracy=1.0, memorized_accuracy=1.0)
    assert subphases(few, RULE) == ["coexistence"]
    test = np.zeros(100)
    test[90:] = 1.0  # steps 91 to 100
    many = curves(range(1, 101), test_accuracy=test, train_accuracy=1.0, memorized_accuracy=1.0)
    assert subphases(many, RULE) == ["coexistence"]
    assert subphases(many.until(96), RULE) == ["coexistence"]  # 6 of the 10 from step 87 on
    assert subphases(many.until(95), RULE) == ["memorization"]  # 5 of the 10 from step 86 on


STEPS = (1, 10, 100, 300, 920, 940, 960, 980, 1000)


@pytest.mark.parametrize(
    ("test", "by_window", "by_last"),
    [
        ([0.1, 0.95, 0.9, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1], "forgetting", "forgetting"),
        ([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.88, 0.95], "confusion", "full_inversion"),  # still rising
        ([0.1, 0.2, 0.3, 0.5, 0.6, 0.95, 0.8, 0.7, 0.6], "confusion", "forgetting"),  # its peak is in the window
        ([0.1, 0.95, 0.3, 0.3, 0.3, 0.4, 0.5, 0.8, 0.95], "confusion", "full_inversion"),  # lost, and is back
        ([0.1, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.5, 0.5], "full_inversion", "forgetting"),
    ],
)
def test_forgetting_is_lost_before_the_window_and_not_back_at_the_last_record(test, by_window, by_last):
    found = curves(STEPS, test_accuracy=test, train_accuracy=0.2, memorized_accuracy=0.0, clean_accuracy=0.5)
    assert subphases(found, RULE) == [by_window]
    assert subphases(found, RULE, windowed=False) == [by_last]
    assert subphases(found, DOSHI2024) == [by_last]


def test_a_short_rising_curve_generalizes():
    test = [0.005, 0.3, 0.6, 0.9, 1.0]
    rising = curves((1, 2, 4, 8, 16), test_accuracy=test, train_accuracy=0.5, memorized_accuracy=0.5)
    assert subphases(rising, RULE) == ["partial_inversion"]


def test_a_trained_network_that_still_rises_at_step_298_is_no_forgetting():
    """As trained: p 31, N 128, data fraction .75, corruption .3, weight decay 10, seed 0."""
    trained = curves(
        (113, 127, 144, 162, 183, 207, 234, 264, 298),
        n_corrupted=207,
        test_accuracy=[0.456, 0.515, 0.577, 0.680, 0.722, 0.805, 0.871, 0.938, 0.959],
        train_accuracy=[0.978, 0.967, 0.953, 0.950, 0.932, 0.921, 0.885, 0.843, 0.821],
        memorized_accuracy=[0.923, 0.889, 0.841, 0.826, 0.763, 0.725, 0.599, 0.454, 0.377],
    )
    assert subphases(trained, RULE) == ["partial_inversion"]
    assert subphases(trained, DOSHI2024) == ["partial_inversion"]


share = st.integers(0, 100).map(lambda hits: hits / 100)
recorded = st.lists(st.tuples(st.integers(1, 50), share, share), min_size=1, max_size=70)


def drawn(records):
    gaps, test, train = (np.asarray(column) for column in zip(*records, strict=True))
    return curves(
        np.cumsum(gaps), test_accuracy=test, train_accuracy=train, memorized_accuracy=0.0, clean_accuracy=train
    )


@pytest.mark.parametrize("rule", [RULE, DOSHI2024], ids=lambda rule: rule.rule)
@given(records=recorded)
def test_a_network_whose_test_accuracy_never_falls_forgets_nothing_at_any_step(rule, records):
    gaps, test, train = zip(*records, strict=True)
    rising = drawn(list(zip(gaps, sorted(test), train, strict=True)))
    for step in rising.steps:
        until = rising.until(step)
        assert subphases(until, rule) != ["forgetting"]
        assert np.isnan(step_times(until, rule_of(rule))["forgetting_step"])


@pytest.mark.parametrize("rule", [RULE, DOSHI2024], ids=lambda rule: rule.rule)
@given(records=recorded)
def test_forgetting_has_a_step_and_a_peak_before_it(rule, records):
    found = drawn(records)
    test, when = found.values["test_accuracy"][0], step_times(found, rule_of(rule))["forgetting_step"]
    lost = not np.isnan(when[0])
    start = -1 if rule == DOSHI2024 else -window_records(found.steps, 0.1)
    assert lost == (max(test[:start], default=0.0) >= 0.9 and test[-1] < 0.9)
    if subphases(found, rule) == ["forgetting"]:
        assert lost


def settled_by(found, phases):
    rule = rule_of(phases)
    return settled(found, rule, label_curves_by(found, rule).codes)


def test_settled_looks_at_the_last_third_of_the_logarithmic_steps():
    late = curves((1, 10, 99, 101, 1000), test_accuracy=[0, 0, 0, 1, 1], train_accuracy=1.0, memorized_accuracy=1.0)
    early = curves((1, 10, 99, 101, 1000), test_accuracy=[0, 0, 1, 1, 1], train_accuracy=1.0, memorized_accuracy=1.0)
    assert settled_by(early, DOSHI2024) == [True]
    assert settled_by(late, DOSHI2024) == [True]
    changed = curves((1, 10, 99, 101, 1000), test_accuracy=[0, 0, 0, 0, 1], train_accuracy=1.0, memorized_accuracy=1.0)
    assert settled_by(changed, DOSHI2024) == [False]


accuracy = st.floats(0, 1)


@given(test=accuracy, train=accuracy, memorized=accuracy, corruption=accuracy, n=st.integers(0, 200))
def test_every_trial_gets_one_phase_and_a_subphase_of_it(test, train, memorized, corruption, n):
    found = at_end(test, train, memorized, corruption=corruption, n_corrupted=n)
    for rule in (RULE, DOSHI2024):
        (subphase,), (phase,) = subphases(found, rule), phases(subphases(found, rule), rule)
        assert subphase in SUBPHASES
        assert phase in PHASES
        assert (phase == "grokking") == (test >= 0.9)
        assert phase == subphase or phase == "grokking"


def test_an_earlier_horizon_sees_only_what_was_recorded_by_then():
    whole = curves(test_accuracy=[0.1, 0.95, 0.5, 0.1], train_accuracy=[1, 1, 0.2, 0.2], memorized_accuracy=1.0)
    assert subphases(whole.until(99), DOSHI2024) == ["coexistence"]
    assert whole.until(99).steps.tolist() == [1, 10]
    with pytest.raises(ValueError, match="the first record is 1"):
        whole.until(0)


def test_labels_of_a_long_table_are_those_of_the_curves():
    rows = []
    for trial_id, steps, test in (("b", (1, 10), 0.2), ("a", (1, 10, 100), 0.95), ("c", (1, 10), 0.95)):
        for step in steps:
            rows.append(
                dict.fromkeys(QUANTITIES, 1.0)
                | {"trial_id": trial_id, "step": step, "test_accuracy": test, "corruption": 0.2, "n_corrupted": 50}
            )
    found = label_frame(pd.DataFrame(rows).sample(frac=1, random_state=0), RULE)
    assert list(found.columns) == list(label_columns(RULE))
    assert found["subphase"].to_dict() == {"a": "coexistence", "b": "memorization", "c": "coexistence"}
    assert found["horizon"].to_dict() == {"a": 100, "b": 10, "c": 10}
    with pytest.raises(ValueError, match="lack the columns corruption"):
        label_frame(pd.DataFrame(rows).drop(columns="corruption"), RULE)


def test_label_curves_has_the_last_values_beside_the_labels():
    found = label_curves(at_end([0.1, 0.2, 0.3, 0.95], 1.0, 1.0), RULE)
    assert found["test_accuracy"].tolist() == [0.95]
    assert found["peak_test_accuracy"].tolist() == [0.95]


def test_thresholds_are_those_of_the_rule():
    rule = PhaseRule(generalized=0.8, memorized=0.7)
    assert subphases(at_end(0.85, 0.5, 0.75), rule) == ["coexistence"]
    assert subphases(at_end(0.85, 0.5, 0.25), rule) == ["full_inversion"]
    assert subphases(at_end(0.75, 0.75, 0.5), rule) == ["memorization"]
    assert subphases(curves(test_accuracy=[0.1, 0.85, 0.1, 0.1], train_accuracy=0.2), rule) == ["forgetting"]


def test_every_accuracy_is_taken_over_the_window():
    steps = (1, 10, 100, 900, 925, 950, 975, 1000)
    late = [0.0] * 7 + [1.0]
    assert subphases(curves(steps, test_accuracy=1.0, train_accuracy=1.0, memorized_accuracy=late), RULE) == [
        "full_inversion"
    ]
    assert subphases(curves(steps, test_accuracy=0.1, train_accuracy=late, memorized_accuracy=0.0), RULE) == [
        "confusion"
    ]


def test_both_rules_labels_stand_beside_each_other():
    differs = at_end([0.1, 0.2, 0.5, 0.95], 0.95, 0.5, steps=(1, 10, 950, 1000))
    for rule in (RULE, DOSHI2024):
        (row,) = label_curves(differs, rule).to_dict("records")
        assert (row["subphase_doshi2024"], row["subphase_memorized_fraction"]) == ("coexistence", "memorization")
        assert row["subphase"] == row[f"subphase_{rule.rule}"]
        assert row["peak_test_accuracy"] == 0.95


def test_diverged_trials_of_a_long_table_get_no_label():
    rows = [
        dict.fromkeys(QUANTITIES, 1.0)
        | {"trial_id": name, "step": 1, "status": status, "corruption": 0.2, "n_corrupted": 50}
        for name, status in (("a", "ok"), ("b", "diverged"))
    ]
    assert label_frame(pd.DataFrame(rows), RULE).index.tolist() == ["a"]
