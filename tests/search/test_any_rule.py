"""The boundary search of made-up programs: any labels, quantities and frontiers, on maps whose borders are known."""

import ast
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import slow
from made_up import LOGS, made_up, sigmoid
from made_up_maps import FORCES, LEARNING, TIMES, forces, learning, times
from stored_maps import StoredMap, drive, load_map

import phasemap.search
from phasemap.diagram.points import point_table
from phasemap.diagram.tables import Tables
from phasemap.phases.evaluation import GivenTerms
from phasemap.phases.labels import label_trials
from phasemap.phases.terms import LABEL_STAND_INS, kept_terms, term_column
from phasemap.search.completed import completed, map_words
from phasemap.search.labelling import ByRule, BySide, OneHot
from phasemap.search.scales import bent_scale
from phasemap.search.study_map import expected_wrong
from phasemap.search.study_model import map_model, point_facts, usable, why_labels
from phasemap.search.surfaces import Surfaces
from phasemap.search.target import target_of
from phasemap.study import names
from phasemap.study.conditions import Fact, Value
from phasemap.study.rule_file import own_rule, parse_rule
from phasemap.study.yaml_lines import parse_document

MAPS = {"learning": learning, "times": times, "forces": forces}
UNSEEN = (2001, 2002, 2003)  # seeds that nothing was designed by


@cache
def searched(name, seed, **search):
    full = MAPS[name](seed).searched(**{"kind": "boundary", "budget": 0.15, "tolerance": 0.0, **search})
    return full, full.driven(24, seed)


@pytest.mark.parametrize("seed", [UNSEEN[0], *slow("search", *UNSEEN[1:])])
@pytest.mark.parametrize("name", MAPS)
def test_fifteen_percent_of_the_trials_give_the_map(name, seed):
    full, trials = searched(name, seed)
    assert len(trials) == round(0.15 * len(full.trials))
    assert full.points(full.trials)["subphase"].nunique() >= 3
    assert min(full.agreement(trials), full.agreement(trials, "phase")) >= 0.97


def test_it_knows_how_wrong_it_is_and_is_better_than_drawn_points():
    for name in MAPS:
        full, trials = searched(name, UNSEEN[0])
        wrong = 1 - full.agreement(trials, "phase")
        assert wrong / 4 - 0.005 <= expected_wrong(full.study, trials) <= 0.12
        drawn = full.searched(kind="random", budget=0.15, seeds_per_point=1)
        assert full.agreement(trials) > drawn.agreement(drawn.driven(10))


def renamed(content, words):
    """Rename labels, groups, parameters, frontiers and quantities everywhere in a rule's content."""
    pattern = re.compile(rf"\b({'|'.join(words)})\b")
    if isinstance(content, dict):
        return {renamed(key, words): renamed(value, words) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value, words) for value in content]
    return pattern.sub(lambda found: words[found[0]], content) if isinstance(content, str) else content


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("learning", LEARNING, {"score": "alpha", "cost": "omega", "good": "zz", "skill": "a_line", "useful": "b"}),
        ("times", TIMES, {"score": "zeta", "slope": "abc", "steepness": "phases_too"}),
        *slow(
            "search",
            ("forces", FORCES, {"pull": "z3", "grip": "y2", "tone": "x1", "balance": "w", "moves": "v", "sounds": "u"}),
        ),
    ],
)
def test_renaming_labels_and_quantities_changes_nothing_but_names(name, content, words):
    words = words | {label: f"n{number}" for number, label in enumerate(reversed(content["labels"]))}
    full, trials = searched(name, 5, budget=0.08)
    other = full.renamed(renamed(content, words), words)
    asked = other.driven(24, 5)
    assert asked.index.tolist() == trials.index.tolist()
    assert expected_wrong(other.study, asked) == expected_wrong(full.study, trials)
    before, after = full.completed(trials), other.completed(asked)
    assert after["subphase"].tolist() == [words[label] for label in before["subphase"]]
    assert after["phase"].tolist() == [words.get(phase, phase) for phase in before["phase"]]
    former = {f"{new}{end}": f"{old}{end}" for old, new in words.items() for end in ("", "_std")}
    back = after.rename(columns=former)
    numbers = before.select_dtypes("number").columns
    pd.testing.assert_frame_equal(back[numbers], before[numbers])


