"""The run of a program by the command line: planned, run, looked at, replayed, changed, and sent to a cluster."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from program_tools import CURVE, HEAD, write_study

from phasemap.cli import cli
from phasemap.running.jobs import write_parcel
from phasemap.running.shipping import shipped_files
from phasemap.runs import open_run
from phasemap.study.errors import UserError
from phasemap.study.file import load_study

pytestmark = pytest.mark.usefixtures("forked")

ACCURACIES = HEAD + (
    "import numpy as np\n\n"
    '@pm.program(quantities={"test_accuracy": "accuracy"})\n'
    "def train(trial: pm.TrialContext, *, lr: float, corruption: float = 0.0):\n"
    "    truth = np.arange(400) % 4\n"
    "    labels = trial.corrupt(truth, corruption)\n"
    "    for step in trial.steps(4):\n"
    "        given = labels.given if lr > 0.5 else truth\n"
    "        trial.report(step, **trial.score(labels, given, truth, truth))\n"
)


def invoke(*arguments, code=0):
    found = CliRunner().invoke(cli, [*map(str, arguments)])
    assert found.exit_code == code, (found.output, found.exception)
    return found.output


def test_a_program_that_scores_has_the_paper_s_phases(tmp_path):
    axes = {"lr": [0.1, 1.0], "corruption": [0.0, 0.5]}
    claims = ["area(grokking, corruption=0.5) > 0.2"]
    path = write_study(tmp_path, ACCURACIES, axes=axes, seeds=2, claims=claims)
    invoke("run", path, "--storage", tmp_path, "--in-process")
    trials = open_run(tmp_path / "mine").trials.set_index(["lr", "corruption", "seed"])
    assert trials.loc[(0.1, 0.5, 0), "subphase"] == "full_inversion"
    assert trials.loc[(1.0, 0.5, 0), "subphase"] == "coexistence"
    assert trials.loc[(0.1, 0.5, 0), "n_corrupted"] > 0
    assert trials["source"].nunique() == 1
    folder = tmp_path / "mine"
    assert "8/8 trials" in invoke("show", folder)
    assert "area(grokking, corruption=0.5) > 0.2" in invoke("check", folder)
    invoke("diff", folder, folder)
    invoke("plot", folder, "-o", tmp_path / "map.png")
    invoke("report", folder, "-o", tmp_path / "report.html")
    assert (tmp_path / "map.png").stat().st_size > 1000
    assert "0 of 8 trials changed" in invoke("relabel", folder, "--rule", "memorized_fraction")
    labels = tmp_path / "mine.yaml"
    labels.write_text("labels: {grokking: lr > 0.5, slow: otherwise}\n")
    assert "grokking 4" in invoke("relabel", folder, "--rule", labels)


NO_CLIP = HEAD + (
    '@pm.program(quantities={"test_accuracy": "accuracy"})\n'
    "def train(trial: pm.TrialContext, *, lr: float, clip: float | None = None):\n"
    "    for step in trial.steps(4):\n"
    "        trial.report(step, test_accuracy=min(1.0, lr * step / (1 + (clip or 0))))\n"
)


def test_none_is_a_value_of_an_axis_like_others(tmp_path):
    path = write_study(
        tmp_path,
        NO_CLIP,
        axes={"lr": {"start": 0.1, "stop": 1, "num": 10}, "clip": [None, 1]},
        phases={
            "labels": {"good": "test_accuracy >= 0.5", "bad": "test_accuracy < 0.5"},
            "times": {"good_step": "test_accuracy >= 0.5"},
        },
        search={"kind": "boundary", "budget": 0.8},
        claims=["area(good, clip=none) > area(good, clip=1)"],
    )
    folder = tmp_path / "mine"
    invoke("run", path, "--storage", tmp_path, "--in-process")
    run = open_run(folder)
    (claim,) = run.check()
    assert (claim.left, claim.right) == (0.9, 0.8)
    for spelling in ("none", "null", "None"):
        invoke("plot", folder, "--kind", "curves", "--fix", f"clip={spelling}", "-o", tmp_path / "curves.svg")
    assert "clip none" in (tmp_path / "curves.svg").read_text().replace("&#160;", " ") or "none" in invoke(
        "show", folder
    )
    dataset = run.diagram().to_xarray()
    assert dataset["clip"].values.tolist() == ["none", "1"]
    assert dataset.sel(clip="none", lr=0.1)["phase"] == "bad"
    assert dataset.sel(clip="none", lr=0.2)["phase"] == "good"
    invoke("export", folder, "-o", tmp_path / "points.nc", "--table", "points")
    assert run.survival(by="clip")["clip"].nunique(dropna=False) == 2


def test_labels_at_an_earlier_step_are_not_the_last_word(tmp_path):
    invoke("run", write_study(tmp_path, ACCURACIES), "--storage", tmp_path, "--in-process")
    folder = tmp_path / "mine"
    assert "labels at step 2" in invoke("relabel", folder, "--at-step", 2)
    assert "labels at step 4" in invoke("relabel", folder, "--at-step", 4)
    assert "allowed: up to 4" in invoke("relabel", folder, "--at-step", 5, code=2)


@pytest.mark.parametrize("rule", ["memorized_fraction", "doshi2024"])
def test_the_share_to_corrupt_may_have_a_name_of_its_own(tmp_path, rule):
    """The paper's rule looks at it: where no setting is called corruption, what the trial asked for is stored."""
    found = {}
    for name in ("corruption", "noise"):
        code = ACCURACIES.replace("corruption: float", f"{name}: float").replace("truth, corruption", f"truth, {name}")
        (tmp_path / name).mkdir()
        axes = {"lr": [0.1, 1.0], name: [0.0, 0.5]}
        path = write_study(tmp_path / name, code, axes=axes, phases={"rule": rule})
        invoke("run", path, "--storage", tmp_path / name, "--in-process")
        found[name] = open_run(tmp_path / name / "mine").trials.sort_values(["lr", name])
    assert found["noise"]["corruption"].tolist() == found["noise"]["noise"].tolist() == [0, 0.5, 0, 0.5]
    assert found["noise"]["subphase"].tolist() == found["corruption"]["subphase"].tolist()
    assert found["noise"]["subphase"].nunique() > 1
    invoke("report", tmp_path / "noise" / "mine", "-o", tmp_path / "report.html")


