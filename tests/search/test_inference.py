"""What a search did not measure is said to be inferred, with a confidence that means what it says."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_maps import StoredMap, completed, drive, load_map

from phasemap.diagram.bands import inferred_band
from phasemap.diagram.diagram import make_diagram
from phasemap.diagram.points import point_table
from phasemap.diagram.tables import Tables
from phasemap.phases.curves import Curves
from phasemap.phases.labels import DOSHI2024, MEMORIZED_FRACTION, subphases
from phasemap.phases.terms import LABEL_STAND_INS, SHOWN, stand_in_values
from phasemap.search.completed import map_words
from phasemap.search.inference import complete
from phasemap.search.labelling import ByRule
from phasemap.search.modelled import Models
from phasemap.search.study_model import map_model, names_of, numbers_of, point_facts
from phasemap.study.names import SUBPHASES
from phasemap.study.rule_file import rule_of


@functools.cache
def searched():
    full = load_map("weight_decay")
    trials = drive(full, kind="boundary", budget=0.12, tolerance=0.0)
    return full, trials, completed(full, trials)


def test_measured_points_stay_as_they_are_and_all_others_are_inferred():
    full, trials, points = searched()
    before = point_table(full.study, trials)
    measured = (before["n_seeds"] > 0).to_numpy()
    pd.testing.assert_frame_equal(points[measured], before[measured])
    assert points["inferred"].tolist() == (~measured).tolist()
    assert points["phase"].notna().all()
    assert points.loc[measured, "confidence"].isna().all()
    assert points.loc[~measured, "confidence"].between(0, 1).all()
    assert (points.loc[~measured, "n_seeds"] == 0).all()


def test_labels_and_quantities_of_inferred_points_are_near_the_full_map_s():
    full, _, points = searched()
    inferred = points["inferred"].to_numpy(dtype=bool)
    for name, share in (("phase", 0.97), ("subphase", 0.95), ("generalizes", 0.97)):
        assert (points[name] == full.points[name])[inferred & full.agreed].mean() >= share
    off = (points["test_accuracy"] - full.points["test_accuracy"]).abs()[inferred]
    assert off.mean() < 0.03
    assert (off <= 2 * points.loc[inferred, "test_accuracy_std"] + 0.02).mean() > 0.85


def test_confidence_is_the_share_of_seeds_that_have_the_phase():
    full, _, points = searched()
    inferred = points["inferred"].to_numpy(dtype=bool)
    shares, confidence = full.shares(points["phase"])[inferred], points.loc[inferred, "confidence"].to_numpy()
    assert np.mean((confidence - shares) ** 2) < 0.02
    assert shares[confidence > 0.9].mean() > 0.97
    assert abs(shares.mean() - confidence.mean()) < 0.02


def test_confidence_is_low_where_seeds_disagree():
    full = load_map("plane_wd15")  # they do at a sixth of the points
    points = completed(full, drive(full, kind="boundary", budget=0.12, tolerance=0.0))
    inferred = points["inferred"].to_numpy(dtype=bool)
    shares, confidence = full.shares(points["phase"])[inferred], points.loc[inferred, "confidence"].to_numpy()
    assert shares[confidence < 0.8].mean() < 0.85
    assert abs(shares.mean() - confidence.mean()) < 0.03


def test_a_map_without_order_is_said_not_to_be_inferable():
    full, trials, points = searched()
    study = full.searched(kind="boundary").study
    assert "not inferable" not in map_words(Tables(study=study, trials=trials, points=points))
    mixed = full.trials.copy()
    order = np.random.default_rng(0).permutation(len(mixed))
    for name in ("phase", "subphase", *SHOWN):
        mixed[name] = mixed[name].to_numpy()[order]
    some = mixed.sample(len(trials), random_state=1)
    words = map_words(Tables(study=study, trials=some, points=completed(StoredMap(full.study, mixed), some)))
    assert re.search(r"; not inferable here from these trials: \d+ % of the inferred points have a confidence", words)


def test_a_grid_s_points_and_those_that_failed_are_not_inferred():
    full, trials, _ = searched()
    grid = Tables(study=full.study, trials=trials, points=point_table(full.study, trials))
    assert complete(grid) is grid
    study = full.searched(kind="boundary").study
    failed = trials.assign(status=np.where(np.arange(len(trials)) < 3, "failed", trials["status"]))
    points = complete(Tables(study=study, trials=failed, points=point_table(study, failed))).points
    lost = points["n_failed"] > 0
    assert lost.sum() >= 2
    assert not (points["inferred"] & lost).any()


def test_the_band_holds_the_full_map_s_frontier_where_it_is_inferred():
    full, _, points = searched()
    study = full.searched(kind="boundary").study
    diagram, truth = make_diagram(study, points), make_diagram(full.study, full.points)
    band = inferred_band(diagram, 0, diagram.named("generalization"), "x", 0.9)
    true = inferred_band(
        truth, 0, truth.named("generalization"), "x", 0.9
    )  # of a grid nothing is inferred: the lines themselves
    assert (true.low == true.high).all()
    assert (band.low < band.high).any()
    cell = np.diff(diagram.x.positions).mean()
    held = [
        any(low - 0.3 * cell <= place <= high + 0.3 * cell for low, high in zip(*ends, strict=True))
        for row, place in zip(true.row, true.crossing, strict=True)
        if len((ends := (band.low[band.row == row], band.high[band.row == row]))[0])
    ]
    assert len(held) >= 6
    assert np.mean(held) >= 0.8


def built_in_labelling(rule, corruption, n_corrupted):
    """Return how a study labels points by a built-in rule, with given facts."""
    study = load_map("weight_decay").study.model_copy(update={"phases": rule})
    models = Models(map_model(study, load_map("weight_decay").trials[:1]).models)
    facts = {"corruption": np.asarray(corruption), "n_corrupted": np.asarray(n_corrupted)}
    return ByRule(rule=rule_of(rule), names=names_of(study), models=models, facts=facts)


def model_values(table, rule, labelling):
    return labelling.models.surfaces(stand_in_values(table, rule))


accuracy = st.floats(0.05, 0.95)


@given(st.lists(st.tuples(accuracy, accuracy, accuracy, accuracy), min_size=1, max_size=20), st.integers(0, 40))
@pytest.mark.parametrize("rule", [MEMORIZED_FRACTION, DOSHI2024], ids=["memorized_fraction", "doshi2024"])
def test_a_drawn_network_is_labelled_as_one_with_flat_curves(rule, networks, n_corrupted):
    test, train, memorized, above = np.asarray(networks).T
    peak = np.minimum(test + above * (1 - test), 0.95)
    n = len(test)
    corruption, counts = np.full(n, 0.3), np.full(n, n_corrupted)
    values = {
        "test_accuracy": np.concatenate([peak[:, None], np.repeat(test[:, None], 9, axis=1)], axis=1),
        "train_accuracy": np.repeat(train[:, None], 10, axis=1),
        "memorized_accuracy": np.repeat(memorized[:, None], 10, axis=1),
    }
    curves = Curves(steps=np.arange(1, 11), values=values, facts={"corruption": corruption, "n_corrupted": counts})
    expected = subphases(curves, rule)
    table = pd.DataFrame(np.stack([test, train, memorized, peak], axis=1), columns=list(LABEL_STAND_INS))
    labelling = built_in_labelling(rule, corruption, counts)
    observed = model_values(table.assign(subphase=expected), rule, labelling)
    found = labelling.label(observed[None], np.arange(n))[0]
    assert [SUBPHASES[code] for code in found] == expected.tolist()


def test_a_peak_inside_the_window_is_no_past_to_the_model():
    seen = ["confusion", "forgetting", "memorization"]
    table = pd.DataFrame(
        {"test_accuracy": 0.5, "train_accuracy": [0.2, 0.2, 0.95], "memorized_accuracy": 0.2, "subphase": seen}
    ).assign(peak_test_accuracy=0.95)
    labelling = built_in_labelling(MEMORIZED_FRACTION, np.full(3, 0.3), np.full(3, 100))
    values = model_values(table, MEMORIZED_FRACTION, labelling)
    assert [SUBPHASES[code] for code in labelling.label(values[None], np.arange(3))[0]] == seen


def test_the_number_of_wrong_labels_is_known_nearly_where_nothing_was_trained():
    full, trials, _ = searched()
    places, _ = numbers_of(full.study, trials["trial_id"].tolist())
    study = full.searched(kind="boundary").study
    expected = point_facts(study, ["n_corrupted"], trials, places)["n_corrupted"]
    real = full.trials["n_corrupted"].to_numpy(dtype=float).reshape(-1, 2).mean(axis=1)
    assert np.abs(expected - real).max() <= 0.05 * real.max()
    assert ((expected == 0) == (real == 0)).all()