def test_no_module_of_the_search_names_a_built_in_label_or_quantity():
    known = {*names.SUBPHASES, *names.PHASES, *names.QUANTITIES, *names.SUMMARIES, *names.STEP_TIMES, *LABEL_STAND_INS}
    known |= {*names.FRONTIERS, "corruption", "GROKKING", "PHASES", "SUBPHASES", "ACCURACIES", "QUANTITIES"}
    for path in Path(phasemap.search.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = getattr(node, "value", None) if isinstance(node, ast.Constant) else getattr(node, "id", None)
            assert found not in known, f"{path.name}:{node.lineno} names {found}"


def test_a_search_along_a_frontier_asks_near_it():
    full, trials = searched("forces", 3, budget=0.12, metric="balance")
    model = map_model(full.study, usable(full.study, full.trials))
    assert isinstance(model.labelling, BySide)
    above = (full.trials["window(pull)"] > full.trials["window(grip)"]).to_numpy()[::2]
    at = target_of(full.study).coordinates()
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)
    near = np.where(above[:, None] != above[None], apart, np.inf).min(axis=1) <= 1.5
    assert near[trials.index[80:130] // 2].mean() > 2 * near.mean()  # then the border is known
    assert full.completed(trials)["phase"].notna().all()  # the labels are inferred all the same


AXES = {"x": list(np.linspace(0, 1, 13)), "y": list(np.linspace(0, 1, 13))}


def of(content, curves, kinds, **options):
    """Return a small made-up map."""
    return made_up(content, AXES, lambda at, random: curves(at["x"] + 0 * LOGS, at["y"] + 0 * LOGS), kinds, **options)


SAME = {"labels": {"up": "a > 0", "down": "otherwise"}, "frontiers": {"tie": "a = b"}}


def test_of_two_quantities_that_are_always_equal_none_is_above_the_other():
    full = of(SAME, lambda x, y: {"a": x - y, "b": x - y}, dict.fromkeys("ab", "number"))
    full = full.searched(kind="boundary", budget=1.0, metric="tie")
    model = map_model(full.study, full.trials)
    assert [len(part.terms) for part in model.models] == [2]  # one surface for both
    assert (model.observed.codes == 1).all()
    trials = full.driven()
    assert len(trials) <= 40  # one side everywhere is soon known
    assert expected_wrong(full.study, trials) == 0


NEVER = {"labels": {"soon": "step(a >= 0.9) <= 30", "reached": "step(a >= 0.9) < 5000", "never": "otherwise"}}


@pytest.mark.parametrize(("reach", "outcomes"), [(0.6, 2), (2.0, 1), (-2.0, 1)])
def test_steps_that_are_never_reached_are_a_surface_of_their_own(reach, outcomes):
    """Reached on a part of the map, everywhere or nowhere."""
    curve = {"a": lambda x, y: np.where(x + 0.3 * y < reach, sigmoid(60 * (LOGS - 0.3 - 0.4 * y)), 0.1)}
    full = of(NEVER, lambda x, y: {"a": curve["a"](x, y)}, {"a": "accuracy"})
    full = full.searched(kind="boundary", budget=0.35, tolerance=0.0)
    (part,) = map_model(full.study, full.trials).models
    assert part.width == outcomes
    seen = full.trials["step(a >= 0.9)"].to_numpy()
    assert np.isinf(seen).any() == (reach < 2)
    drawn = part.drawn(np.nan_to_num(part.surfaces(seen)))
    assert np.isinf(drawn).tolist() == np.isinf(seen).tolist()
    assert drawn[np.isfinite(seen)] == pytest.approx(seen[np.isfinite(seen)], rel=0.05)
    trials = full.driven()
    assert full.agreement(trials) >= 0.97


def many_terms(n):
    functions = ("last", "first", "min", "max", "median", "earlier")
    pairs = [f"{function}({quantity})" for quantity in ("a", "b") for function in functions][:n]
    up = " and ".join([f"{pairs[0]} > 0", *(f"{pair} > -5" for pair in pairs[1:])])
    return {"labels": {"up": up, "down": "otherwise"}}


@pytest.mark.parametrize(("n", "kind"), [(8, ByRule), (9, OneHot)])
def test_of_more_than_eight_terms_the_labels_themselves_are_modelled(n, kind):
    full = of(many_terms(n), lambda x, y: {"a": x - y, "b": x + y}, dict.fromkeys("ab", "number"))
    full = full.searched(kind="boundary", budget=0.25, tolerance=0.0)
    assert isinstance(map_model(full.study, full.trials).labelling, kind)
    trials = full.driven()
    tables = Tables(study=full.study, trials=trials, points=full.points(trials))
    assert ("the labels themselves are modelled: the rule has 9 terms" in map_words(tables)) == (n == 9)
    assert full.agreement(trials) >= 0.97


HALF = {"labels": {"up": "a > 0", "down": "otherwise"}}


def test_where_trials_diverge_no_label_is_inferred():
    full = of(HALF, lambda x, y: {"a": x - y}, {"a": "number"}).searched(kind="boundary", budget=0.3)
    at = full.study.points()
    x_plus_y = np.repeat([point[0] + point[1] for point in at], len(full.study.seeds))
    wild = x_plus_y > np.quantile(x_plus_y, 0.6)
    trials = full.trials.copy()
    trials.loc[wild, "status"] = "diverged"
    trials.loc[wild, ["phase", "subphase"]] = None
    trials.loc[wild, [term_column(term) for term in kept_terms(full.study)]] = np.nan
    chosen = trials.sample(frac=0.3, random_state=0).sort_index()
    points = full.points(chosen)
    lost = np.unique(chosen.index[wild[chosen.index]] // len(full.study.seeds))
    points.loc[lost, "n_diverged"] = 1
    found = completed(Tables(study=full.study, trials=chosen, points=points)).points
    inferred, wild = found["inferred"].to_numpy(dtype=bool), wild[:: len(full.study.seeds)]
    assert found.loc[inferred & wild, "phase"].isna().mean() > 0.9
    right = found["phase"] == full.points(full.trials)["phase"]
    assert right[inferred & ~wild].mean() > 0.85
    none = chosen[chosen["status"] == "diverged"]
    assert len(usable(full.study, none)) == 0


@pytest.mark.parametrize(("share", "kind"), [(0.05, ByRule), (0.4, OneHot)])
def test_where_much_is_undefined_the_labels_are_modelled_and_its_points_have_none(share, kind):
    full = of(HALF, lambda x, y: {"a": np.where(x < share, np.nan, x - y)}, {"a": "number"})
    full = full.searched(kind="boundary", budget=0.4, tolerance=0.0)
    reason = why_labels(full.study, full.trials)
    assert (reason is not None) == (kind is OneHot)
    assert isinstance(map_model(full.study, full.trials).labelling, kind)
    points = full.completed(full.driven())
    truth = full.points(full.trials)
    assert (points["phase"].isna() == truth["phase"].isna()).mean() >= 0.97
    assert full.agreement(full.driven()) >= 0.95


def test_labels_by_settings_alone_are_known_without_a_model():
    content = {"labels": {"right": "x > 0.52", "left": "otherwise"}}
    full = of(content, lambda x, y: {"a": x - y}, {"a": "number"}).searched(kind="boundary", budget=0.5)
    trials = full.driven()
    assert expected_wrong(full.study, trials) == 0
    assert full.agreement(trials) == 1
    assert len(trials) <= 40


def test_where_no_trial_has_a_label_yet_the_search_goes_on_and_the_map_is_left_open():
    full = of(HALF, lambda x, y: {"a": np.nan * x}, {"a": "number"}).searched(kind="boundary", budget=0.5)
    trials = full.driven()
    assert len(trials) <= 40  # that nothing has a label is soon known
    assert full.completed(trials)["phase"].isna().all()


def test_facts_are_known_where_measured_and_expected_around_there():
    facts = {"n_things": lambda at, random: np.round(100 * at["x"] + 20 * at["y"])}
    full = of(HALF, lambda x, y: {"a": x - y}, {"a": "number"}, facts=facts, whole=("n_things",))
    trials = full.trials[::7]
    places = trials.index.to_numpy() // 2
    found = point_facts(full.study, ["n_things", "x"], trials, places)
    truth = full.trials["n_things"].to_numpy()[::2]
    assert (found["n_things"][places] == truth[places]).all()
    assert np.abs(found["n_things"] - truth).max() <= 10
    assert (found["n_things"] == np.round(found["n_things"])).all()
    assert found["x"].tolist() == full.trials["x"].tolist()[::2]


@pytest.mark.parametrize("thresholds", [(), (3.0,), (-1.0, 3.0, 1e4)])
@pytest.mark.parametrize("log", [False, True])
def test_a_scale_rises_and_leads_back(thresholds, log):
    seen = np.exp(np.random.default_rng(0).normal(size=200) * 4)
    scale = bent_scale(seen, thresholds, log=log)
    ordered = np.sort(seen)
    there = scale.there(ordered)
    assert (np.diff(there) > 0).all()
    assert np.abs(there).max() < 15
    assert scale.drawn(there) == pytest.approx(ordered, rel=1e-6)
    for one in thresholds:
        if one > 0 or not log:
            place = scale.there(np.asarray([one]))
            above, below = scale.drawn(place + 1e-6), scale.drawn(place - 1e-6)
            assert below < one < above


@pytest.fixture
def fits(monkeypatch):
    """Count how often surfaces are laid through observations."""
    found = []
    observe = Surfaces.observe
    monkeypatch.setattr(Surfaces, "observe", lambda self, *rest: (found.append(len(rest[0])), observe(self, *rest))[1])
    return found


@pytest.mark.parametrize("metric", ["phases", "skill"])
def test_the_model_of_a_finished_search_is_fitted_once(fits, metric):
    full = learning(9, (12, 12)).searched(kind="boundary", budget=0.3, tolerance=0.0, metric=metric)
    trials = full.driven()
    fits.clear()
    tables = Tables(study=full.study, trials=trials, points=full.points(trials))
    done = completed(tables)
    words = map_words(done)
    wrong = expected_wrong(full.study, trials.copy())
    n_fits = 1 if metric == "phases" else 2  # the sides of a frontier, and the labels
    assert fits == [len(trials)] * n_fits
    assert f"{100 * wrong:.2g} %" in words
    expected_wrong(full.study, trials[:-1])
    assert len(fits) == 2 * n_fits  # other trials, another fit


BY_LAST_VALUES = """
window: 0
labels:
  told: test_accuracy < 0.9 and train_accuracy >= 0.9
  lost: test_accuracy < 0.9
  both: n_corrupted >= 20 and memorized_accuracy >= 0.9
  some: n_corrupted >= 20 and memorized_accuracy > 0.1
  right: n_corrupted >= 20
  clean: otherwise
groups: {good: [both, some, right, clean]}
"""


def test_on_a_stored_map_a_rule_of_one_s_own_is_as_good_as_a_built_in_one():
    full = load_map("weight_decay")
    document = parse_document(BY_LAST_VALUES, "last.yaml")
    rule = parse_rule(document, "last")
    terms = {Value(name): full.trials[name].to_numpy() for name in sorted(rule.needed)}
    given = GivenTerms({**terms, Fact("n_corrupted"): full.trials["n_corrupted"].to_numpy(dtype=float)}, {})
    labels = label_trials(rule, given, len(full.trials)).names(rule)
    columns = {"subphase": labels, "phase": [rule.phase_of[label] for label in labels]}
    columns |= {term_column(term): values for term, values in terms.items()}
    own = StoredMap(full.study.model_copy(update={"phases": own_rule(rule)}), full.trials.assign(**columns))
    trials = drive(own, 12, kind="boundary", budget=0.15, tolerance=0.0)
    study = own.searched(kind="boundary").study
    points = completed(Tables(study=study, trials=trials, points=point_table(study, trials))).points
    right = (points["phase"] == own.points["phase"]).to_numpy()
    assert right[own.agreed].mean() >= 0.99
    assert right[own.agreed & own.boundary].mean() >= 0.96


def test_a_number_that_is_seen_exactly_at_a_threshold_is_on_one_side_of_it():
    seen = np.asarray([0.0] * 50 + [0.4, 1.0, 2.5])
    scale = bent_scale(seen, [0.0])
    at, near, beside = scale.there(np.asarray([0.0, 0.4, 0.2]))
    assert at < beside < near
    assert beside - at > 0.5
    assert scale.drawn(np.asarray([at - 0.3, at, at + 0.3, beside - 0.01])).tolist() == [0.0] * 4
    assert scale.drawn(np.asarray([near])) == pytest.approx([0.4])
    middle = bent_scale(np.asarray([1.0, 2.0, 2.0, 3.0]), [2.0])
    assert middle.drawn(middle.there(np.asarray([1.0, 1.6, 2.4, 3.0]))) == pytest.approx([1.0, 2.0, 2.0, 3.0])
    assert bent_scale(np.asarray([1.0, 3.0]), [2.0]).kept == bent_scale(np.zeros(3), [0.0]).kept == ()
