"""What can't start changes nothing, and a changed study never shows its old points."""

import shutil

import pytest
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.results.folder import RunFolder
from phasemap.results.lock import locked
from phasemap.running import driver
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import LocalRunner


def unreachable():
    raise pm.UnreachableError("no cluster here")


class Interrupted(LocalRunner):
    def run(self, packs, workload, tell):
        raise KeyboardInterrupt


@pytest.fixture
def folder(finished, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(finished[1].path, copy)
    return RunFolder(copy)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_runner_that_cannot_start_changes_nothing(folder, fresh):
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(pm.UnreachableError):
        run_study(study_of(seeds=5), folder, unreachable, RunOptions(fresh=fresh, quiet=True))
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()} == before
    assert [path.name for path in folder.path.parent.iterdir()] == ["small"]


def test_a_new_run_that_cannot_start_leaves_no_folder(tmp_path):
    with pytest.raises(pm.UnreachableError):
        run_study(study_of(), RunFolder(tmp_path / "small"), unreachable, RunOptions(quiet=True))
    assert not list(tmp_path.iterdir())


def test_a_changed_study_that_is_interrupted_at_once_shows_its_new_points_as_missing(folder):
    wide = study_of(axes={"corruption": [0, 0.3], "weight_decay": [50, 90]})
    with pytest.raises(KeyboardInterrupt):
        run_study(wide, folder, Interrupted, RunOptions(quiet=True))
    points = pm.open_run(folder.path).points
    assert points["weight_decay"].tolist() == [50, 90, 50, 90]
    assert points["phase"].isna().all()


def test_fresh_is_refused_while_another_driver_holds_the_run(folder):
    with locked(folder), pytest.raises(pm.UserError, match="one driver at a time"):
        run_study(study_of(), folder, LocalRunner, RunOptions(fresh=True, quiet=True))
    assert [path.name for path in folder.path.parent.iterdir()] == ["small"]


def test_fresh_sets_the_old_run_aside_without_its_lock(folder):
    assert run_study(study_of(), folder, LocalRunner, RunOptions(fresh=True, quiet=True)).n_trained == 8
    (old,) = (path for path in folder.path.parent.iterdir() if path.name != "small")
    assert not (old / "lock.json").exists()
    assert not folder.lock.exists()


def test_a_rule_file_with_thresholds_that_its_rule_forbids_is_refused(tmp_path):
    folder = run_in_process(study_of(), tmp_path)
    (tmp_path / "rule.yaml").write_text("{rule: doshi2024, generalized: 0.8}")
    with pytest.raises(pm.StudyError, match=r"is fixed at 0\.9 by rule doshi2024"):
        pm.relabel(pm.open_run(folder.path), str(tmp_path / "rule.yaml"))
    assert pm.open_run(folder.path).study.phases.rule == "memorized_fraction"


def test_a_run_is_planned_once_and_what_there_is_to_do_is_told_before_it_is_done(folder, monkeypatch):
    planned, told, real = [], [], driver.make_plan

    def make_plan(*arguments, **options):
        planned.append(real(*arguments, **options))
        return planned[-1]

    def on_plan(plan):
        told.append(plan)
        assert len(pm.open_run(folder.path).trials) == 8  # nothing is done yet

    monkeypatch.setattr(driver, "make_plan", make_plan)
    outcome = run_study(study_of(seeds=3), folder, LocalRunner, RunOptions(quiet=True, on_plan=on_plan))
    assert len(planned) == 1
    assert told == planned
    assert told[0].changes == ["seeds: added 2"]
    assert (told[0].n_trials, told[0].n_reused) == (outcome.n_trials, outcome.n_reused) == (12, 8)
    assert outcome.n_trained == told[0].n_missing == 4


def test_a_study_over_its_budget_is_refused_before_anything_is_done(folder):
    before = sorted(path.name for path in folder.path.iterdir())
    wider = study_of(seeds=9, resources={"max_core_hours": 1e-9})
    with pytest.raises(pm.UserError, match="max_core_hours"):
        run_study(wider, folder, LocalRunner, RunOptions(quiet=True))
    assert sorted(path.name for path in folder.path.iterdir()) == before
