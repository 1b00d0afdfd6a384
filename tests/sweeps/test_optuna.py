"""Optuna's storages, made by Optuna: the run's tables equal the study, and nothing is written into a storage."""

import hashlib
import math
import sqlite3
from contextlib import closing

import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from conftest import slow
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from sources import FEW, MANY, optimize, write_rule

import phasemap as pm
from phasemap.cli import cli
from phasemap.study.errors import UnreachableError, UserError

STATES = {"COMPLETE": "ok", "PRUNED": "stopped", "FAIL": "failed", "RUNNING": "stopped"}


STORAGES = [("sqlite", FEW), ("journal", FEW), *slow("sweeps", (("sqlite", MANY),), (("journal", MANY),))]


@pytest.fixture(scope="module", params=STORAGES, ids=str)
def source(request, tmp_path_factory):
    """A storage with a real study, of whose trials one is still running and one waits."""
    folder = tmp_path_factory.mktemp("optuna")
    made = InMemoryStorage()
    kind, n_trials = request.param
    study = optimize(made, n_trials=n_trials)
    running = study.ask()
    running.suggest_float("lr", 1e-5, 1e-1, log=True)
    running.suggest_float("wd", 0.0, 1.0)
    running.report(0.25, 0)
    study.enqueue_trial({"lr": 0.01})
    path = folder / ("mine.db" if kind == "sqlite" else "mine.log")
    sqlite, journal = f"sqlite:///{path}", JournalStorage(JournalFileBackend(str(path)))
    path.unlink()
    optuna.copy_study(from_study_name="mine", from_storage=made, to_storage=sqlite if path.suffix == ".db" else journal)
    return study, path


@pytest.fixture(scope="module")
def imported(source, tmp_path_factory):
    study, path = source
    folder = tmp_path_factory.mktemp("runs") / "mine"
    before = hashlib.sha256(path.read_bytes()).digest()
    run = pm.sweeps.from_optuna(path, ["lr", "wd"], rule=write_rule(folder.parent, "value"), run=folder)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return study, run


def test_the_tables_equal_the_study(imported):
    study, run = imported
    rows = run.trials.set_index("source_id")
    there = [trial for trial in study.trials if trial.state.name != "WAITING"]
    assert len(rows) == len(there) == len(study.trials) - 1
    assert {state: sum(trial.state.name == state for trial in there) > 0 for state in STATES} == dict.fromkeys(
        STATES, True
    )
    for trial in there:
        row = rows.loc[str(trial.number)]
        assert row["status"] == STATES[trial.state.name]
        assert row["source_state"] == trial.state.name
        assert row["lr"] == pytest.approx(trial.params["lr"], rel=1e-11)
        assert row["wd"] == pytest.approx(trial.params["wd"], rel=1e-11)
        opt = trial.params.get("opt")
        assert row["opt"] == opt or (opt is None and not isinstance(row["opt"], str))
        layers = trial.params.get("layers")
        assert row["layers"] == layers or (layers is None and math.isnan(row["layers"]))
        assert row.get("size") == trial.user_attrs.get("size") or math.isnan(row["size"])
        expected = trial.value if trial.value is not None else trial.intermediate_values[max(trial.intermediate_values)]
        assert row["value"] == expected
        assert (row["subphase"] is None or row["subphase"] != row["subphase"]) == (trial.state.name != "COMPLETE")


def test_the_curves_equal_the_intermediate_values(imported):
    study, run = imported
    ids = run.trials.set_index("trial_id")["source_id"]
    curves = run.curves.assign(number=ids.loc[run.curves["trial_id"]].to_numpy())
    by_number = {number: own.sort_values("step") for number, own in curves.groupby("number")}
    there = [trial for trial in study.trials if trial.state.name != "WAITING"]
    assert set(by_number) == {str(trial.number) for trial in there}
    for trial in there:
        own = by_number[str(trial.number)]
        assert dict(zip(own["step"], own["value"], strict=True)) == trial.intermediate_values


def test_points_are_where_they_were_measured(imported):
    study, run = imported
    assert run.study.scattered
    assert run.study.axis("lr").scale == "log"
    assert run.study.axis("wd").scale == "linear"
    assert len(run.points) == run.study.n_points == len(study.trials) - 1
    assert set(run.points["n_seeds"]) == {0, 1}
    assert run.points["n_stopped"].sum() == (run.trials["status"] == "stopped").sum()


