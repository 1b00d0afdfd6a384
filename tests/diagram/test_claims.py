"""Claims on tables with known answers, and on a small real run against plain pandas."""

import math

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats import t as student

from phasemap.diagram.claims import check_claims
from phasemap.diagram.diagram import make_diagram
from phasemap.diagram.points import mean_columns, point_table
from phasemap.results.folder import RunFolder
from phasemap.study.claim_grammar import parse_claim
from phasemap.study.claims import vocabulary
from phasemap.study.names import GROKKING, STEP_TIMES
from phasemap.study.trials import expand

AXES = {"corruption": [0, 0.1, 0.2], "weight_decay": [0, 5]}
STUDY = study_of(axes=AXES, fixed={}, seeds=3)
ONE_SEED = study_of(axes=AXES, fixed={}, seeds=1)


def table(study=STUDY, **columns):
    """Return a whole table of trials; each column is a value or a function of the trial."""
    rows = []
    for trial in expand(study):
        row = dict.fromkeys({*vocabulary(study).columns, *mean_columns(study)}, 0.5) | dict.fromkeys(STEP_TIMES, 100.0)
        row |= {"n_corrupted": 100, "n_classes": 7, "horizon": 2000, "status": "ok", "subphase": "confusion"}
        row |= {name: value(trial) if callable(value) else value for name, value in columns.items()}
        row |= {"trial_id": trial.trial_id, "seed": trial.seed}
        row |= {"corruption": trial.corruption, "weight_decay": trial.weight_decay}
        row["phase"] = "grokking" if row["subphase"] in GROKKING else row["subphase"]
        if row["status"] == "missing":
            continue
        if row["status"] != "ok":
            row |= {"phase": None, "subphase": None}
        rows.append(row)
    return pd.DataFrame(rows)


def check(text, trials=None, study=STUDY):
    (result,) = check_claims(
        study, table(study) if trials is None else trials, [parse_claim(text, study.axes, vocabulary(study))]
    )
    assert result.text == text
    return result


def by_seed(*values):
    return lambda trial: values[trial.seed]


def test_the_interval_is_student_s_over_the_seeds():
    trials = table(test_accuracy=by_seed(0.7, 0.8, 0.9), train_accuracy=by_seed(0.6, 0.6, 0.5))
    result = check("test_accuracy > train_accuracy", trials)
    # differences 0.1, 0.2, 0.4: mean 0.7 / 3, standard deviation sqrt(0.07 / 3), t(0.975, 2) = 4.302653
    assert (result.left, result.right) == (pytest.approx(0.8), pytest.approx(1.7 / 3))
    assert result.difference == pytest.approx(0.7 / 3)
    half = 4.302653 * math.sqrt(0.07 / 3) / math.sqrt(3)
    assert result.interval == pytest.approx((0.7 / 3 - half, 0.7 / 3 + half), rel=1e-6)
    assert (result.n_seeds, result.n_trials, result.n_expected, result.reason) == (3, 18, 18, "")
    assert result.verdict == "undecided"


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1).map(lambda v: round(v, 6)), min_size=3, max_size=3, unique=True))
def test_the_interval_agrees_with_scipy_for_any_differences(values):
    result = check("test_loss > 0", table(test_loss=by_seed(*values)))
    expected = student.interval(0.95, 2, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(3))
    assert result.interval == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "comparison", "verdict"),
    [
        ((0.90, 0.91, 0.92), ">", "holds"),
        ((0.10, 0.11, 0.12), ">", "fails"),
        ((0.10, 0.50, 0.90), ">", "undecided"),
        ((0.10, 0.11, 0.12), "<=", "holds"),
        ((0.90, 0.91, 0.92), "<=", "fails"),
        ((0.5, 0.5, 0.5), ">=", "holds"),
        ((0.5, 0.5, 0.5), "<=", "holds"),
        ((0.5, 0.5, 0.5), ">", "fails"),
        ((0.5, 0.5, 0.5), "<", "fails"),
        ((0.1 + 0.4, 0.5, 0.3 + 0.2), ">=", "holds"),
    ],
)
def test_a_claim_holds_or_fails_only_if_the_whole_interval_says_so(values, comparison, verdict):
    assert check(f"test_loss {comparison} 0.5", table(test_loss=by_seed(*values))).verdict == verdict


