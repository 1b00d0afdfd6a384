"""The command line, as a user meets it: exit codes, messages, --json, and files."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import forks
import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from bad_studies import BAD
from click.testing import CliRunner
from conftest import SMALL

from phasemap.cli import cli, main
from phasemap.phases.labelling import label_frame
from phasemap.planning.plan import make_plan
from phasemap.study.file import load_study
from phasemap.study.spec import PhaseRule

STUDIES = Path(__file__).parent.parent / "studies"


def program(*arguments, cwd=None):
    """Run the command line as a process and return the finished process."""
    return forks.finish("-m", "phasemap", *arguments, cwd=cwd)


def phasemap(*arguments, cwd="."):
    """Run the program's main function in this process, which saves its start, and return what a process would."""
    words, (out, err) = ["phasemap", *map(str, arguments)], (io.BytesIO(), io.BytesIO())
    stdout, stderr = (io.TextIOWrapper(stream, encoding="utf-8", write_through=True) for stream in (out, err))
    own = redirect_stdout(stdout), redirect_stderr(stderr)
    with chdir(cwd), own[0], own[1], patch("sys.argv", words), pytest.raises(SystemExit) as ended:
        main()
    said = [stream.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(words, ended.value.code or 0, *said)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run of the small study, made by the command line."""
    root = tmp_path_factory.mktemp("cli")
    (root / "small.yaml").write_text(SMALL)
    done = program("run", "small.yaml", "--in-process", "--json", cwd=root)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_trained"] == 8
    return root


def test_help_answers_at_once_and_names_every_command():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "phasemap", "--help"], capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "phasemap.cli" in imported
    assert not {"matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "ray", "scipy", "torch", "yaml"} & imported
    names = "run plan list show plot report diff check replay relabel export bundle schema init serve"
    for name in names.split():
        assert f"\n  {name} " in done.stdout
        assert phasemap(name, "--help").returncode == 0
    assert phasemap("--version").stdout.startswith("phasemap, version ")


@pytest.mark.parametrize("name", BAD)
def test_bad_studies_end_with_2_and_the_message_and_start_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, message = BAD[name]
    Path("s.yaml").write_text(text)
    done = CliRunner().invoke(cli, ["run", "s.yaml", "--json"])
    assert done.exit_code == 2
    assert message.format(file="s.yaml") in done.stderr
    assert message.format(file="s.yaml") in json.loads(done.stdout)["error"]
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def test_a_missing_file_and_a_wrong_option_end_with_2(tmp_path):
    assert "none.yaml can't be read: No such file" in phasemap("run", "none.yaml", cwd=tmp_path).stderr
    assert phasemap("run", "none.yaml", cwd=tmp_path).returncode == 2
    assert phasemap("run", "--nothing").returncode == 2
    assert phasemap("nothing").returncode == 2


@pytest.mark.parametrize(("arguments", "found"), [(["plan", "--jsn"], "--jsn"), (["nope"], "nope")])
def test_mistakes_in_the_command_itself_are_told_as_json_too(arguments, found):
    done = program(*arguments, "--json")
    assert done.returncode == 2
    content = json.loads(done.stdout)
    assert found in content["error"]
    assert content["exit_code"] == 2
    assert content["error"] in done.stderr


def test_a_folder_is_no_study_and_that_of_a_run_names_the_study_in_it(place):
    for folder, hint in (("runs/small", ", such as runs/small/study.yaml"), ("runs", "")):
        done = phasemap("plan", folder, cwd=place)
        assert (done.returncode, done.stderr) == (2, f"phasemap: {folder} is a folder; allowed: a file{hint}\n")


def test_a_storage_that_cannot_be_written_ends_with_3(place):
    done = phasemap("run", "small.yaml", "--in-process", "--storage", "/proc/none", cwd=place)
    assert done.returncode == 3
    assert "the storage /proc/none/small can't be written" in done.stderr


def test_a_cluster_that_cannot_be_reached_ends_with_3(place, tmp_path):
    done = program("run", "small.yaml", "--address", "127.0.0.1:1", "--storage", tmp_path, cwd=place)
    assert done.returncode == 3, done.stderr
    assert "the Ray cluster at 127.0.0.1:1 can't be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_running_again_trains_nothing_and_says_how_many_it_reuses(place):
    done = phasemap("run", "small.yaml", "--json", cwd=place)
    assert done.returncode == 0
    assert "8 reused, 0 to train" in done.stderr
    assert json.loads(done.stdout)["n_reused"] == 8


def test_a_widened_study_goes_on_and_says_what_changed(place, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL.replace("[0, 2]", "[0, 2, 5]").replace("seeds: 2", "seeds: 3"))
    subprocess.run(["cp", "-r", str(place / "runs"), str(tmp_path)], check=True)
    done = phasemap("run", "small.yaml", "--in-process", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "changed: axes.weight_decay: added 5" in done.stderr
    assert "changed: seeds: added 2" in done.stderr
    found = json.loads(done.stdout)
    assert (found["n_trials"], found["n_reused"], found["n_trained"]) == (18, 8, 10)


def test_a_contradictory_study_is_refused_unless_fresh(place, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL.replace("width: 16", "width: 8").replace("0.6", "0.5"))
    subprocess.run(["cp", "-r", str(place / "runs"), str(tmp_path)], check=True)
    refused = phasemap("run", "small.yaml", "--in-process", cwd=tmp_path)
    assert refused.returncode == 2
    assert "holds another study named small" in refused.stderr
    assert "model.width: was 16, is now 8" in refused.stderr
    assert "fixed.data_fraction: was 0.6, is now 0.5" in refused.stderr
    fresh = phasemap("run", "small.yaml", "--in-process", "--fresh", "--json", cwd=tmp_path)
    assert fresh.returncode == 0, fresh.stderr
    assert json.loads(fresh.stdout)["n_trained"] == 8
    (old,) = (path for path in (tmp_path / "runs").iterdir() if path.name.startswith("small.old-"))
    assert (old / "trials.parquet").exists()


def test_a_user_s_own_study_file_is_neither_overwritten_nor_moved_by_a_run_in_its_folder(tmp_path):
    (tmp_path / "small").mkdir()
    path = tmp_path / "small" / "study.yaml"
    path.write_text("# mine\n" + SMALL)
    for options in ((), ("--fresh",)):
        done = phasemap("run", path, "--storage", tmp_path, "--in-process", *options, cwd=tmp_path)
        assert done.returncode == 2
        assert f"{path} is a study file of yours, and the run would use its folder" in done.stderr
        assert path.read_text() == "# mine\n" + SMALL
        assert [one.name for one in path.parent.iterdir()] == ["study.yaml"]


def test_failed_trials_end_with_1_are_named_and_tried_again(tmp_path):
    (tmp_path / "s.yaml").write_text(
        SMALL.replace("weight_decay: [0, 2]", "width: [16, 1000000000]").replace("width: 16", "")
    )
    for start, options in ((program, []), (phasemap, []), (phasemap, ["--retry-failed"])):
        done = start("run", "s.yaml", "--in-process", "--json", *options, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)
        assert len(found["failures"]) == 4
        assert f"failed: trial {found['failures'][0]}: " in done.stderr
        assert "llocate" in done.stderr
    shown = phasemap("show", "runs/small", cwd=tmp_path)
    assert "failed: trial" in shown.stdout


def test_a_plan_over_the_core_hours_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "s.yaml").write_text(SMALL + "resources: {max_core_hours: 1e-6}\n")
    done = phasemap("run", "s.yaml", "--in-process", cwd=tmp_path)
    assert done.returncode == 2
    assert "resources.max_core_hours = 1e-06, but the plan is estimated at" in done.stderr
    assert not list((tmp_path / "runs").rglob("*.parquet"))


def test_plan_says_what_a_run_would_take(place):
    found = json.loads(phasemap("plan", "small.yaml", "--set", "seeds=5", "--json", cwd=place).stdout)
    assert (found["n_points"], found["n_trials"], found["n_reused"], found["n_missing"]) == (4, 20, 8, 12)
    assert found["wall_seconds"] > 0
    assert found["memory_bytes"] > 1e8
    text = phasemap("plan", "small.yaml", cwd=place).stdout
    assert "4 points x 2 seeds = 8 trials" in text
    assert "trained already: 8; to train: 0" in text


def test_list_and_show_tell_the_same_counts(place):
    (row,) = json.loads(phasemap("list", "--json", cwd=place).stdout)
    shown = json.loads(phasemap("show", "small", "--storage", "runs", "--json", cwd=place).stdout)
    assert row["name"] == "small"
    assert row["n_done"] == shown["n_done"] == 8
    assert row["phase_counts"] == shown["phase_counts"]
    assert sum(shown["point_subphase_counts"].values()) == 4
    assert row["last_outcome"] == "done"
    assert "small" in phasemap("list", cwd=place).stdout


@pytest.mark.parametrize(
    ("outcome", "told"), [("done", "done"), ("running", "lost"), (None, "state unknown"), ("folder", "can't be read")]
)
def test_list_and_status_tell_how_a_run_stands_also_without_or_with_an_unreadable_provenance(
    place, tmp_path, outcome, told
):
    run = shutil.copytree(place / "runs" / "small", tmp_path / "small")
    file = run / "provenance.json"
    executions = json.loads(file.read_text())
    file.unlink()
    if outcome == "folder":
        file.mkdir()
    elif outcome:
        file.write_text(json.dumps([executions[-1] | {"outcome": outcome}]))
    status, listed = phasemap("status", run), phasemap("list", "--storage", tmp_path)
    assert told in status.stdout + status.stderr
    assert told in listed.stdout
    assert (status.returncode, listed.returncode) == (2 if outcome == "folder" else 0, 0)


@pytest.mark.parametrize("words", [("show",), ("show", "--json")])
def test_a_result_that_cannot_be_written_ends_with_3_and_the_reason(place, words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "phasemap", *words, "runs/small"],
            cwd=place,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (3, "phasemap: No space left on device\n")


def test_a_storage_that_is_not_there_is_a_mistake_and_an_empty_one_has_no_runs(place, tmp_path):
    for arguments, what in ((["--storage", "nowhere"], "nowhere does not"), (["--storage", "small.yaml"], "is not a")):
        done = phasemap("list", *arguments, cwd=place)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{what} " in done.stderr
    assert "the storage runs does not exist" in phasemap("list", cwd=tmp_path).stderr
    assert phasemap("list", "--storage", tmp_path, cwd=place).stdout.strip() == "no runs"


def test_show_names_slow_trials_of_a_run_that_has_some_only(place, tmp_path):
    assert "slow" not in phasemap("show", "runs/small", cwd=place).stdout
    run = shutil.copytree(place / "runs" / "small", tmp_path / "small")
    trials = pd.read_parquet(run / "trials.parquet")
    trials["train_seconds"] = 8.0
    trials.loc[5, "train_seconds"] = 41.5
    trials.to_parquet(run / "trials.parquet")
    slow = [line for line in phasemap("show", run).stdout.splitlines() if "slow" in line]
    assert slow == [
        f"slow: 41.5 s (usual: 8.0 s)  trial {trials['trial_id'][5]}  corruption 0.3, weight_decay 0, seed 1"
    ]


def test_show_draws_the_diagram_without_colour_codes_where_there_is_no_terminal(place):
    text = phasemap("show", "runs/small", cwd=place).stdout
    assert "weight decay (up), corruption (right)" in text
    assert "\x1b[" not in text


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_show_colours_a_terminal_unless_told_not_to(place, no_color, coloured):
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment |= {"NO_COLOR": no_color} if no_color else {}
    with os.fdopen(follower, "w") as terminal:
        process = forks.Forked(["-m", "phasemap", "show", "runs/small"], cwd=place, stdout=terminal, env=environment)
    text = b""
    try:
        while chunk := os.read(leader, 65536):
            text += chunk
    except OSError:  # the terminal's other end was closed
        pass
    process.wait()
    os.close(leader)
    assert (b"\x1b[38;2;" in text) == coloured


def test_plot_writes_what_it_is_asked_for(place, tmp_path):
    done = phasemap(
        "plot", "runs/small", "-x", "weight_decay", "-y", "corruption", "-o", tmp_path / "a.svg", "--json", cwd=place
    )
    assert json.loads(done.stdout)["file"] == str(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert phasemap("plot", "runs/small", cwd=place).stdout.strip() == "small-subphase.png"
    assert (place / "small-subphase.png").exists()
    for metric in ("phase", "test_accuracy"):
        path = tmp_path / f"{metric}.pdf"
        assert phasemap("plot", "runs/small", "--metric", metric, "-o", path, cwd=place).returncode == 0
        assert path.read_bytes().startswith(b"%PDF")
    fixed = phasemap("plot", "runs/small", "--fix", "corruption=0.3", "-o", tmp_path / "s.png", cwd=place)
    assert fixed.returncode == 0, fixed.stderr
    steps = phasemap(
        "plot",
        "runs/small",
        "-x",
        "step",
        "-y",
        "weight_decay",
        "--facet",
        "corruption",
        "-o",
        tmp_path / "t.png",
        cwd=place,
    )
    assert steps.returncode == 0, steps.stderr


def test_plot_draws_the_other_kinds(place, tmp_path):
    done = phasemap("plot", "runs/small", "--kind", "curves", "-x", "weight_decay", "--json", cwd=place)
    assert json.loads(done.stdout) == {"file": "small-curves.png", "kind": "curves", "metric": None, "n_panels": 4}
    assert (place / "small-curves.png").read_bytes().startswith(b"\x89PNG")
    options = ["--kind", "curves", "--metric", "test_loss", "-x", "corruption", "-o", tmp_path / "a.svg", "--json"]
    found = json.loads(phasemap("plot", "runs/small", *options, cwd=place).stdout)
    assert (found["metric"], found["n_panels"]) == ("test_loss", 2)
    fixed = [
        "--kind",
        "norms",
        "--fix",
        "corruption=0.3",
        "--fix",
        "weight_decay=2",
        "-o",
        tmp_path / "b.pdf",
        "--json",
    ]
    assert json.loads(phasemap("plot", "runs/small", *fixed, cwd=place).stdout)["n_panels"] == 1
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["plot", "runs/none"], 2, "runs/none is not a run: it has no study.yaml"),
        (["plot", "runs/small", "-x", "width"], 2, "width is not an axis of small"),
        (["plot", "runs/small", "--fix", "corruption"], 2, "--fix corruption: allowed: AXIS=VALUE"),
        (["plot", "runs/small", "--fix", "corruption=0.7"], 2, "corruption = 0.7 is not a value of the study"),
        (["plot", "runs/small", "--metric", "beauty"], 2, "--metric beauty is unknown"),
        (["plot", "runs/small", "--kind", "beauty"], 2, "'beauty' is not one of 'phases', 'curves', 'ipr', 'neurons',"),
        (
            ["plot", "runs/small", "--kind", "curves", "--metric", "phase"],
            2,
            "--metric phase is unknown to --kind curves",
        ),
        (["plot", "runs/small", "--kind", "norms", "--metric", "train_loss"], 2, "--kind norms has no metrics"),
        (["plot", "runs/small", "--kind", "ipr"], 2, "its study has record: []; needed: record: [ipr]"),
        (["plot", "runs/small", "-o", "a.gif"], 2, "a.gif has the ending '.gif'"),
        (["plot", "runs/small", "-o", "none/a.png"], 3, "the folder none does not exist"),
        (["relabel", "runs/small", "--rule", "mine"], 2, "--rule mine is neither a rule nor a file"),
        (["export", "runs/small", "-o", "a.xlsx"], 2, "a.xlsx has the ending '.xlsx'"),
        (["init", "small.yaml"], 2, "small.yaml exists already"),
        (["init", "none/a.yaml"], 3, "none/a.yaml can't be written"),
    ],
)
def test_mistakes_are_named_with_the_contract_s_exit_code(place, arguments, code, message):
    done = phasemap(*arguments, cwd=place)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_relabel_changes_labels_and_trains_nothing(place, tmp_path):
    subprocess.run(["cp", "-r", str(place / "runs"), str(tmp_path)], check=True)
    run = tmp_path / "runs" / "small"
    before = {path.name: path.stat().st_mtime_ns for path in (run / "shards").iterdir()}
    (tmp_path / "strict.yaml").write_text("{rule: memorized_fraction, generalized: 0.05, memorized: 0.55}")
    done = phasemap("relabel", run, "--rule", tmp_path / "strict.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((run / "study.yaml").read_text())["phases"]["generalized"] == 0.05
    trials = pd.read_parquet(run / "trials.parquet")
    rule = PhaseRule(generalized=0.05, memorized=0.55)
    expected = label_frame(pd.read_parquet(run / "curves.parquet"), rule)["phase"].to_dict()
    assert trials.set_index("trial_id")["phase"].to_dict() == expected
    assert json.loads(done.stdout)["n_changed"] == (trials["phase"] == "grokking").sum() > 0
    assert "grokking" in set(pd.read_parquet(run / "points.parquet")["phase"])
    early = phasemap("relabel", run, "--rule", "doshi2024", "--at-step", "3", "--json")
    assert early.returncode == 0, early.stderr
    trials = pd.read_parquet(run / "trials.parquet")
    assert set(trials["horizon"]) == {3}
    assert set(trials["rule"]) == {"doshi2024"}
    assert json.loads(early.stdout)["at_step"] == 3
    assert "labels at step 3" in phasemap("relabel", run, "--at-step", "3").stdout
    assert "labelled by doshi2024 at step 3 (last record: step 3)" in phasemap("show", run).stdout
    assert yaml.safe_load((run / "study.yaml").read_text())["phases"]["at_step"] == 3
    assert "labels at step 3" in phasemap("status", run).stdout
    (listed,) = (line for line in phasemap("list", "--storage", run.parent).stdout.splitlines() if run.name in line)
    assert "labels at step 3" in listed
    assert before == {path.name: path.stat().st_mtime_ns for path in (run / "shards").iterdir()}


@pytest.mark.parametrize("rule", [("--rule", "doshi2024"), ("--at-step", "3"), ()])
def test_a_bundle_is_not_relabelled_since_it_has_no_shards(place, tmp_path, rule):
    bundle = tmp_path / "bundle"
    assert phasemap("bundle", place / "runs" / "small", "-o", bundle).returncode == 0
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    done = phasemap("relabel", bundle, *rule)
    assert done.returncode == 2
    assert "has no shards of 8 of its 8 trained trials" in done.stderr
    assert before == {path.name: path.read_bytes() for path in bundle.iterdir()}


def test_export_writes_the_tables(place, tmp_path):
    for table, n_rows in (("trials", 8), ("points", 4)):
        for ending, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
            path = tmp_path / f"{table}.{ending}"
            assert phasemap("export", "runs/small", "--table", table, "-o", path, cwd=place).returncode == 0
            assert len(read(path)) == n_rows
    assert phasemap("export", "runs/small", "--table", "curves", "-o", tmp_path / "c.csv", cwd=place).returncode == 0
    curves = pd.read_csv(tmp_path / "c.csv")
    assert {"trial_id", "step", "train_loss"} <= set(curves)
    assert curves["trial_id"].nunique() == 8


def test_the_schema_accepts_the_studies_that_ship_and_refuses_bad_ones():
    schema = json.loads(phasemap("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    for path in STUDIES.rglob("*.yaml"):
        assert valid(yaml.load(path.read_text(), Loader=yaml.CSafeLoader)), path
    assert not valid(yaml.safe_load(BAD["corruption 1.5"][0]))
    assert not valid(yaml.safe_load(BAD["unknown key"][0]))


@pytest.mark.parametrize("path", sorted(STUDIES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_that_ships_can_be_cut_into_packs(path):
    plan = make_plan(load_study(path), None)
    assert 0 < plan.n_missing <= plan.n_trials
    assert plan.adaptive or plan.n_missing == plan.n_trials


def test_init_writes_a_study_that_plans(tmp_path):
    assert phasemap("init", "my study.yaml", cwd=tmp_path).returncode == 0
    done = phasemap("plan", "my study.yaml", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["study"] == "my_study"


def test_studies_lists_what_ships_and_init_copies_one_with_its_data(tmp_path):
    listed = json.loads(phasemap("studies", "--json").stdout)
    assert {row["name"] for row in listed} == {
        path.relative_to(STUDIES).with_suffix("").as_posix() for path in STUDIES.rglob("*.yaml")
    }
    assert all(row["summary"] and len(row["summary"]) < 300 for row in listed)
    assert phasemap("init", "--from", "quickstart", cwd=tmp_path).returncode == 0
    assert (tmp_path / "quickstart.yaml").read_bytes() == (STUDIES / "quickstart.yaml").read_bytes()
    again = phasemap("init", "--from", "quickstart", cwd=tmp_path)
    assert (again.returncode, "quickstart.yaml exists already" in again.stderr) == (2, True)
    assert phasemap("init", "mine.yaml", "--from", "beyond/structured_noise", cwd=tmp_path).returncode == 0
    assert phasemap("plan", "mine.yaml", cwd=tmp_path).returncode == 0  # its matrix came with it
    wrong = phasemap("init", "--from", "quickstarts", cwd=tmp_path)
    assert "--from quickstarts is not a study that ships with phasemap (did you mean quickstart?)" in wrong.stderr


def test_init_of_a_program_writes_a_study_and_a_function_that_run(tmp_path):
    assert phasemap("init", "--program", cwd=tmp_path).returncode == 0
    jsonschema.validate(yaml.safe_load((tmp_path / "study.yaml").read_text()), json.loads(phasemap("schema").stdout))
    small = ["--set", "axes.learning_rate=[0.1]", "--set", "axes.corruption=[0, 0.2]", "--set", "seeds=1"]
    done = phasemap("run", "study.yaml", "--in-process", *small, "--set", "fixed.steps=5", cwd=tmp_path)
    assert (done.returncode, "2 trained, 0 reused, 0 failed" in done.stdout) == (0, True), done.stderr


def completed(place, words):
    """Return what a shell offers for the last of some words."""
    environment = {**os.environ, "_PHASEMAP_COMPLETE": "zsh_complete", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    done = forks.finish("-m", "phasemap", cwd=place, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1::3]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("phasemap show ru", "runs/small"),
        ("phasemap show --storage runs sm", "small"),
        ("phasemap plot runs/small -x corr", "corruption"),
        ("phasemap plot runs/small --fix weight_decay=", "weight_decay=0"),
        ("phasemap plot runs/small --metric test_l", "test_loss"),
        ("phasemap init --from quick", "quickstart"),
    ],
)
def test_a_shell_completes_runs_axes_fixes_metrics_and_studies(place, words, offered):
    assert offered in completed(place, words)


def test_the_study_of_a_run_is_written_resolved(place):
    content = yaml.safe_load((place / "runs" / "small" / "study.yaml").read_text())
    assert content["training"]["optimizer"] == "adamw"
    assert content["seeds"] == [0, 1]
    log = (place / "runs" / "small" / "run.log").read_text()
    assert "8 trials, 8 to train" in log


ADDED = {
    *("rule_capture", "rule_capture_std", "shift_by"),
    *("curve.rule_capture", "final.rule_capture", "setting.shift_by"),
}  # after the first shards were written


def drop_added(path):
    table = pq.read_table(path)
    pq.write_table(table.select([name for name in table.column_names if name not in ADDED]), path)


@pytest.fixture(scope="module")
def older(place, tmp_path_factory):
    """The finished run as an earlier release left it: without the columns that were added since."""
    root = tmp_path_factory.mktemp("older")
    subprocess.run(["cp", "-r", str(place / "runs"), str(root)], check=True)
    run = root / "runs" / "small"
    for path in (*run.glob("shards/*.parquet"), *run.glob("*.parquet")):
        drop_added(path)
    (run / "study.yaml").write_text((run / "study.yaml").read_text().replace("  shift_by: 1\n", ""))
    return root


def test_a_run_of_an_earlier_release_is_shown_drawn_exported_and_relabelled(place, older):
    shown = [json.loads(phasemap("show", "runs/small", "--json", cwd=root).stdout) for root in (place, older)]
    assert shown[0] == shown[1]
    for metric in ("subphase", "rule_capture"):
        done = phasemap("plot", "runs/small", "--metric", metric, "-o", f"{metric}.png", cwd=older)
        assert done.returncode == 0, done.stderr
    for table in ("trials", "points", "curves"):
        frames = []
        for root in (place, older):
            done = phasemap("export", "runs/small", "--table", table, "-o", f"{table}.csv", cwd=root)
            assert done.returncode == 0, done.stderr
            frames.append(pd.read_csv(root / f"{table}.csv"))
        pd.testing.assert_frame_equal(*frames)
        assert frames[1]["rule_capture"].isna().all()
    assert phasemap("relabel", "runs/small", "--rule", "doshi2024", cwd=older).returncode == 0
    assert set(pd.read_parquet(older / "runs/small/trials.parquet")["rule"]) == {"doshi2024"}


def test_a_run_of_an_earlier_release_goes_on_with_new_shards(place, older, tmp_path):
    subprocess.run(["cp", "-r", str(older / "runs"), str(tmp_path)], check=True)
    (tmp_path / "small.yaml").write_text(
        SMALL.replace("weight_decay: [0, 2]", "weight_decay: [0, 2]\n  corruption_kind: [symmetric, pair_flip]")
    )
    done = phasemap("run", "small.yaml", "--in-process", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["n_reused"], json.loads(done.stdout)["n_trained"]) == (8, 8)
    trials = pd.read_parquet(tmp_path / "runs/small/trials.parquet")
    assert "shift_by" not in trials  # it belongs to another corruption
    assert (trials["rule_capture"].notna() == (trials["corruption_kind"] == "pair_flip")).all()
    points = pd.read_parquet(tmp_path / "runs/small/points.parquet")
    assert points["rule_capture_std"].notna().sum() == 4
    drawn = phasemap("plot", "runs/small", "--metric", "rule_capture", "-o", "map.png", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr


def test_a_matrix_in_a_file_is_an_axis_like_any_other(tmp_path):
    for name, moved in (("weak", 0.2), ("strong", 0.9)):
        rows = [[1 - moved if z == y else moved if z == (y + 1) % 7 else 0 for z in range(7)] for y in range(7)]
        (tmp_path / f"{name}.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    text = SMALL.replace("modulus: 7", "modulus: 7, corruption_kind: asymmetric")
    (tmp_path / "small.yaml").write_text(text.replace("weight_decay: [0, 2]", "matrix: [weak.csv, strong.csv]"))
    done = phasemap("run", "small.yaml", "--in-process", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(tmp_path / "runs/small/trials.parquet")
    assert (trials["corruption"] > 0).sum() == 4
    effective = trials[trials["corruption"] > 0].groupby("matrix")["corruption_effective"].mean().sort_values()
    assert effective.iloc[0] < 0.15 < 0.2 < effective.iloc[1]
    for command in (["show", "runs/small"], ["export", "runs/small", "-o", "points.parquet", "--table", "points"]):
        shown = phasemap(*command, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
    again = phasemap("run", "small.yaml", "--in-process", cwd=tmp_path)
    assert "8 reused, 0 to train" in again.stderr


def test_bad_arrays_end_with_2_and_start_nothing(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.full((4, 2), np.nan), y=[0, 1, 0])
    (tmp_path / "s.yaml").write_text(SMALL.replace("modular_addition, modulus: 7", "arrays, path: a.npz"))
    done = phasemap("run", "s.yaml", "--in-process", cwd=tmp_path)
    assert done.returncode == 2
    assert "X has 8 values that are NaN or infinite in float32, the first is X[0, 0]" in done.stderr
    assert "X has 4 examples, y has 3 labels; allowed: equally many" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "s.yaml"]
