"""The commands of README and of the guides, run as they stand on small studies that have the names of theirs."""

import re
import shlex
import shutil
from pathlib import Path

import optuna
import pandas as pd
import pytest
from click.testing import CliRunner

from phasemap.cli import cli

ROOT = Path(__file__).parent.parent
GUIDES = ["README.md", *(f"docs/{name}.md" for name in (
    "studies", "tasks", "data", "your-own", "rules", "search", "claims", "sweeps", "audit", "service", "cluster",
))]  # fmt: skip
COMMAND = re.compile(r"^(?:    |\$ |)(phasemap .*)$|`(phasemap [a-z]+ [^`]*)`", re.MULTILINE)
CLUSTER = "needs a cluster; tests/running has them against real Rays"
NOT_RUN = {
    "phasemap submit": CLUSTER,
    "phasemap status": CLUSTER,
    "phasemap logs": CLUSTER,
    "phasemap cancel": CLUSTER,
    "phasemap show quickstart --storage s3:": CLUSTER,
    "phasemap run my_study.yaml --address": CLUSTER,
    "phasemap run studies/quickstart.yaml --address": CLUSTER,
    "phasemap plan --gpu-memory": "a part of a command",
    "phasemap run --accept-source": "a part of a command",
    "phasemap run --retry-failed": "a part of a command",
    "phasemap run --storage DIR": "a part of a command",
    "phasemap check RUN": "a part of a command",
    "phasemap relabel RUN": "a part of a command",
    "phasemap run study.yaml": "a part of a command",
    "phasemap extend": "needs ends that were kept; tests/running extends a run",
    "phasemap relabel runs/my_study --at-step 1000": "of a run that was extended; tests/running does that",
    "phasemap plot runs/mine --grid": "needs points on no grid; tests/sweeps draws some",
    "phasemap import sqlite:///optuna.db --axes lr,wd --grid": "needs the sweep's program; tests/sweeps has one",
    "phasemap run runs/mine/study.yaml": "needs the sweep's program; tests/sweeps has one",
    "phasemap replay runs/digits": "starts a process of its own; tests/programs replays one",
    "phasemap serve": "does not end; tests/serving starts it",
    "phasemap audit": "trains for minutes; tests/auditing runs it on smaller data",
    "phasemap show data-audit": "looks at what an audit left",
    "phasemap run studies/beyond/trainability.yaml": "trains for minutes; tests/programs runs a small one",
    "phasemap run studies/adaptive_quickstart.yaml": "trains for half a minute; tests/search runs smaller searches",
}
"""Commands that are not tried here, by how they begin, and why."""
SMALL = """\
name: my_study
task: {kind: modular_addition, modulus: 7}
model: {width: 16}
training: {steps: 200}
axes: {corruption: [0, 0.1], weight_decay: [0, 5]}
fixed: {data_fraction: 0.7}
seeds: 1
record: [ipr]
"""


def commands():
    """Return each command of the guides once, without its comment."""
    found = {}
    for guide in GUIDES:
        for match in COMMAND.finditer((ROOT / guide).read_text()):
            text = " ".join(re.sub(r"\s+#.*", "", match[1] or match[2]).split())
            found.setdefault(text, guide)
    return found


def is_run(command):
    return not command.startswith(tuple(NOT_RUN))


def blocks(guide, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / guide).read_text(), re.S)


def call(command):
    """Run a command in this process, without Ray."""
    _, *arguments = shlex.split(command)
    if arguments[0] == "run":
        arguments.append("--in-process")
    return CliRunner().invoke(cli, arguments)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder with the files that the guides speak of, and small runs under the names that they use."""
    folder = tmp_path_factory.mktemp("guides")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("my_study.yaml").write_text(SMALL)
        Path("train.py").write_text(blocks("README.md", "python")[0])
        short = blocks("README.md", "yaml")[0].replace("[0, 0.1, 0.2, 0.4]", "[0, 0.4]")
        Path("digits.yaml").write_text(
            short.replace("[4, 8, 16, 32, 64, 128]", "[4]\nfixed: {epochs: 5}").replace("seeds: 2", "seeds: 1")
        )
        Path("mine.yaml").write_text(blocks("docs/rules.md", "yaml")[0])
        sweep = optuna.create_study(storage="sqlite:///optuna.db", study_name="lr")
        grid = [(lr, wd) for lr in (0.01, 0.1) for wd in (0.0, 1.0)]
        for lr, wd in grid:
            ranges = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("lr", "wd")}
            sweep.add_trial(optuna.create_trial(params={"lr": lr, "wd": wd}, distributions=ranges, value=lr + wd))
        for command in (
            "run my_study.yaml",
            "run my_study.yaml --set training.steps=500 --set name=short",
            "run digits.yaml",
            "import sqlite:///optuna.db --axes lr,wd -o runs/mine",
        ):
            done = call(f"phasemap {command}")
            assert done.exit_code == 0, done.output
        shutil.copytree("runs/my_study", "runs/quickstart")
        yield folder


def as_written(command):
    """Return a command with the names that a reader must fill in filled in."""
    study = pd.read_parquet("runs/my_study/trials.parquet").trial_id[0]
    named = {"3f2a9c": study, "NAME": "my_study", "init my_study.yaml": "init new_study.yaml"}
    for name, value in named.items():
        command = re.sub(rf"\b{name}\b", value, command)
    return command


@pytest.mark.parametrize("command", list(filter(is_run, commands())))
def test_a_command_of_the_guides_does_what_it_says(command, scratch):
    for name in ("my_study.zip", "new_study.yaml"):
        Path(name).unlink(missing_ok=True)
    done = call(as_written(command))
    refuted = "check" in command and done.exit_code == 1  # the claim is of a larger study
    assert done.exit_code == 0 or refuted, done.output
    for written in re.findall(r" -o (\S+)", as_written(command)):
        assert Path(written).exists()


def test_every_exception_is_still_a_command_of_a_guide():
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in commands())] == []


def test_most_commands_are_run():
    assert len(list(filter(is_run, commands()))) >= 30


def test_the_readme_s_training_function_trains(scratch):
    trials = pd.read_parquet("runs/digits/trials.parquet")
    assert trials.status.tolist() == ["ok", "ok"]
    assert trials.phase.notna().all()


def test_the_study_of_the_guide_is_read(tmp_path):
    (tmp_path / "my_study.yaml").write_text(blocks("docs/studies.md", "yaml")[0])
    done = call(f"phasemap plan {tmp_path / 'my_study.yaml'} --storage {tmp_path}")
    assert done.exit_code == 0, done.output
    assert "168 trials" in done.output