def test_runs_of_different_programs_are_compared_at_the_settings_that_both_have(tmp_path):
    further, rule = (
        CURVE.replace("epochs: int = 3", "epochs: int = 3, width: int = 4"),
        {"good": "test_loss < 0.2", "poor": "otherwise"},
    )

    def run(name, code, **content):
        (tmp_path / f"of_{name}").mkdir()
        invoke(
            "run",
            write_study(tmp_path / f"of_{name}", code, name=name, **content),
            "--storage",
            tmp_path,
            "--in-process",
        )
        return tmp_path / name

    first = run("first", CURVE, phases={"labels": rule})
    told = invoke("diff", first, run("second", further, phases={"labels": rule}))
    assert "program: train.py:train, whose source differs" in told
    assert "fixed.width: no such setting and 4" in told
    third = run("third", further, axes={"width": [1, 2]}, fixed={"lr": 0.1}, phases={"labels": rule})
    refused = invoke("diff", first, third, code=2)
    assert "width, an axis of third, is not a setting of first; allowed: runs of the same settings" in refused
    refused = invoke("diff", first, run("fourth", CURVE), code=2)
    assert "fourth has no labels to compare; allowed: runs with labels" in refused


def test_a_helper_may_corrupt_the_labels(tmp_path):
    code = ACCURACIES.replace("import numpy as np\n", "import numpy as np\nfrom noise import noisy\n")
    code = code.replace("trial.corrupt(truth, corruption)", "noisy(trial, truth, corruption)")
    (tmp_path / "noise.py").write_text("def noisy(t, truth, share):\n    return t.corrupt(truth, share)\n")
    axes = {"lr": [0.1, 1.0], "corruption": [0.0, 0.5]}
    invoke("run", write_study(tmp_path, code, axes=axes), "--storage", tmp_path, "--in-process")
    trials = open_run(tmp_path / "mine").trials.set_index(["lr", "corruption"])
    assert trials.loc[(0.1, 0.5), "subphase"] == "full_inversion"
    assert trials.loc[(0.1, 0.5), "n_corrupted"] > 0


def test_the_program_may_be_gone_when_its_run_is_looked_at(tmp_path):
    path = write_study(tmp_path)
    invoke("run", path, "--storage", tmp_path, "--in-process")
    (tmp_path / "train.py").write_text("raise SystemExit('imported')")
    folder = tmp_path / "mine"
    invoke("show", folder)
    invoke("report", folder, "-o", tmp_path / "report.html")
    assert "(until" not in invoke("list", "--storage", tmp_path)


def test_a_plan_runs_nothing_unless_it_is_to_measure(tmp_path):
    code = CURVE.replace("import phasemap as pm", "import phasemap as pm\nfrom pathlib import Path").replace(
        "    for epoch", '    Path(__file__).with_name("ran.txt").write_text("x")\n    for epoch'
    )
    path = write_study(tmp_path, code, seeds=3)
    told = invoke("plan", path, "--storage", tmp_path)
    assert "estimated: unknown until the first trial (phasemap plan --measure runs one)" in told
    assert not (tmp_path / "ran.txt").exists()
    assert json.loads(invoke("plan", path, "--storage", tmp_path, "--json"))["wall_seconds"] is None
    told = invoke("plan", path, "--storage", tmp_path, "--measure")
    assert "s, and is kept" in told
    assert "trained already: 1; to train: 5" in told
    assert "core-hours" in told
    assert "5 trained, 1 reused, 0 failed" in invoke("run", path, "--storage", tmp_path, "--in-process")


