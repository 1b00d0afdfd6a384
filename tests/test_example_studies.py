"""The examples, as a user runs them, and what phasemap adds to each one's code."""

import runpy
import shutil
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from click.testing import CliRunner
from libraries import need

from phasemap.cli import cli
from phasemap.running.program_packs import end_process
from phasemap.runs import open_run

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALLER = {  # fewer points, shorter trainings
    "pytorch": ["axes.corruption=[0, 0.45]", "axes.weight_decay=[0.01]", "fixed.epochs=8"],
    "scikit_learn": ["axes.depth=[1, 8]", "axes.corruption=[0.4]"],
    "lightning_net": ["axes.learning_rate=[1e-2, 1]", "axes.dropout=[0]", "fixed.epochs=3"],
    "huggingface": ["axes.learning_rate=[3e-3, 0.3]", "axes.layers=[1]", "fixed.epochs=3"],
    "jax_mlp": ["axes.learning_rate=[1e-3, 0.1]", "axes.initial_scale=[0.1]", "fixed.steps=40"],
    "ray_tune": ["axes.eta=[0.1]", "axes.alpha=[1e-5, 1]"],
    "optuna_objective": ["axes.penalty=[10]", "axes.gamma=[0.01, 10]"],
}
pytestmark = pytest.mark.usefixtures("forked")
LIBRARIES = {
    "lightning_net": ("lightning",),
    "huggingface": ("transformers", "accelerate"),
    "jax_mlp": ("jax", "optax"),
}
UNCHANGED = ("ray_tune", "optuna_objective")
MOST_LINES = 12


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    end_process()


def phasemap(*arguments):
    found = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.filterwarnings("default")  # those of the libraries' own imports
@pytest.mark.parametrize("name", SMALLER)
def test_an_example_runs_and_its_run_is_a_map(name, tmp_path):
    need(*LIBRARIES.get(name, ()))
    study = shutil.copytree(EXAMPLES / name, tmp_path / name) / "study.yaml"
    smaller = [part for value in SMALLER[name] for part in ("--set", value)]
    run = tmp_path / "runs" / name
    told = phasemap("run", study, "--storage", run.parent, "--in-process", *smaller)
    assert "2 trained, 0 reused, 0 failed" in told
    assert "2/2 trials" in phasemap("show", run)
    assert open_run(run).trials["phase"].notna().all()
    phasemap("plot", run, "-o", tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5_000
    phasemap("report", run, "-o", tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 50_000
    assert "1 of 1 claims hold" in phasemap("check", run)
    assert "the same 2 trials: every point has the same labels" in phasemap("diff", run, run)
    if name == "scikit_learn":
        phasemap("run", study, "--storage", tmp_path / "others", "--in-process", *smaller, "--set", "seeds=[1]")
        assert name in phasemap("diff", run, tmp_path / "others" / name)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [name for name in SMALLER if name not in UNCHANGED])
def test_the_code_runs_without_phasemap_too(name, tmp_path, monkeypatch, capsys):
    need(*LIBRARIES.get(name, ()))
    monkeypatch.chdir(tmp_path)
    assert "phasemap" not in (EXAMPLES / name / "plain.py").read_text()
    train = runpy.run_path(str(EXAMPLES / name / "plain.py"))["train"]
    train(**{"pytorch": {"epochs": 1}, "scikit_learn": {"trees": 5}, "jax_mlp": {"steps": 5}}.get(name, {"epochs": 1}))
    assert capsys.readouterr().out


def lines_of(path):
    """Return a file's lines without blank ones and without its start from a shell."""
    text = path.read_text().removesuffix('if __name__ == "__main__":\n    train()\n')
    return [line for line in text.splitlines() if line.strip()]


def differing(first, second):
    """Count the lines in which two files differ: a changed line once, a new one once."""
    changes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return sum(max(end - start, stop - begin) for kind, start, end, begin, stop in changes if kind != "equal")


@pytest.mark.parametrize("name", [path.parent.name for path in sorted(EXAMPLES.glob("*/plain.py"))])
def test_phasemap_takes_few_lines(name):
    (own,) = (path for path in (EXAMPLES / name).glob("*.py") if path.name != "plain.py")
    lines = differing(lines_of(EXAMPLES / name / "plain.py"), lines_of(own))
    assert 0 < lines <= MOST_LINES
    (row,) = (row for row in (EXAMPLES / "README.md").read_text().splitlines() if f"({name})" in row)
    assert row.endswith(f" {lines} |")


@pytest.mark.parametrize("name", UNCHANGED)
def test_objectives_that_exist_need_no_line(name):
    assert [path.name for path in (EXAMPLES / name).glob("*.py")] == ["objective.py"]
    assert "phasemap" not in (EXAMPLES / name / "objective.py").read_text()


def test_the_objective_of_optuna_is_one_of_optuna_s():
    import optuna

    objective = runpy.run_path(str(EXAMPLES / "optuna_objective" / "objective.py"))["objective"]
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=1)
    assert 0 < study.best_value <= 1


def test_every_example_is_listed_and_tested():
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {*SMALLER, "own_tuner", "audit"}
    table = (EXAMPLES / "README.md").read_text()
    assert all(f"[{name}]({name})" in table for name in folders)