def test_sides_that_differ_by_rounding_alone_are_equal():
    trials = table(test_loss=by_seed(0.3, 0.3, 0.3), train_loss=by_seed(0.1, 0.1, 0.1))
    result = check("test_loss <= train_loss + train_loss + train_loss - 0", trials)
    assert (result.verdict, result.difference, result.interval) == ("holds", 0.0, (0.0, 0.0))
    assert check("train_loss + train_loss + train_loss <= test_loss", trials).verdict == "holds"


def test_one_seed_has_no_interval_and_its_value_decides():
    result = check("test_loss > 0.4 at corruption=0.1", study=ONE_SEED)
    assert (result.verdict, result.interval, result.n_seeds, result.n_trials) == ("holds", None, 1, 2)
    assert check("test_loss > 0.6", study=ONE_SEED).verdict == "fails"


def test_an_area_is_the_share_of_a_label_among_the_chosen_trials():
    labels = {(0, 0): "clean_fit", (0.1, 0): "coexistence", (0.2, 0): "memorization", (0, 5): "forgetting"}
    trials = table(subphase=lambda t: labels.get((t.corruption, t.weight_decay), "full_inversion"))
    for text, value in (
        ("area(coexistence)", 1 / 6),
        ("area(generalizes)", 4 / 6),
        ("area(grokking)", 4 / 6),
        ("area(full_inversion, weight_decay=5)", 2 / 3),
        ("area(full_inversion, weight_decay=5, corruption>0)", 1),
        ("area(memorization, weight_decay!=5)", 1 / 3),
        ("area(confusion)", 0),
    ):
        assert check(f"{text} >= 0", trials).left == pytest.approx(value), text


def test_statistics_shares_and_arithmetic_are_those_of_the_chosen_trials():
    trials = table(
        test_loss=lambda t: 10 * t.corruption + t.weight_decay + t.seed / 4,
        mean_ipr=lambda t: t.corruption * t.weight_decay + t.seed / 8,
    )
    rows = dict(iter(trials.groupby("seed")))
    some = {seed: part[part["corruption"] <= 0.1] for seed, part in rows.items()}
    for text, value in (
        ("min(test_loss)", lambda s: rows[s]["test_loss"].min()),
        ("max(test_loss)", lambda s: rows[s]["test_loss"].max()),
        ("median(test_loss, corruption<=0.1)", lambda s: some[s]["test_loss"].median()),
        ("mean(corruption)", lambda s: 0.1),
        ("share(test_loss >= 5)", lambda s: (rows[s]["test_loss"] >= 5).mean()),
        ("share(mean_ipr < test_loss)", lambda s: (rows[s]["mean_ipr"] < rows[s]["test_loss"]).mean()),
        ("share(test_loss != 0)", lambda s: (rows[s]["test_loss"] != 0).mean()),
        ("correlation(mean_ipr, test_loss)", lambda s: spearmanr(rows[s]["mean_ipr"], rows[s]["test_loss"])[0]),
        ("1 + 2 * max(test_loss) / (3 - 1) - -2", lambda s: 3 + rows[s]["test_loss"].max()),
    ):
        expected = np.mean([value(seed) for seed in range(3)])
        assert check(f"{text} > 0", trials).left == pytest.approx(expected), text


def test_a_chain_tests_each_of_its_links():
    trials = table(test_loss=by_seed(0.50, 0.51, 0.52))
    result = check("0.4 < test_loss < 0.6", trials)
    assert [link.verdict for link in result.links] == ["holds", "holds"]
    assert (result.verdict, result.left, result.right) == ("holds", pytest.approx(0.4), pytest.approx(0.51))
    result = check("0.4 < test_loss < 0.5", trials)
    assert [link.verdict for link in result.links] == ["holds", "undecided"]
    assert (result.verdict, result.left, result.right) == ("undecided", pytest.approx(0.51), 0.5)
    result = check("0.505 < test_loss < 0.2", trials)
    assert [link.verdict for link in result.links] == ["undecided", "fails"]
    assert (result.verdict, result.right) == ("fails", 0.2)


