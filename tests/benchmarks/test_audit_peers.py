"""Rival audits by their papers' formulas, against brute force on tiny data and the packages themselves."""

import sys
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import audit_peers
from audit_decision import worst_tenth
from audit_networks import data_set, neighbours_of, template
from audit_ranking import confident_learning

from phasemap.training.initial import initial_features_mlp


@pytest.fixture(scope="module")
def data():
    """40 rows in two clouds, of which 6 have the label of the other."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    inputs = (random.standard_normal((40, 3)) + 2 * labels[:, None]).astype(np.float32)
    given = labels.copy()
    given[[1, 5, 9, 22, 26, 30]] ^= 1
    return data_set(inputs, given, 2)


def test_knn_shapley_is_the_value_over_all_coalitions(data, monkeypatch):
    rows = np.r_[0:5, 20:24]
    few, k = data_set(data.inputs[rows], data.labels[rows], 2), 2
    monkeypatch.setattr(audit_peers, "SHAPLEY_NEIGHBOURS", k)

    def utility(coalition, asked):
        distance = ((few.inputs[list(coalition)] - few.inputs[asked]) ** 2).sum(axis=1)
        near = [coalition[i] for i in np.argsort(distance)[:k]]
        return sum(few.labels[row] == few.labels[asked] for row in near) / k

    n = len(few.labels)
    exact = np.zeros(n)
    for asked in range(n):
        others = [row for row in range(n) if row != asked]
        for row in others:
            rest = [other for other in others if other != row]
            for size in range(n - 1):
                gains = [utility((*c, row), asked) - (utility(c, asked) if c else 0) for c in combinations(rest, size)]
                exact[row] += sum(gains) / comb(n - 2, size) / (n - 1)
    np.testing.assert_allclose(audit_peers.knn_shapley(few), -exact / (n - 1), atol=1e-12)


def test_data_oob_counts_the_trees_that_did_not_see_a_row(data, monkeypatch):
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier

    monkeypatch.setattr(audit_peers, "TREES", 15)
    bag = BaggingClassifier(DecisionTreeClassifier(), n_estimators=15, random_state=3)
    bag.fit(data.inputs, data.labels)
    expected = []
    for row, label in enumerate(data.labels):
        unseen = [
            tree for tree, seen in zip(bag.estimators_, bag.estimators_samples_, strict=True) if row not in set(seen)
        ]
        wrong = [int(tree.predict(data.inputs[[row]])[0]) != label for tree in unseen]
        expected.append(np.mean(wrong))
    np.testing.assert_allclose(audit_peers.data_oob(data, 3), expected)


def test_cartography_and_aum_are_means_over_the_steps(data):
    """Three labels, one unseen, and a loop by autograd over single rows' scores."""
    three = data_set(data.inputs, data.labels, 3)
    hard, margin = audit_peers.dynamics(three, 0)
    trial = template()
    first, last = (w.clone().requires_grad_() for w in initial_features_mlp(trial, 3, 3))
    optimizer = torch.optim.AdamW([first, last], lr=0.01, weight_decay=trial.weight_decay, betas=(0.9, 0.98))
    confidences, margins = [], []
    for _ in range(trial.horizon):
        scores = torch.relu(torch.from_numpy(three.inputs) @ first) @ last.t()
        shown = scores.detach().double().numpy()
        share = np.exp(shown) / np.exp(shown).sum(axis=1, keepdims=True)
        confidences.append([share[row, label] for row, label in enumerate(three.labels)])
        margins.append([s[label] - max(np.delete(s, label)) for s, label in zip(shown, three.labels, strict=True)])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, torch.from_numpy(three.labels)).backward()
        optimizer.step()
    np.testing.assert_allclose(hard, 1 - np.mean(confidences, axis=0), atol=1e-4)
    np.testing.assert_allclose(margin, -np.mean(margins, axis=0), rtol=1e-3, atol=1e-3)
    wrong = np.isin(np.arange(40), [1, 5, 9, 22, 26, 30])
    assert margin[wrong].mean() > margin[~wrong].mean()


def test_simifeat_is_one_minus_the_cosine_of_label_and_neighbours(data):
    near = neighbours_of(data.inputs.tobytes(), data.inputs.shape)
    expected = []
    for row, label in enumerate(data.labels):
        distance = ((data.inputs - data.inputs[row]) ** 2).sum(axis=1)
        distance[row] = np.inf
        nearest = np.argsort(distance)[: near.shape[1]]
        votes = np.bincount(data.labels[nearest], minlength=2)
        expected.append(1 - votes @ np.eye(2)[label] / np.sqrt(votes @ votes))
    np.testing.assert_allclose(audit_peers.simifeat(data), expected)


def test_cleanlab_ranks_as_its_own_search_does(data):
    filtering = pytest.importorskip("cleanlab.filter")
    folds = np.random.default_rng(1).dirichlet([1, 1], 40)
    order = filtering.find_label_issues(
        data.labels, folds, return_indices_ranked_by="self_confidence", filter_by="confident_learning", n_jobs=1
    )
    score = confident_learning(data, folds)["cleanlab self_confidence"]
    assert len(order) > 5
    assert (np.diff(score[order]) <= 0).all()
    np.testing.assert_allclose(score, 1 - folds[np.arange(40), data.labels])


def cell(name, draw, precision):
    same = {"set": name, "kind": "uniform", "rate": 0.2, "draw": draw, "wrong": 0.2, "auc": 0.9, "misses": 0.1}
    values = {"calibration_error": 0.1, "brier": 0.1, "expected_rate": 0.19}
    return [{**same, **values, "method": method, "average_precision": precision} for method in ("phasemap", "AUM")]


def test_cells_have_an_interval_over_draws_and_those_of_used_sets_are_marked():
    rows = [
        row for name in ("iris", "wine") for draw, value in enumerate((0.8, 0.9)) for row in cell(name, draw, value)
    ]
    found = audit_peers.summary(pd.DataFrame(rows))
    assert found["not used for choosing"]["sets"] == ["iris"]
    assert [(one["set"], one["used"], one["draws"], one["half"]) for one in found["cells"]] == [
        ("iris", False, 2, 0.635),  # t of 0.975 at one degree of freedom, 12.71, by 0.0707 / sqrt(2)
        ("wine", True, 2, 0.635),
    ]


def test_a_cell_is_lower_beyond_noise_where_the_whole_interval_of_the_gap_is_below_zero():
    gaps = {"iris": (-0.10, -0.11, -0.12), "cars": (-0.3, 0.1, -0.1), "fair": (0.2, 0.21, 0.22)}
    rows = []
    for name, differences in gaps.items():
        for draw, gap in enumerate(differences):
            rival, own = cell(name, draw, 0.5)[1], cell(name, draw, 0.5 + gap)[0]
            rows += [own, rival]
    table = audit_peers.summary(pd.DataFrame(rows))["all"]
    assert table["cells_lower_beyond_noise"] == pytest.approx(1 / 3, abs=1e-4)
    against = table["precision_against"]["AUM"]
    assert against["low"] < against["difference"] < against["high"]


def test_a_table_of_nothing_is_empty_and_the_short_form_names_sets_that_there_are():
    assert audit_peers.summary(pd.DataFrame()) == {}
    assert set(audit_peers.SHORT["sets"].split(",")) <= set(audit_peers.ALL_SETS)


def test_the_worst_tenth_is_the_mean_of_the_largest_and_of_a_few_the_largest():
    assert worst_tenth(pd.Series([*range(20)])) == 18.5
    assert worst_tenth(pd.Series([0.0, 3.0, 1.0])) == 3
