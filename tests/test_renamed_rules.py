"""The built-in rules are files like any other: copies with every label and quantity renamed give the same maps."""

import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from synthetic import result_of

from phasemap.diagram.claims import check_claims
from phasemap.diagram.compare import compare
from phasemap.diagram.critical import critical
from phasemap.diagram.diagram import make_diagram
from phasemap.diagram.points import point_table
from phasemap.figures.spec import figure_spec
from phasemap.results.merge import trial_table
from phasemap.results.schema import shard_schema
from phasemap.results.shards import shard_table
from phasemap.study.claim_grammar import parse_claim
from phasemap.study.claims import vocabulary
from phasemap.study.networks import NETWORK_RECORDED
from phasemap.study.rule_file import own_rule, parse_rule
from phasemap.study.spec import NetworkStudy
from phasemap.study.trials import expand
from phasemap.study.yaml_lines import parse_document

RENAMED = {
    "train_accuracy": "fit", "test_accuracy": "worth", "clean_accuracy": "honest_fit", "memorized_accuracy": "rote",
    "recovered_accuracy": "healed", "train_loss": "strain", "test_loss": "outer_strain",
    "memorization": "hoarding", "forgetting": "losing", "confusion": "haze", "grokking": "knowing",
    "coexistence": "both", "partial_inversion": "half_turn", "full_inversion": "whole_turn", "clean_fit": "plain",
    "undetermined": "unsure", "memorization_step": "hoarding_step", "grokking_step": "knowing_step",
    "unlearning_step": "letting_go_step", "forgetting_step": "losing_step", "delayed": "late",
}  # fmt: skip
AXES = {"corruption": [0, 0.1, 0.2, 0.3, 0.4, 0.6], "weight_decay": [0, 5, 10, 15, 20]}
VERDICTS = ("generalization_wins",)
CLAIMS = (
    "area(full_inversion, weight_decay=20) > area(full_inversion, weight_decay=0)",
    "median(grokking_step) >= median(memorization_step)",
    "frontier(generalization, along=weight_decay, corruption=0.3) > 1",
    "mean(memorized_accuracy, corruption>0) < 0.5",
    "correlation(test_accuracy, weight_decay) > 0",
)


class RenamedStudy(NetworkStudy):
    """A study of networks whose quantities bear other names."""

    @property
    def recorded(self):
        return replace(NETWORK_RECORDED, quantities={other(n): k for n, k in NETWORK_RECORDED.quantities.items()})


def other(text):
    """Write names as the renamed copies have them."""
    return re.sub(r"([a-z_]+?)(_std)?\b", lambda word: RENAMED.get(word[1], word[1]) + (word[2] or ""), text)


def both(name):
    """Return a study by a built-in rule, and the same one by its renamed copy: (study, trials) of each."""
    study = study_of(axes=AXES, fixed={}, seeds=3, training={"steps": 300}, phases={"rule": name})
    results = [result_of(trial, "ok") for trial in expand(study)]
    text = other((files("phasemap") / "phases" / f"{name}.yaml").read_text())
    recorded = {other(n): k for n, k in NETWORK_RECORDED.quantities.items()}
    rule = own_rule(parse_rule(parse_document(text, "copy.yaml"), "copy", recorded=recorded))
    twin = RenamedStudy.model_construct(**{**dict(study), "phases": rule})
    renamed = [replace(r, curves={other(n): c for n, c in r.curves.items()}) for r in results]
    tables = []
    for one, rows in ((study, results), (twin, renamed)):
        table = shard_table("pack", rows, shard_schema(one), one.declared)
        tables.append((one, trial_table(table, one.phases)))
    return tables


@pytest.fixture(scope="module", params=["memorized_fraction", "doshi2024"])
def twins(request):
    return both(request.param)


def same(frame, twin, left_out=()):
    """Compare a table with its renamed twin: the columns that both know, but for the names in them."""
    shared = [name for name in frame if other(name) in twin and name not in left_out]
    for name in shared:
        a, b = frame[name], twin[other(name)]
        if a.dtype == object or isinstance(a.dtype, pd.StringDtype):
            said = str if name in VERDICTS else other  # what a test says is no label
            assert [said(str(value)) for value in a] == [str(value) for value in b], name
        else:
            values = [column.to_numpy(dtype=float, na_value=np.nan) for column in (a, b)]
            np.testing.assert_array_equal(*values)
    return set(shared)


def test_trials_and_points_are_the_same_but_for_the_names(twins):
    (study, trials), (twin, renamed) = twins
    known = same(trials, renamed, left_out=("rule",))
    assert {"phase", "subphase", "label_reason", "test_accuracy", "grokking_step", "delayed", "settled"} <= known
    assert trials["subphase"].nunique() > 3
    known = same(point_table(study, trials), point_table(twin, renamed), left_out=("generalizes",))
    assert {"phase", "subphase", "agreement", "generalization_wins", "test_accuracy_std"} <= known


def test_diagrams_and_pictures_are_the_same_but_for_the_names(twins):
    (study, trials), (twin, renamed) = twins
    one, two = make_diagram(study, point_table(study, trials)), make_diagram(twin, point_table(twin, renamed))
    assert study.phases.frontiers == twin.phases.frontiers
    for name in study.phases.frontiers:
        assert one.frontier(name)
        for line, its_twin in zip(one.frontier(name), two.frontier(name), strict=True):
            np.testing.assert_array_equal(line, its_twin)
    marks = [figure_spec(diagram).panels[0].marks for diagram in (one, two)]
    assert [other(name) for name in marks[0].ravel()] == list(marks[1].ravel())


def test_claims_transitions_and_comparisons_are_the_same_but_for_the_names(twins):
    (study, trials), (twin, renamed) = twins
    found = []
    for one, rows, texts in ((study, trials, CLAIMS), (twin, renamed, map(other, CLAIMS))):
        claims = [parse_claim(text, one.axes, vocabulary(one)) for text in texts]
        found.append(check_claims(one, rows, claims))
    for mine, its_twin in zip(*found, strict=True):
        assert (mine.verdict, mine.left, mine.interval) == (its_twin.verdict, its_twin.left, its_twin.interval)
        assert other(mine.reason) == its_twin.reason
    places = [
        critical(one, rows, "weight_decay", event, fix={"corruption": 0.3})
        for (one, rows), event in zip(twins, ("memorization", "hoarding"), strict=True)
    ]
    assert places[0].location == places[1].location
    moved = [compare(one, rows, one, rows[rows["seed"] != 2]) for one, rows in twins]
    counts = [one.transitions["subphase"].counts for one in moved]
    assert list(map(other, counts[0].index)) == list(counts[1].index)
    np.testing.assert_array_equal(counts[0].to_numpy(), counts[1].to_numpy())
    assert moved[0].verdict == moved[1].verdict