def test_steps_that_are_not_reached_count_as_later_than_any_in_a_median_and_have_no_mean():
    trials = table(grokking_step=lambda t: None if t.corruption > 0 else 50.0, forgetting_step=None)
    late = check("median(grokking_step) < 1000", trials)
    assert (late.verdict, late.left, late.interval) == ("fails", math.inf, (math.inf, math.inf))
    assert late.reason == "grokking_step is not reached in 12 of 18 trials"
    assert check("median(grokking_step) < 1000 at corruption=0", trials).verdict == "holds"
    assert check("min(grokking_step) <= 50", trials).verdict == "holds"
    assert check("share(grokking_step < 1000) <= 0.34", trials).left == pytest.approx(1 / 3)
    assert check("share(forgetting_step > grokking_step) > 0.3", trials).left == pytest.approx(1 / 3)
    for text in ("mean(grokking_step) < 1000", "max(grokking_step) > 1", "grokking_step < 1000"):
        result = check(text, trials)
        assert (result.verdict, result.links, result.left) == ("undecided", (), None)
        assert "has no value: the step is not reached in 4 of 6 trials; median(grokking_step)" in result.reason
    both = check("median(grokking_step) < median(forgetting_step)", trials)
    assert (both.verdict, both.reason.split("; ")[-1]) == ("undecided", "step times on both sides are not reached")
    inside = check("median(grokking_step) - median(forgetting_step) < 0", trials)
    assert "leave no value at seed 0" in inside.reason


def test_a_step_that_is_reached_at_some_seeds_only_leaves_a_claim_undecided():
    result = check("median(grokking_step) < 1000", table(grokking_step=by_seed(50.0, 60.0, None)))
    assert (result.verdict, result.interval) == ("undecided", None)
    assert result.reason == "grokking_step is not reached in 6 of 18 trials; a step time is reached at some seeds only"


def test_what_lies_beyond_the_horizon_is_not_known():
    trials = table(grokking_step=lambda t: None if t.weight_decay == 0 else 300.0)  # the horizon is 2000
    assert check("median(grokking_step) > 2000 at weight_decay=0", trials).verdict == "holds"
    assert check("median(grokking_step) < 1999 at weight_decay=0", trials).verdict == "fails"
    for text in (
        "median(grokking_step) > 5000 at weight_decay=0",
        "median(grokking_step) < 5000 at weight_decay=0",
        "share(grokking_step > 5000) > 0.1",
        "median(grokking_step, weight_decay=0) > 10 * median(grokking_step, weight_decay=5)",
    ):
        result = check(text, trials)
        assert (result.verdict, result.links) == ("undecided", ()), text
        assert result.reason.endswith("the answer depends on when they are reached after the horizon")
    ratio = check("median(grokking_step, weight_decay=0) > 6 * median(grokking_step, weight_decay=5)", trials)
    assert (ratio.verdict, ratio.reason) == ("holds", "grokking_step is not reached in 9 of 9 trials")


def test_trials_that_are_not_there_are_told_and_never_hidden():
    statuses = {(0.2, 5, 0): "failed", (0.2, 5, 1): "diverged", (0.2, 5, 2): "missing", (0.2, 0, 2): "missing"}
    trials = table(status=lambda t: statuses.get((t.corruption, t.weight_decay, t.seed), "ok"), subphase="coexistence")
    result = check("area(coexistence) >= 1", trials)
    assert (result.verdict, result.n_seeds, result.n_trials, result.n_expected) == ("holds", 3, 14, 18)
    assert result.reason == "14 of 18 trials are there (2 missing, 1 failed, 1 diverged)"
    nothing = check("area(coexistence) >= 1 at corruption=0.2, weight_decay=5", trials)
    assert (nothing.verdict, nothing.n_seeds, nothing.n_trials, nothing.n_expected) == ("undecided", 0, 0, 3)
    assert nothing.reason.endswith("fewer than half of the trials of a term are there")
    one_term = check("area(coexistence) >= area(coexistence, corruption=0.2, weight_decay=5)", trials)
    assert one_term.verdict == "undecided"
    assert one_term.reason.endswith("fewer than half of the trials of a term are there")


