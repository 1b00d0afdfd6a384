"""Points: majority, agreement, means, and whether generalization wins."""

import numpy as np
import pandas as pd
import pytest
from conftest import run_in_process, study_of
from hypothesis import given, settings
from hypothesis import strategies as st

from phasemap.diagram.frontier import generalization_wins
from phasemap.diagram.points import mean_columns, point_table
from phasemap.study.names import GROKKING, PHASES, SUBPHASES
from phasemap.study.trials import expand

STUDY = study_of(axes={"weight_decay": [0, 1]}, seeds=4)


def trials(subphases, statuses=None, **columns):
    """Return a trial table with the given subphases, four seeds a point."""
    rows = []
    for i, trial in enumerate(expand(STUDY)):
        subphase = subphases[i] if i < len(subphases) else None
        status = (statuses or {}).get(i, "ok" if subphase else None)
        if status is None:
            continue
        label = subphase if status == "ok" else None
        phase = "grokking" if label in GROKKING else label
        rows.append(
            dict.fromkeys(mean_columns(STUDY), 0.5)
            | {"trial_id": trial.trial_id, "status": status, "phase": phase, "subphase": label}
            | {"n_corrupted": 100, "n_classes": 7}
            | {name: values[i] for name, values in columns.items()}
        )
    return pd.DataFrame(rows)


def first(frame):
    return frame.iloc[0].to_dict()


def test_the_phase_is_the_majority_of_seeds_and_agreement_its_share():
    found = first(point_table(STUDY, trials(["memorization", "coexistence", "full_inversion", "coexistence"])))
    assert (found["phase"], found["subphase"], found["agreement"], found["n_seeds"]) == (
        "grokking",
        "coexistence",
        0.75,
        4,
    )


def test_the_subphase_is_the_majority_within_the_phase():
    many = ["memorization", "memorization", "coexistence", "full_inversion"]
    assert first(point_table(STUDY, trials(many)))["subphase"] == "memorization"


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (["coexistence", "memorization"], "memorization"),
        (["forgetting", "memorization"], "memorization"),
        (["confusion", "forgetting"], "forgetting"),
        (["clean_fit", "confusion"], "confusion"),
        (["coexistence", "forgetting"], "forgetting"),
    ],
)
def test_ties_are_decided_in_the_order_of_the_contract(pair, expected):
    assert first(point_table(STUDY, trials(pair * 2)))["phase"] == expected


def test_missing_failed_and_diverged_are_told_apart():
    table = point_table(STUDY, trials(["coexistence"] * 2, statuses={2: "failed", 3: "diverged"}))
    found, missing = table.iloc[0], table.iloc[1]
    assert (found["n_seeds"], found["n_failed"], found["n_diverged"]) == (2, 1, 1)
    assert found["agreement"] == 1.0
    assert pd.isna(missing["phase"])
    assert missing["n_seeds"] == 0
    assert pd.isna(missing["generalizes"])
    assert pd.isna(missing["generalization_wins"])
    assert np.isnan(missing["test_accuracy"])


def test_one_seed_has_no_agreement_and_no_deviation():
    found = first(point_table(STUDY, trials(["coexistence"])))
    assert np.isnan(found["agreement"])
    assert np.isnan(found["test_accuracy_std"])


def test_means_and_deviations_are_over_the_seeds():
    found = first(point_table(STUDY, trials(["coexistence"] * 4, test_accuracy=[0.9, 1.0, 0.9, 1.0])))
    assert found["test_accuracy"] == pytest.approx(0.95)
    assert found["test_accuracy_std"] == pytest.approx(np.std([0.9, 1, 0.9, 1], ddof=1))


@settings(max_examples=30)
@given(st.lists(st.sampled_from(SUBPHASES), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(labels, shuffler):
    found = first(point_table(STUDY, trials(labels)))
    mixed = first(point_table(STUDY, trials(shuffler.sample(labels, len(labels)))))
    assert str(found) == str(mixed)
    assert found["phase"] in PHASES
    assert found["generalizes"] == (found["phase"] == "grokking")


@pytest.mark.parametrize(
    ("recovered", "memorized", "corrupted", "expected"),
    [
        (90, 5, 100, "wins"),
        (5, 90, 100, "loses"),
        (50, 48, 100, "undetermined"),  # McNemar can't tell
        (0, 0, 0, "undetermined"),  # nothing is corrupted
        (60, 20, 1000, "undetermined"),  # both near chance
        (6, 0, 6, "wins"),  # p = 1/32
        (5, 0, 5, "undetermined"),  # p = 1/16
    ],
)
def test_generalization_wins_where_an_exact_test_can_tell(recovered, memorized, corrupted, expected):
    counts = (np.asarray([value]) for value in (recovered, memorized, corrupted))
    assert generalization_wins(*counts, np.asarray([1 / 31])) == [expected]


@pytest.mark.parametrize(("recovered", "memorized", "expected"), [(0.9, 0.05, "wins"), (0.05, 0.9, "loses")])
def test_a_point_wins_where_its_corrupted_examples_are_answered_by_the_rule(recovered, memorized, expected):
    seeds = trials(["coexistence"] * 4, recovered_accuracy=[recovered] * 4, memorized_accuracy=[memorized] * 4)
    assert first(point_table(STUDY, seeds))["generalization_wins"] == expected


def test_seeds_count_by_their_corrupted_examples_and_chance_by_the_classes():
    uneven = trials(
        ["coexistence"] * 4, n_corrupted=[1000, 10, 10, 10],
        recovered_accuracy=[0.9, 0.0, 0.0, 0.0], memorized_accuracy=[0.0, 0.9, 0.9, 0.9],
    )  # fmt: skip
    assert first(point_table(STUDY, uneven))["generalization_wins"] == "wins"
    two = trials(["coexistence"] * 4, recovered_accuracy=[0.52] * 4, memorized_accuracy=[0.2] * 4)
    assert first(point_table(STUDY, two.assign(n_classes=2)))["generalization_wins"] == "undetermined"
    assert first(point_table(STUDY, two.assign(n_classes=97)))["generalization_wins"] == "wins"


def test_an_axis_of_words_and_numbers_can_be_stored_and_read(tmp_path):
    study = study_of(axes={"batch_size": ["full", 8], "corruption": [0, 0.3]}, seeds=1)
    folder = run_in_process(study, tmp_path)
    points = pd.read_parquet(folder.points)
    assert points["batch_size"].tolist() == ["full", "full", "8", "8"]
    assert points["phase"].notna().all()
