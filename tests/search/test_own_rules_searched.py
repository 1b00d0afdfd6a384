"""Searches of phasemap's own networks by rules of one's own, from the study file to the map."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import run_in_process, slow, study_of

import phasemap as pm
from phasemap.cli import cli
from phasemap.phases.terms import kept_terms, term_column
from phasemap.planning.plan import make_plan
from phasemap.results.folder import RunFolder
from phasemap.results.labelled import labelled_rows
from phasemap.results.merge import trial_frame
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.outputs import write_results
from phasemap.running.runner import LocalRunner
from phasemap.search import belief
from phasemap.search.completed import map_words
from phasemap.search.study_model import MOST_TERMS
from phasemap.search.surfaces import Surfaces
from phasemap.study.spec import SearchSpec

RULE = """
parameters: {learned: 0.6, fitted: 0.9}
labels:
  quick: step(train_accuracy >= fitted) <= 60
  learned: test_accuracy >= learned
  costly: train_loss > 0.002 and weight_norm > 1
  told: memorized_accuracy >= fitted or n_corrupted = 0
  late: step(train_accuracy >= fitted) <= 400
  stuck: otherwise
groups: {fine: [quick, learned]}
frontiers: {cost: train_loss = 0.002, generalization: test_accuracy = learned}
"""
STUDY = """
name: searched
task: {kind: modular_addition, modulus: 7}
model: {width: 16}
training: {steps: 120}
axes:
  corruption: {start: 0, stop: 0.4, num: 6}
  weight_decay: {start: 0.0, stop: 16.0, num: 7}