def test_seeds_with_less_than_half_of_their_trials_are_left_out_and_one_of_several_does_not_decide():
    two = table(status=lambda t: "missing" if t.seed == 1 and t.weight_decay == 5 and t.corruption > 0 else "ok")
    result = check("test_loss > 0.1 where weight_decay=5", two)
    assert (result.verdict, result.n_seeds, result.n_trials, result.n_expected) == ("holds", 2, 7, 9)
    spread = {(0, 0.2), (1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)}
    trials = table(status=lambda t: "missing" if (t.seed, t.corruption) in spread else "ok")
    assert "fewer than half" in check("test_loss > 0.1", trials).reason
    kept = table(status=lambda t: "missing" if t.seed > 0 and (t.corruption, t.weight_decay) > (0.0, 5.0) else "ok")
    one = check("test_loss > 0.1", kept)
    assert (one.verdict, one.n_trials) == ("undecided", 10)
    assert one.reason.endswith("1 of 3 seeds have half of their trials; needed: at least 2")


def test_undefined_quantities_are_left_out_told_and_never_counted():
    trials = table(memorized_accuracy=lambda t: None if t.corruption == 0 else 0.25 * (1 + t.seed))
    result = check("memorized_accuracy > 0.1", trials)
    assert result.left == pytest.approx(0.5)
    assert result.reason == "mean(memorized_accuracy) leaves out 6 of 18 trials, where it is undefined"
    assert check("share(memorized_accuracy < 2) >= 1", trials).left == 1
    nothing = check("memorized_accuracy > 0.1 at corruption=0", trials)
    assert (nothing.verdict, nothing.links) == ("undecided", ())
    assert nothing.reason == "mean(memorized_accuracy, corruption=0) is undefined in 6 of 6 trials"


def test_what_has_no_value_is_undecided_with_its_reason():
    assert check("test_loss / (test_loss - 0.5) > 0").reason == "divides by zero at seed 0"
    assert "needs 3 trials that differ in both" in check("correlation(test_loss, corruption) > 0").reason


def line(values, name="test_accuracy"):
    return {name: lambda t: values[t.seed][AXES["corruption"].index(t.corruption)]}


def test_a_frontier_is_where_the_diagram_draws_it_seed_by_seed():
    trials = table(**line([[1, 1, 0.2], [1, 0.95, 0.1], [1, 0.3, 0.1]]))
    result = check("frontier(generalization, along=corruption, weight_decay=5) > 0", trials)
    expected = []
    for seed in STUDY.seeds:
        one = STUDY.model_copy(update={"seeds": (seed,)})
        diagram = make_diagram(one, point_table(one, trials), x="corruption", fix={"weight_decay": 5})
        (crossing,) = diagram.frontier("generalization")
        expected.append(crossing[0, 0])
    assert result.left == pytest.approx(np.mean(expected))
    assert 0.1 < expected[1] < 0.12
    # at seed 2, on the logit scale, with 1.0 taken as 0.995:
    logit = [math.log(a / (1 - a)) for a in (0.995, 0.9, 0.3)]
    assert expected[2] == pytest.approx(0.1 * (logit[0] - logit[1]) / (logit[0] - logit[2]))


def test_the_inversion_frontier_crosses_between_wins_and_loses():
    told = {
        "memorized_accuracy": lambda t: 0.1 + 4 * t.corruption,
        "recovered_accuracy": lambda t: 0.9 - 4 * t.corruption,
    }
    result = check("frontier(inversion, along=corruption, weight_decay=0) > 0", table(**told))
    assert result.left == pytest.approx(0.1)  # where nothing can be told, between wins and loses
    only_wins = check("frontier(inversion, along=corruption, weight_decay=0, corruption<=0.1) > 0", table(**told))
    assert "does not cross corruption at seed 0" in only_wins.reason
    steps = table(memorized_accuracy=lambda t: 0.1 if t.corruption < 0.1 else 0.8, recovered_accuracy=0.4)
    result = check("frontier(inversion, along=corruption, weight_decay=0) > 0", steps)
    assert result.left == pytest.approx(0.1 * 0.3 / 0.7)