def test_importing_again_adds_what_is_new_and_changes_nothing_else(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    study = optimize(storage, n_trials=6)
    running = study.ask()
    lr, wd = running.suggest_float("lr", 1e-5, 1e-1, log=True), running.suggest_float("wd", 0.0, 1.0)
    first = pm.sweeps.from_optuna(storage, ["lr", "wd"], run=tmp_path / "a")
    stamps = {path.name: path.stat().st_mtime_ns for path in first.folder.shards.iterdir()}
    text, before = first.folder.study.read_text(), first.trials.set_index("source_id")
    pm.sweeps.from_optuna(storage, ["lr", "wd"], run=tmp_path / "a")
    assert first.folder.study.read_text() == text
    finished = {name: stamp for name, stamp in stamps.items() if name != "running.parquet"}
    assert {path.name: path.stat().st_mtime_ns for path in first.folder.shards.iterdir()}.items() >= finished.items()

    study.tell(running, 0.75)
    optimize(storage, n_trials=4, seed=1)
    again = pm.sweeps.from_optuna(storage, ["lr", "wd"], run=tmp_path / "a")
    assert {path.name: path.stat().st_mtime_ns for path in first.folder.shards.iterdir()}.items() >= finished.items()
    rows = again.trials.set_index("source_id")
    assert len(rows) == 11
    assert (rows.loc[before.index, "trial_id"] == before["trial_id"]).all()
    assert (before.loc["6", "status"], rows.loc["6", "status"]) == ("stopped", "ok")
    assert rows.loc["6", "value"] == 0.75
    assert (rows.loc["6", "lr"], rows.loc["6", "wd"]) == (pytest.approx(lr), pytest.approx(wd))


def test_a_study_of_several_objectives_has_a_quantity_for_each(tmp_path):
    storage = f"sqlite:///{tmp_path}/b.db"
    study = optuna.create_study(study_name="b", storage=storage, directions=["minimize", "maximize"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), float("inf")), n_trials=5)
    run = pm.sweeps.from_optuna(storage, ["x"], run=tmp_path / "b")
    assert run.trials["values_0"].tolist() == pytest.approx(run.trials["x"].tolist())
    assert "values_1" not in run.trials  # no trial has a finite number for it


def test_which_of_several_studies_must_be_said(tmp_path):
    storage = f"sqlite:///{tmp_path}/c.db"
    for name in ("one", "two"):
        optimize(storage, name, n_trials=2)
    with pytest.raises(UserError, match=r"more than one study: one, two; needed: --study"):
        pm.sweeps.from_optuna(storage, ["lr"], run=tmp_path / "c")
    with pytest.raises(UserError, match=r"has no study three; allowed: one, two"):
        pm.sweeps.from_optuna(storage, ["lr"], study="three", run=tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert len(pm.sweeps.from_optuna(storage, ["lr"], study="two", run=tmp_path / "c").trials) == 2


def test_a_locked_database_is_told_and_ends_with_3(tmp_path, monkeypatch):
    monkeypatch.setattr("phasemap.sweeps.database.WAIT_SECONDS", 0.1)
    path = tmp_path / "d.db"
    optimize(f"sqlite:///{path}", n_trials=2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnreachableError, match="is locked"):
            pm.sweeps.from_optuna(path, ["lr"], run=tmp_path / "d")
        told = CliRunner().invoke(cli, ["import", str(path), "--axes", "lr", "-o", str(tmp_path / "d")])
    assert told.exit_code == 3
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no database at all", "is neither an SQLite database nor an Optuna journal"),
        (b"SQLite format 3\0" + b"x" * 200, "is damaged"),
        (b'{"op_code": 99}\n{"op_code": 99}\n', "can't be replayed|has no study"),
        (b"[1, 2]\n[3]\n", "is neither an SQLite database nor an Optuna journal"),
    ],
)
def test_a_file_that_is_no_storage_is_told(tmp_path, content, told):
    path = tmp_path / "e.db"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        pm.sweeps.from_optuna(path, ["lr"], run=tmp_path / "e")
    assert path.read_bytes() == content


def test_another_programs_database_is_only_looked_at(tmp_path):
    path = tmp_path / "f.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(UserError, match="has the tables bookmarks; allowed"):
        pm.sweeps.from_optuna(f"sqlite:///{path}", ["lr"], run=tmp_path / "f")
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["f.db"]


@pytest.mark.parametrize("url", ["postgresql://host/db", "mysql://host/db", "http://host/file.csv"])
def test_no_other_url_is_followed(tmp_path, url):
    with pytest.raises(UserError, match="is a URL of"):
        pm.sweeps.from_optuna(url, ["lr"], run=tmp_path / "g")


def test_values_that_are_not_finite_stay_what_they_are(tmp_path):
    storage = f"sqlite:///{tmp_path}/h.db"
    study = optuna.create_study(study_name="h", storage=storage)
    study.optimize(lambda trial: math.inf if trial.suggest_int("n", 0, 9) > 4 else 1.0, n_trials=12)
    run = pm.sweeps.from_optuna(storage, ["n"], run=tmp_path / "h")
    assert np.isinf(run.trials.loc[run.trials["n"] > 4, "value"]).all()