fixed: {data_fraction: 0.6}
seeds: 2
search: {kind: boundary, budget: 40, tolerance: 0, batch_size: 8}
resources: {pack_size: 4}
"""


@pytest.fixture(scope="module")
def rule_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("rule") / "mine.yaml"
    path.write_text(RULE)
    return path


@pytest.fixture(scope="module")
def study(rule_file):
    return own(rule_file)


def own(rule_file, **replaced):
    return study_of(STUDY, phases={"rule": str(rule_file)}, **replaced)


@pytest.fixture(scope="module")
def done(study, tmp_path_factory):
    """A finished search by a rule file of own labels: its folder."""
    return run_in_process(study, tmp_path_factory.mktemp("searched"))


def copied(folder, tmp_path):
    shutil.copytree(folder.path, tmp_path / "searched")
    return RunFolder(tmp_path / "searched")


def said(*arguments):
    found = CliRunner().invoke(cli, [*map(str, arguments)])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_a_search_by_own_labels_spends_its_budget_and_infers_the_rest(done):
    run = pm.open_run(done.path)
    assert len(run.trials) == 40
    points = run.points
    assert points["inferred"].sum() == (points["n_seeds"] == 0).sum() > 0
    assert set(points["subphase"].dropna()) <= {"quick", "learned", "costly", "told", "late", "stuck"}
    assert points["phase"].notna().all()
    assert points["phase"].nunique() > 1
    inferred = points[points["inferred"]]
    assert inferred["confidence"].between(0, 1).all()
    for name in ("test_accuracy", "train_loss", "weight_norm"):
        assert inferred[name].notna().all()
        assert (inferred[f"{name}_std"] >= 0).all()
    assert inferred.loc[inferred["corruption"] == 0, "memorized_accuracy"].isna().all()
    assert (inferred["generalizes"] == (inferred["test_accuracy"] >= 0.6)).all()
    assert "generalization_wins" not in inferred  # the rule has no such frontier
    assert 0 <= run.expected_wrong < 0.6


def test_the_table_of_trials_has_the_terms_of_the_rule_and_a_grid_s_has_not(done, study):
    trials = pm.open_run(done.path).trials
    names = [term_column(term) for term in kept_terms(study)]
    assert names == [
        "step(train_accuracy >= fitted)", "window(test_accuracy)", "window(train_loss)", "window(weight_norm)",
        "window(memorized_accuracy)",
    ]  # fmt: skip
    assert np.isinf(trials[names[0]]).any() == (trials[names[0]] > 1e9).any()
    assert ((trials["subphase"] == "learned") <= (trials["window(test_accuracy)"] >= 0.6)).all()
    plain = trial_frame(labelled_rows(done, study.model_copy(update={"search": SearchSpec()})))
    assert not set(names) & set(plain)


def test_labels_of_measured_points_are_those_of_their_trials(done):
    run = pm.open_run(done.path)
    single = run.points[run.points["n_seeds"] == 1].set_index(["corruption", "weight_decay"])
    trials = run.trials.set_index(["corruption", "weight_decay"])
    assert len(single)
    assert all(trials.loc[[place], "subphase"].item() == row["subphase"] for place, row in single.iterrows())


def test_the_tables_are_made_again_from_the_shards(done, tmp_path):
    folder, before = copied(done, tmp_path), pm.open_run(done.path)
    folder.remove_derived()
    shutil.rmtree(folder.cache)
    pd.testing.assert_frame_equal(pm.open_run(folder.path).points, before.points, check_dtype=False)
    assert pm.open_run(folder.path).expected_wrong == before.expected_wrong


def test_a_finished_search_is_known_as_such_and_goes_on_with_a_larger_budget(done, study, rule_file, tmp_path):
    folder = copied(done, tmp_path)
    assert make_plan(study, folder).packs == []
    wider = own(rule_file, search={"kind": "boundary", "budget": 48, "tolerance": 0, "batch_size": 8})
    outcome = run_study(wider, folder, LocalRunner, RunOptions(quiet=True))
    assert (outcome.n_trained, outcome.n_reused) == (8, 40)


@pytest.mark.slow(group="search")
def test_a_search_stops_by_its_own_estimate(rule_file, tmp_path):
    study = own(rule_file, search={"kind": "boundary", "budget": 1.0, "tolerance": 0.2})
    folder = run_in_process(study, tmp_path)
    run = pm.open_run(folder.path)
    assert len(run.trials) < 84
    assert run.expected_wrong < 0.2
    assert make_plan(study, folder).packs == []


class KilledError(Exception):
    pass


def test_a_killed_search_goes_on_from_its_shards(study, tmp_path, monkeypatch):
    folder, stored = RunFolder(tmp_path / "searched"), []
    from phasemap.running.adaptive import PackSource

    take = PackSource.take

    def killed(self, report):
        take(self, report)
        stored.append(report)
        if len(stored) == 3:
            raise KilledError

    monkeypatch.setattr(PackSource, "take", killed)
    with pytest.raises(KilledError):
        run_study(study, folder, LocalRunner, RunOptions(quiet=True))
    monkeypatch.setattr(PackSource, "take", take)
    outcome = run_study(study, folder, LocalRunner, RunOptions(quiet=True))
    assert outcome.n_reused == sum(report.n_ok for report in stored)
    assert outcome.n_trained + outcome.n_reused == 40
    assert pm.open_run(folder.path).points["phase"].notna().all()


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_drawn_points_by_own_labels_are_completed_too(rule_file, tmp_path, kind):
    folder = run_in_process(own(rule_file, search={"kind": kind, "budget": 24}), tmp_path)
    points = pm.open_run(folder.path).points
    assert (points["n_seeds"] == 2).sum() == 12
    assert points["inferred"].sum() == 30
    assert points["phase"].notna().all()


def test_a_searched_run_is_labelled_by_another_rule_and_back(done, tmp_path):
    folder = copied(done, tmp_path)
    before = pm.open_run(folder.path).points
    (tmp_path / "other.yaml").write_text("labels: {high: max(test_accuracy) > 0.3, low: otherwise}")
    again = pm.relabel(pm.open_run(folder.path), str(tmp_path / "other.yaml"))
    assert set(again.points["subphase"]) <= {"high", "low"}
    assert again.points["inferred"].sum() == before["inferred"].sum()
    assert "max(test_accuracy)" in again.trials
    built_in = pm.relabel(again, "memorized_fraction")
    assert built_in.points["phase"].notna().all()
    (tmp_path / "mine.yaml").write_text(RULE)
    back = pm.relabel(built_in, str(tmp_path / "mine.yaml"))
    pd.testing.assert_frame_equal(back.points, before)
    early = pm.relabel(back, at_step=60)
    assert early.points["phase"].notna().all()


def test_a_search_along_a_frontier_of_one_s_own(rule_file, tmp_path):
    search = {"kind": "boundary", "budget": 30, "tolerance": 0, "metric": "cost"}
    run = pm.open_run(run_in_process(own(rule_file, search=search), tmp_path).path)
    assert len(run.trials) == 30
    assert run.points["phase"].notna().all()
    assert 0 <= run.expected_wrong <= 0.5


SEVERAL = (
    f"l{number}: {name}(train_loss) < 0.02 and {name}(test_accuracy) > 0.1"
    for number, name in enumerate(("first", "max", "median", "last", "min"))
)
MANY = f"labels: {{{', '.join(SEVERAL)}, other: otherwise}}"
UNKNOWN = "labels: {told: memorized_accuracy > 0.5, other: otherwise}"


@pytest.mark.parametrize(
    ("rule", "why"), [(MANY, "10 terms, more than 8"), *slow("search", (UNKNOWN, "an undefined term or no label"))]
)
def test_where_the_labels_themselves_are_modelled_this_is_told(tmp_path, rule, why):
    (tmp_path / "labels.yaml").write_text(rule)
    path = tmp_path / "searched.yaml"
    path.write_text(STUDY.replace("budget: 40", "budget: 30") + "phases: {rule: labels.yaml}\n")
    known_before = why.startswith(str(MOST_TERMS + 2))
    assert (why in said("plan", path, "--storage", tmp_path)) == known_before
    said("run", path, "--storage", tmp_path, "--in-process")
    log = RunFolder(tmp_path / "searched").log.read_text()
    assert len(re.findall("the labels themselves are modelled: ", log)) == 1
    for text in (said("show", tmp_path / "searched"), said("plan", path, "--storage", tmp_path)):
        words = " ".join(text.split())
        assert "the labels themselves are modelled: " in words
        assert why in words
    assert json.loads(said("plan", path, "--storage", tmp_path, "--json"))["notices"]
    points = pm.open_run(tmp_path / "searched").points
    if rule == MANY:
        assert points["phase"].notna().all()
    else:  # where nothing is corrupted there is no label, and none is inferred
        assert points.loc[points["corruption"] == 0, "phase"].isna().all()
        assert points.loc[points["corruption"] > 0.1, "phase"].notna().all()


def test_where_the_terms_are_modelled_nothing_is_told(done, study, tmp_path):
    assert "modelled" not in said("show", done.path)
    assert "modelled" not in done.log.read_text()


def test_at_the_end_of_a_run_the_model_is_fitted_once(done, study, tmp_path, monkeypatch):
    fits = []
    observe = Surfaces.observe
    monkeypatch.setattr(Surfaces, "observe", lambda self, *rest: (fits.append(1), observe(self, *rest))[1])
    monkeypatch.setattr(belief, "_kept", belief._Kept())
    folder = copied(done, tmp_path)
    folder.remove_derived()
    tables = write_results(folder, study)
    run = pm.open_run(folder.path)
    shown = said("show", folder.path)
    assert f"expected wrong: {100 * run.expected_wrong:.2g} %" in " ".join(shown.split())
    assert map_words(tables) in " ".join(shown.split())
    run.report(tmp_path / "report.html")
    assert fits == [1]
