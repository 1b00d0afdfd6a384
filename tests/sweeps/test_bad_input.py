"""What is too large, locked, left open or hostile: told at once, harmless where it is shown, never written into."""

import re
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import closing

import optuna
import pandas as pd
import pytest
from click.testing import CliRunner
from sources import optimize, write_rule

import phasemap as pm
from phasemap.cli import cli

pytestmark = pytest.mark.filterwarnings(  # of fonts that lack some languages, and of MLflow
    "default:Glyph", "default:.*noload.*"
)

ESCAPE = "\x1b[31mred\x07\u202e"
NAMES = ["../../up", "<script>alert(1)</script>", ESCAPE, "x" * 3000, "seed", "phase", "and", "名前", "$\\frac{"]
VALUES = ["../../up", "<img src=x onerror=alert(1)>", ESCAPE, "y" * 300, "$\\frac{$", "数", "a\nb", "-", "{}%s"]


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_million_rows_are_refused_and_not_held(tmp_path, ending):
    path = tmp_path / f"steps.{ending}"
    if ending == "csv":
        path.write_text("lr,step,loss\n" + "0.1,1,0.5\n" * 1_000_000)
    else:
        pd.DataFrame({"lr": [0.1] * 1_000_000, "loss": [0.5] * 1_000_000}).to_parquet(path)
    told = invoke("import", path, "--axes", "lr", "-o", tmp_path / "run")
    assert told.exit_code == 2
    assert "has more than 200000 rows; allowed: at most 200000 trials" in told.stderr
    assert "--curves" in told.stderr
    assert not (tmp_path / "run").exists()


LOCK = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_database_that_another_process_locks_is_told_within_seconds(tmp_path):
    path = tmp_path / "mine.db"
    optimize(f"sqlite:///{path}", n_trials=2)
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        started = time.monotonic()
        told = invoke("import", f"sqlite:///{path}", "--axes", "lr", "-o", tmp_path / "run")
        took = time.monotonic() - started
        other.stdin.close()
    assert told.exit_code == 3
    assert "database is locked; needed: a database that is not locked" in told.stderr
    assert took < 30  # it waits for 3 s, on a machine that others use too
    assert not (tmp_path / "run").exists()
    assert invoke("import", f"sqlite:///{path}", "--axes", "lr", "-o", tmp_path / "run").exit_code == 0


def test_a_database_with_a_log_of_its_writes_is_read_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "mine.db"
    optimize(f"sqlite:///{path}", n_trials=2)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
    before = path.read_bytes()
    run = pm.sweeps.from_optuna(path, ["lr"], run=tmp_path / "runs" / "a")
    assert len(run.trials) == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mine.db", "runs"]
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as other:  # what another program has not yet put into the database counts
        other.execute("UPDATE trials SET state = 'PRUNED' WHERE number = 0")
        other.commit()
        run = pm.sweeps.from_optuna(path, ["lr"], run=tmp_path / "runs" / "b")
    assert run.trials.set_index("source_id").loc["0", "source_state"] == "PRUNED"


def objective(trial):
    for name in NAMES[:6]:
        trial.suggest_float(name, 0, 1)
    trial.suggest_categorical("which", VALUES)
    for name in NAMES if trial.number == 0 else ():
        trial.set_user_attr(f"{name} m", 1.0)
    return trial.suggest_float("lr", 1e-5, 1e-1, log=True)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    storage = f"sqlite:///{folder}/mine.db"
    sampler = optuna.samplers.RandomSampler(0)
    study = optuna.create_study(study_name=f"../../<script>{ESCAPE}", storage=storage, sampler=sampler)
    for value in VALUES:
        study.enqueue_trial({"which": value})
    study.optimize(objective, n_trials=len(VALUES))
    rule = write_rule(folder, "value").rename(folder / "rule.yaml")
    told = invoke("import", storage, "--axes", "lr,which", "--rule", rule, "-o", folder / "run")
    assert told.exit_code == 0, told.output
    assert harmless(told.stdout + told.stderr)
    return folder


def harmless(text):
    return all(one.isprintable() or one in "\n\t" for one in text)


def test_hostile_names_become_valid_ones_and_hostile_values_visible_ones(hostile):
    run = pm.open_run(hostile / "run")
    names = [*run.study.axis_names, *run.study.fixed, *run.study.recorded.finals]
    assert len(set(names)) == len(NAMES[:6]) + 2 + len(NAMES)
    assert all(re.fullmatch(r"[^\W\d]\w{0,63}", name) for name in names)
    assert set(run.trials["which"]) == {*VALUES} - {ESCAPE, "a\nb"} | {r"\x1b[31mred\x07\u202e", r"a\nb"}
    assert {path.name for path in hostile.iterdir()} <= {"mine.db", "rule.yaml", "run"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"], ["show", "--json"], ["check"], ["export", "-o", "{}/a.csv"], ["plot", "-o", "{}/b.png"],
        ["plot", "--metric", "value", "-o", "{}/c.svg"], ["report", "-o", "{}/d.html"], ["export", "-o", "{}/e.db"],
        ["export", "--to", "tensorboard", "-o", "{}/f"], ["export", "--to", "mlflow", "-o", "sqlite:///{}/g.db"],
        ["bundle", "-o", "{}/h.zip"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)  # fmt: skip
def test_they_do_no_harm_where_they_are_shown_and_written(hostile, tmp_path, arguments):
    told = invoke(arguments[0], hostile / "run", *(one.format(tmp_path) for one in arguments[1:]))
    assert told.exit_code == 0, told.output
    assert harmless(told.stdout + told.stderr)
    for path in tmp_path.glob("*.html"):
        text = path.read_text()
        assert harmless(text)
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    for path in tmp_path.glob("*.svg"):
        ET.fromstring(path.read_text())
    assert len(list(tmp_path.iterdir())) == ("-o" in arguments)


@pytest.mark.parametrize("asked", [["--axes", f"lr,{ESCAPE}x"], ["--axes", "lr", "--study", ESCAPE]])
def test_a_message_shows_them_without_acting_on_the_terminal(hostile, tmp_path, asked):
    told = invoke("import", hostile / "mine.db", *asked, "-o", tmp_path / "run")
    assert told.exit_code == 2
    assert harmless(told.stderr)
    assert r"\x1b[31mred" in told.stderr
