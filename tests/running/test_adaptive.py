"""Runs of a search: packs are chosen while others train, and a killed run goes on where it stopped."""

import json
import re
import shutil

import forks
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import run_in_process, study_of
from processes import alive, children, end, kill, wait_for
from test_ray_feed import room_for

import phasemap as pm
from phasemap.cli import cli
from phasemap.planning.plan import make_plan
from phasemap.results.folder import RunFolder
from phasemap.results.shards import finished_ids, read_shards
from phasemap.running.adaptive import PackSource
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.ray_feed import PackedPlan, PackFeed, pack_of
from phasemap.running.runner import LocalRunner
from phasemap.running.worker import Workload, train_and_store

STUDY = """
name: searched
task: {kind: modular_addition, modulus: 11}
model: {width: 32}
training: {steps: 300}
axes:
  data_fraction: {start: 0.2, stop: 0.9, num: 7}
  weight_decay: {start: 0.0, stop: 24.0, num: 7}
fixed: {corruption: 0.1}
seeds: 2
search: {kind: boundary, budget: 0.4, tolerance: 0, batch_size: 8}
resources: {pack_size: 4}
"""
BUDGET = 39


def searched(text=STUDY, **replaced):
    return study_of(text, **replaced)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished search: (study, folder)."""
    return searched(), run_in_process(searched(), tmp_path_factory.mktemp("searched"))


def test_a_run_trains_its_budget_and_infers_the_rest(done):
    run = pm.open_run(done[1].path)
    assert len(run.trials) == BUDGET
    assert run.points["phase"].notna().all()
    assert run.points["inferred"].sum() == (run.points["n_seeds"] == 0).sum() > 0
    assert 0 <= run.expected_wrong < 0.2
    log = done[1].log.read_text()
    assert log.count("trials chosen") >= 4
    assert "expected wrong" in log


def test_a_finished_search_has_nothing_to_train_and_a_larger_budget_goes_on(done, tmp_path):
    shutil.copytree(done[1].path, tmp_path / "searched")
    folder = RunFolder(tmp_path / "searched")
    assert make_plan(done[0], folder).packs == []
    before = finished_ids(folder)
    wider = searched(search={"kind": "boundary", "budget": 44, "tolerance": 0})
    outcome = run_study(wider, folder, LocalRunner, RunOptions(quiet=True))
    assert (outcome.n_trained, outcome.n_reused) == (5, BUDGET)
    assert before < finished_ids(folder)
    assert len(read_shards(folder)) == 44


def test_a_grid_goes_on_from_a_search_and_then_nothing_is_inferred(done, tmp_path):
    shutil.copytree(done[1].path, tmp_path / "searched")
    folder = RunFolder(tmp_path / "searched")
    outcome = run_study(searched(search={"kind": "grid"}), folder, LocalRunner, RunOptions(quiet=True))
    assert (outcome.n_trained, outcome.n_reused) == (98 - BUDGET, BUDGET)
    points = pm.open_run(folder.path).points
    assert not points["inferred"].any()
    assert (points["n_seeds"] == 2).all()


def test_a_search_stops_when_it_expects_less_than_its_tolerance_to_be_wrong(tmp_path):
    study = searched(search={"kind": "boundary", "budget": 0.9, "tolerance": 0.05})
    folder = run_in_process(study, tmp_path)
    run = pm.open_run(folder.path)
    assert len(run.trials) < 0.6 * 98
    assert run.expected_wrong < 0.05
    assert make_plan(study, folder).packs == []


def test_a_new_rule_labels_the_inferred_points_too(done, tmp_path):
    shutil.copytree(done[1].path, tmp_path / "searched")
    run = pm.open_run(tmp_path / "searched")
    before = run.points["phase"]
    (tmp_path / "rule.yaml").write_text("{rule: memorized_fraction, generalized: 0.05}")
    again = pm.relabel(run, str(tmp_path / "rule.yaml"))
    assert again.points["phase"].notna().all()
    assert (again.points["phase"] == "grokking").sum() > (before == "grokking").sum()


def test_the_tables_of_a_search_are_made_from_its_shards_when_they_are_gone(done, tmp_path):
    shutil.copytree(done[1].path, tmp_path / "searched")
    folder, before = RunFolder(tmp_path / "searched"), pm.open_run(done[1].path).points
    folder.remove_derived()
    shutil.rmtree(folder.cache)
    pd.testing.assert_frame_equal(pm.open_run(folder.path).points, before, check_dtype=False)


def test_a_free_slot_gets_a_pack_while_a_slow_one_still_trains(tmp_path):
    study, folder = searched(), RunFolder(tmp_path / "searched")
    folder.create()
    source = PackSource(study, folder, slots=2)
    feed = PackFeed([], room_for(cpu=2), source.more)
    workload = Workload(folder=folder, study=study, device="cpu")
    slow = feed.suggest("slow")
    trained: list[str] = []
    for number in range(6):
        config = feed.suggest(f"fast-{number}")
        pack = pack_of(config, PackedPlan([]))
        trained += [trial.trial_id for trial in pack.trials]
        source.take(train_and_store(pack, workload, lambda share: None))
        feed.on_trial_complete(f"fast-{number}")
    assert feed.in_flight() == [slow["pack_id"]]
    waiting = {trial.trial_id for trial in pack_of(slow, PackedPlan([])).trials}
    assert len(set(trained)) == len(trained) > 20
    assert not set(trained) & waiting


@pytest.fixture
def start(tmp_path):
    """Start the command line on a search; what is still alive at the end is killed."""
    path = tmp_path / "searched.yaml"
    path.write_text(STUDY.replace("modulus: 11", "modulus: 17").replace("steps: 300", "steps: 600"))
    started = []

    def run():
        command = ["-m", "phasemap", "run", path, "--storage", tmp_path, "--json", "--cpus", "2"]
        process = forks.Forked(command)
        started.append(process)
        return process

    yield run
    for process in started:
        end(process)


@pytest.mark.slow(group="chaos")
def test_a_killed_search_goes_on_on_ray_and_trains_nothing_twice(start, tmp_path):
    folder = RunFolder(tmp_path / "searched")
    first = start()
    wait_for(lambda: len(list(folder.shards.glob("[!.]*.parquet"))) >= 3, seconds=240, what="three shards")
    workers = [pid for pid, command in children(first.pid).items() if "ray::ImplicitFunc" in command]
    assert workers
    kill(first.pid)
    first.wait()
    wait_for(lambda: not any(map(alive, workers)), seconds=20, what="the end of the killed driver's workers")
    kept = finished_ids(folder)
    assert 3 <= len(kept) < BUDGET
    again = start()
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    found = json.loads(out)
    assert found["n_trained"] + len(kept) == BUDGET
    rows = read_shards(folder)["trial_id"].to_pylist()
    assert len(rows) == len(set(rows)) == BUDGET
    assert kept <= set(rows)
    assert pm.open_run(folder.path).points["phase"].notna().all()


TOO_WIDE = 10**9  # its weights alone need hundreds of gigabytes


def test_a_search_goes_on_when_trials_fail_and_names_them(tmp_path):
    study = searched(
        axes={"width": [8, 16, TOO_WIDE], "weight_decay": [0, 2, 4, 8, 12]},
        model={},
        fixed={"corruption": 0.1, "data_fraction": 0.6},
        seeds=1,
        search={"kind": "boundary", "budget": 1.0, "tolerance": 0},
    )
    folder = RunFolder(tmp_path / study.name)
    outcome = run_study(study, folder, LocalRunner, RunOptions(quiet=True))
    assert outcome.n_trained == 10
    assert len(outcome.failures) == 5
    points = pm.open_run(folder.path).points.set_index("width")
    assert (points.loc[TOO_WIDE, "n_failed"] == 1).all()
    assert points.loc[TOO_WIDE, "phase"].isna().all()
    assert points.loc[[8, 16], "phase"].notna().all()
    assert make_plan(study, folder).n_missing == 5  # what failed is tried again


def test_commands_say_what_a_search_costs_and_what_it_measured(done, tmp_path):
    path = tmp_path / "searched.yaml"
    path.write_text(STUDY)

    def said(*arguments):
        found = CliRunner().invoke(cli, [*map(str, arguments)])
        assert found.exit_code == 0, found.output
        return found.stdout

    planned = said("plan", path, "--storage", tmp_path)
    assert "49 points x 2 seeds = 98 trials" in planned
    assert "to train: at most 39 by the search (boundary)" in planned
    assert json.loads(said("plan", path, "--storage", done[1].path.parent, "--json"))["n_missing"] == 0
    shown = said("show", done[1].path)
    assert re.search(r"map: \d+ of 49 points measured \(\d+ %\), \d+ inferred; expected wrong: [\d.]+ %", shown)
    content = json.loads(said("show", done[1].path, "--json"))
    assert content["n_measured_points"] + content["n_inferred_points"] == 49
    assert content["n_missing_points"] == 0
    assert 0 <= content["expected_wrong"] < 0.2


def test_what_a_finished_search_trained_is_told_without_the_trials_that_it_had_no_need_of(done, tmp_path):
    def said(*arguments):
        return CliRunner().invoke(cli, [*map(str, arguments)]).stdout

    shutil.copytree(done[1].path, tmp_path / "runs" / "searched")
    told = f"{BUDGET} trials, chosen by a search"
    run = tmp_path / "runs" / "searched"
    for text in (said("list", "--storage", run.parent), said("status", run), said("show", run)):
        assert told in text
        assert f"{BUDGET}/" not in text
    entries = json.loads((run / "provenance.json").read_text())
    entries[-1]["outcome"] = "interrupted"
    (run / "provenance.json").write_text(json.dumps(entries))
    assert f"{BUDGET}/98 trials" in said("status", run)