def test_changed_code_is_refused_under_one_version(tmp_path):
    path = write_study(tmp_path)
    options = ["--storage", tmp_path, "--in-process"]
    invoke("run", path, *options)
    (tmp_path / "train.py").write_text(CURVE + "# changed\n")
    told = invoke("run", path, *options, code=2)
    assert "the program's source changed (" in told
    assert "under version 1\nallowed: the same program and values; of changed code: another version" in told
    assert told.count("allowed:") == 1
    assert "task, model" not in told
    assert "0 trained, 2 reused" in invoke("run", path, *options, "--accept-source")
    assert "0 trained, 2 reused" in invoke("run", path, *options)
    assert "2 trained, 0 reused" in invoke("run", path, *options, "--set", "version=2")
    (tmp_path / "train.py").write_text(CURVE.replace("epochs: int = 3", "epochs: int = 4"))
    told = invoke("run", path, *options, "--set", "version=2", code=2)
    assert "the default of epochs: was 3, is now 4" in told
    invoke("run", path, *options, "--fresh")


def test_a_new_parameter_needs_since(tmp_path):
    path = write_study(tmp_path)
    options = ["--storage", tmp_path, "--in-process", "--accept-source"]
    invoke("run", path, *options)
    added = CURVE.replace("epochs: int = 3", "epochs: int = 3, late: float = 0.0")
    (tmp_path / "train.py").write_text(added)
    told = invoke("run", path, *options, code=2)
    assert "late is a new parameter; allowed: since={'late': 1} in pm.program" in told
    (tmp_path / "train.py").write_text(added.replace('"loss"}', '"loss"}, since={"late": 1}'))
    assert "0 trained, 2 reused" in invoke("run", path, *options)


def test_replay_tells_whether_a_program_keeps_its_word(tmp_path):
    path = write_study(tmp_path)
    invoke("run", path, "--storage", tmp_path, "--in-process")
    trial = open_run(tmp_path / "mine").trials["trial_id"][0]
    told = invoke("replay", tmp_path / "mine", trial)
    assert "identical to the stored curve, bit for bit\nstored: no label; replayed: no label, in" in told
    (tmp_path / "train.py").write_text(CURVE.replace("lr / epoch", "2 * lr / epoch"))
    told = invoke("replay", tmp_path / "mine", trial, code=1)
    assert "NOT equal to the stored curve" in told
    assert "trained by the program's source" in told
    (tmp_path / "train.py").unlink()
    assert "has no train.py in" in invoke("replay", tmp_path / "mine", trial, code=3)


def test_trials_whose_loss_is_not_finite_are_counted_where_a_run_ends(tmp_path):
    path = write_study(tmp_path, CURVE.replace("lr / epoch", "lr / epoch if lr > 0.5 else float('nan')"))
    assert "0 failed; 1 diverged; no labels" in invoke("run", path, "--storage", tmp_path, "--in-process")


def test_a_search_chooses_among_a_program_s_trials(tmp_path):
    axes = {"lr": {"start": 0.1, "stop": 1.0, "num": 5}}
    path = write_study(tmp_path, axes=axes, seeds=2, search={"kind": "random", "budget": 4})
    assert "4 trained" in invoke("run", path, "--storage", tmp_path, "--in-process")


def test_a_program_s_files_go_to_the_cluster_with_its_study(tmp_path):
    (tmp_path / "helper_to_send.py").write_text("RATE = 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a,b\n")
    path = write_study(tmp_path, "import helper_to_send\n" + CURVE, file="train.py")
    study = load_study(path)
    assert sorted(shipped_files(study)) == ["helper_to_send.py", "train.py"]
    assert sorted(shipped_files(study, Path("data"))) == ["data/rows.csv", "helper_to_send.py", "train.py"]
    for folder, message in (("..", "is outside the study's folder"), ("nowhere", "there is no such folder")):
        with pytest.raises(UserError, match=message):
            shipped_files(study, Path(folder))
    parcel = tmp_path / "parcel"
    parcel.mkdir()
    write_parcel(parcel, study, ["run"], None, shipped_files(study))
    assert load_study(parcel / "study.yaml").signature.source == study.signature.source
    assert json.loads((parcel / "submission.json").read_text())["modules"] == []


def test_what_is_left_out_of_a_folder_is_told_by_names_inside_it(tmp_path):
    home = tmp_path / "runs"
    (home / "data" / "__pycache__").mkdir(parents=True)
    for name in ("rows.csv", "__pycache__/rows.pyc"):
        (home / "data" / name).write_text("a\n")
    study = load_study(write_study(home))
    assert sorted(shipped_files(study, Path("data"))) == ["data/rows.csv", "train.py"]


def test_too_much_is_not_sent(tmp_path, monkeypatch):
    study = load_study(write_study(tmp_path))
    monkeypatch.setattr("phasemap.running.shipping.MOST_BYTES", 10)
    with pytest.raises(UserError, match="the program's files take 0 MB; allowed: up to 0 MB"):
        shipped_files(study, Path())