def test_of_several_crossings_the_median_is_taken_and_without_one_the_claim_is_undecided():
    study = study_of(axes={"corruption": [0, 0.1, 0.2, 0.3]}, fixed={}, seeds=1)
    values = {0.0: 0.95, 0.1: 0.2, 0.2: 0.95, 0.3: 0.2}
    trials = table(study, test_accuracy=lambda t: values[t.corruption])
    crossings = sorted(c[0, 0] for c in make_diagram(study, point_table(study, trials)).frontier())
    result = check("frontier(generalization, along=corruption) > 0", trials, study)
    assert len(crossings) == 3
    assert result.left == pytest.approx(crossings[1])
    first = check("frontier(generalization, along=corruption, corruption<=0.1) > 0", trials, study)
    assert first.left == pytest.approx(crossings[0])
    none = check("frontier(generalization, along=corruption) > 0", table(study), study)
    assert (none.verdict, none.reason) == (
        "undecided", "the generalization frontier does not cross corruption at seed 0",
    )  # fmt: skip


def test_a_frontier_at_one_value_of_an_axis_has_the_trials_of_its_study():
    axes = {"corruption": [0, 0.1, 0.2], "corruption_kind": ["symmetric", "shift"]}
    study = study_of(axes=axes, fixed={}, seeds=2, task={"kind": "modular_addition", "modulus": 7, "shift_by": 3})
    trials = table(study, test_accuracy=lambda t: 0.95 if t.corruption < 0.15 else 0.5)
    trials["corruption_kind"] = [trial.corruption_kind for trial in expand(study)]
    for kind in axes["corruption_kind"]:
        result = check(f"frontier(generalization, along=corruption, corruption_kind={kind}) > 0.1", trials, study)
        assert (result.verdict, result.n_seeds) == ("holds", 2)


def test_claims_on_a_real_run_are_what_pandas_says(finished):
    study, folder = finished
    trials = pd.read_parquet(RunFolder(folder.path).trials)
    strong = trials[trials["weight_decay"] == 2]
    seeds = [0, 1]
    for text, values in (
        ("area(memorization)", [(trials[trials["seed"] == s]["phase"] == "memorization").mean() for s in seeds]),
        ("test_accuracy at weight_decay=2", [strong[strong["seed"] == s]["test_accuracy"].mean() for s in seeds]),
        ("max(weight_norm)", [trials[trials["seed"] == s]["weight_norm"].max() for s in seeds]),
        ("share(train_accuracy > test_accuracy)",
         [(t["train_accuracy"] > t["test_accuracy"]).mean() for _, t in trials.groupby("seed")]),
        ("correlation(weight_decay, weight_norm)",
         [spearmanr(t["weight_decay"], t["weight_norm"])[0] for _, t in trials.groupby("seed")]),
    ):  # fmt: skip
        term, _, rest = text.partition(" at ")
        result = check(f"{term} > 0.3{f' at {rest}' if rest else ''}", trials, study)
        assert result.left == pytest.approx(np.mean(values)), text
        differences = np.asarray(values) - 0.3
        if values[0] != values[1]:
            half = student.ppf(0.975, 1) * np.std(differences, ddof=1) / math.sqrt(2)
            low, high = (-0.3, 0.7) if "accuracy" in text else (-math.inf, math.inf)
            if text.startswith("share"):
                half = math.inf  # of four trials a seed, two seeds say nothing
            if text.startswith("correlation"):
                low, high = -1.3, 0.7
            expected = (max(differences.mean() - half, low), min(differences.mean() + half, high))
            assert result.interval == pytest.approx(expected)
