"""Studies that name a user's network, data, optimizer or loss: read, checked, named by ids, stored and looked at."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from click.testing import CliRunner
from own_tools import FILES, SHAPES, content, write_own

from phasemap.api import load_network
from phasemap.cli import cli
from phasemap.running.shipping import needed_modules, shipped_files
from phasemap.study.errors import StudyError
from phasemap.study.file import load_resolved, load_study, parse_study
from phasemap.study.trials import expand, grid_ids
from phasemap.study.writing import dump_study, study_hash
from phasemap.study.yaml_lines import parse_document
from phasemap.training.population import train_pack

pytestmark = pytest.mark.usefixtures("forked")


def mistakes(path, *overrides):
    with pytest.raises(StudyError) as found:
        load_study(path, overrides)
    return str(found.value)


def phasemap(*words):
    found = CliRunner().invoke(cli, list(map(str, words)))
    assert found.exit_code == 0, f"{found.output}\n{found.exception!r}"
    return found.output


def test_a_study_is_stored_with_its_signatures_and_read_without_the_code(tmp_path):
    axes = {"width": [2, 4], "n": [30, 60], "temperature": {"start": 1, "stop": 4, "num": 3, "scale": "log"}}
    study = load_study(write_own(tmp_path, axes=axes, seeds=2))
    stored = tmp_path / "stored.yaml"
    stored.write_text(dump_study(study))
    for name in FILES:
        (tmp_path / name).write_text("raise SystemExit('imported')")
    again = load_resolved(stored)
    assert again == study
    assert hash(again) == hash(study)
    assert study_hash(again) == study_hash(study)
    assert [trial.trial_id for trial in expand(again)] == list(grid_ids(study))
    assert [dict(size.values)["n"] for size in again.parts.data] == [30, 60]
    settings = next(expand(again)).settings
    assert again.expected_facts(settings)["n_train"] == 15
    assert settings["model"] == "nets.py:ConvNet"
    assert "activation" not in settings
    with pytest.raises(StudyError, match="can't be imported: SystemExit: imported"):
        load_study(tmp_path / "study.yaml")


def test_ids_are_of_the_names_the_version_all_settings_and_the_seed(tmp_path):
    def ids(folder, files=None, **changes):
        return list(grid_ids(load_study(write_own(tmp_path / folder, files, **changes))))

    first = ids("a")
    deeper = tmp_path / "b" / "deep"
    deeper.mkdir(parents=True)
    (deeper / "nets.py").write_text(FILES["nets.py"])
    assert ids("b", model={"kind": "deep/nets.py:ConvNet"}) == first
    assert ids("c", model={"kind": "nets.py:ConvNet", "width": 4.0}, version=1) == first
    assert ids("d", {"nets.py": FILES["nets.py"] + "\n# a comment\n"}) == first
    for other in (
        ids("e", version=2),
        ids("f", model={"kind": "nets.py:ConvNet", "width": 5}),
        ids("g", {"nets.py": FILES["nets.py"].replace("width: int = 4", "width: int = 6")}),
        ids("h", model={"kind": "nets.py:Normed"}),
        ids("i", task={"kind": "shapes.py:load", "n": 30}),
        ids("j", training={**content()["training"], "temperature": 2.0}),
        ids("k", model=None),
    ):
        assert not set(other) & set(first)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.kind=net.py:ConvNet", r"model.kind = net.py: there is no such file in .*\(did you mean nets.py\?\)"),
        ("model.kind=nets.py:ConvNetz", "model.kind = nets.py has no function ConvNetz"),
        ("model.kind=nets.py", "model.kind = 'nets.py' is not allowed; allowed: file.py:function in the study's"),
        ("model.kind=../nets.py:ConvNet", "leads out of the study's folder; allowed: a file inside it, or a package"),
        ("model.kind=no_such_package_at_all:f", "there is no such module in"),
        ("model.widht=3", r"model.widht is an unknown key; allowed: kind, width \(did you mean width\?\)"),
        ("model.activation=relu", "model.activation is an unknown key; allowed: kind, width"),
        ("model.width=wide", "model.width = 'wide' is not allowed; allowed: a whole number"),
        ("axes.widht=[3]", r"axes.widht is not a trial setting; allowed: task, .*\(did you mean width\?\)"),
        ("axes.betas=[[0.9, 0.99]]", "axes.betas takes lists, which no axis can have; allowed: training.betas"),
        ("axes.model=[mlp]", "axes.model is code of yours, which can't be an axis; allowed: one study for each"),
        ("axes.momentum=[0.9]", "axes.momentum is not a trial setting"),
        ("task.modulus=7", "task.modulus is an unknown key; allowed: kind, corruption_kind, split, n, noise"),
        ("task.n=few", "task.n = 'few' is not allowed; allowed: a whole number"),
        ("task.kind=shapes.py:triples", ""),
        ("training.loss=nets.py:ConvNet", "training.loss = nets.py:ConvNet: is a class; allowed: a function"),
        ("training.optimizer=losses.py:stable", "is not a class of optimizers; allowed: a subclass of torch.optim"),
        ("training.optimizer=torch.optim:LBFGS", "needs closure in its step; allowed: an optimizer whose step"),
        ("training.optimizer=optim.py:Layers", "training.first is missing: optim.py:Layers has no default for it"),
        ("record=[ipr]", "= ipr has no meaning for shapes.py:load"),
        ("version=0", "version = 0 is not allowed; allowed: a whole number >= 1"),
        ("axes.data_fraction=[0.001]", r"leaves no training example of 60 \(shapes.py:load\)"),
        ("training.batch_size=64", "training.batch_size = 64 is larger than the training set of 30 examples"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_what_is_allowed(tmp_path, override, message):
    path = write_own(tmp_path)
    if message:
        assert re.search(message, mistakes(path, override))
    else:
        load_study(path, [override])


HEAD = "import torch\n\n\n"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"nets.py": "def ConvNet(features, classes, width): pass\n"},
         "model.kind = nets.py:ConvNet: has a parameter width without a type and a default; allowed: int, float"),
        ({"nets.py": "def ConvNet(features, classes, **settings): pass\n"},
         r"takes \*\*settings; allowed: every setting as a parameter of its own"),
        ({"nets.py": "def ConvNet(features): pass\n"},
         "has the parameters features; allowed: features and classes first, its settings as keyword parameters"),
        ({"nets.py": "def ConvNet(features, classes, seed: int = 0): pass\n"}, "seed, which is a reserved name"),
        ({"nets.py": "def ConvNet(features, classes, steps: int = 0): pass\n"},
         "has a parameter steps, which is training.steps too; allowed: another name"),
        ({"nets.py": "def ConvNet(features, classes, noise: int = 0): pass\n"},
         "which is a parameter of shapes.py:load too; allowed: another name"),
        ({"nets.py": "ConvNet = 3\n"}, "nets.py:ConvNet: is int; allowed: a function or a class"),
        ({"shapes.py": "def load(): return 1\n"}, r"task.kind = shapes.py:load\(\) returns int; allowed: X, y or X"),
        ({"shapes.py": "def load(): return [[1.0], [2.0]], [0, 1, 1]\n"}, "X has 2 examples, y has 3 labels"),
        ({"shapes.py": "def load(): return [[1.0], [float('nan')]], [0, 1]\n"}, "X has 1 values that are NaN or inf"),
        ({"shapes.py": "def load(): return [[1.0], [2.0]], [0, 0]\n"}, "y has 1 class; allowed: at least 2"),
        ({"shapes.py": "def load(): return [[1], [-2]], [0, 1]\n"}, "X holds the token -2; allowed: whole numbers"),
        ({"shapes.py": "def load(): return [[1.0], [2.0]], [0, 1], [[1], [2]]\n"}, "groups has int64 and the shape"),
        ({"shapes.py": "def load(n: int = 3): raise ValueError('no disk')\n"},
         r"shapes.py:load\(n=3\) fails: ValueError: no disk \(shapes.py:1\)"),
        ({"losses.py": "def stable(scores): pass\n"}, "has the parameters scores; allowed: scores and targets first"),
        ({"optim.py": HEAD + "class Lion(torch.optim.SGD):\n    def __init__(self, params): pass\n"},
         "training.learning_rate is an unknown key"),
    ],
)  # fmt: skip
def test_code_that_cannot_be_used_is_told_before_anything_starts(tmp_path, files, message):
    assert re.search(message, mistakes(write_own(tmp_path, files)))


def test_phasemap_s_networks_take_pairs_of_tokens_only(tmp_path):
    path = write_own(tmp_path, task={"kind": "shapes.py:triples"}, model={"kind": "mlp"})
    assert re.search(r"task.kind has tokens of the shape \(examples, 3\); phasemap's own networks", mistakes(path))
    features = write_own(tmp_path, model={"kind": "transformer", "width": 8})
    assert "transformer works on modular tasks" in mistakes(features)


def test_own_code_is_no_value_of_an_axis(tmp_path):
    path = write_own(tmp_path, model=None, axes={"model": ["mlp", "nets.py:ConvNet"]})
    assert "code of yours stands under model.kind, in a study for each" in mistakes(path)


@pytest.mark.parametrize("key", ["task", "model", "training"])
def test_the_service_refuses_code_of_a_study_that_was_sent(tmp_path, key):
    (tmp_path / "nets.py").write_text("raise SystemExit('imported')")
    study = {"name": "own", "task": {"kind": "modular_addition"}, "axes": {"corruption": [0]}, key: content()[key]}
    with pytest.raises(StudyError, match="would run code of a study that was sent; allowed: a module that the service"):
        parse_study(parse_document(yaml.safe_dump(study), str(tmp_path / "sent.yaml")), files_allowed=False)


def test_a_package_s_optimizer_is_one_and_a_module_that_the_service_was_given_too(tmp_path):
    training = {"optimizer": "torch.optim:NAdam", "steps": 5, "momentum_decay": 0.01}
    study = load_study(
        write_own(tmp_path, task={"kind": "modular_addition", "modulus": 7}, model=None, training=training)
    )
    assert study.parts.get("optimizer").name == "torch.optim:NAdam"
    assert needed_modules(study) == ["torch.optim"]
    text = yaml.safe_dump({k: v for k, v in content(training=training, model=None).items() if k != "task"})
    document = parse_document(f"{text}task: {{kind: modular_addition}}\n", "sent.yaml")
    sent = parse_study(document, files_allowed=False, programs=("torch.optim:NAdam",))
    assert sent.parts.get("optimizer").source == study.parts.get("optimizer").source


def test_torch_s_adam_trains_as_phasemap_s_though_no_setting_can_be_its_betas(tmp_path):
    task, training = {"kind": "modular_addition", "modulus": 7}, {"steps": 30, "loss": "mse"}
    own = load_study(write_own(tmp_path, task=task, model=None, training={**training, "optimizer": "torch.optim:Adam"}))
    assert "betas" not in own.declared
    assert own.setting("eps") == 1e-8
    (tmp_path / "other").mkdir()
    built_in = {**training, "optimizer": "adam", "betas": [0.9, 0.999]}
    other = load_study(write_own(tmp_path / "other", task=task, model=None, training=built_in))
    found, expected = (train_pack(list(expand(study))[:2], device=torch.device("cpu")) for study in (own, other))
    for one, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.curves["train_loss"], reference.curves["train_loss"], rtol=1e-4)


def test_all_files_of_a_user_go_to_a_cluster(tmp_path):
    study = load_study(write_own(tmp_path, {"nets.py": "import helper\n" + FILES["nets.py"], "helper.py": "A = 1\n"}))
    assert set(shipped_files(study)) == {*FILES, "helper.py"}
    assert needed_modules(study) == []


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run of a study of a user's files."""
    root = tmp_path_factory.mktemp("own")
    path = write_own(root, axes={"width": [2, 4], "corruption": [0, 0.2]}, seeds=2, record=["weights", "norms"])
    told = phasemap("run", path, "--storage", root / "runs", "--in-process")
    assert "8 trained, 0 reused, 0 failed" in told
    return root


def test_a_run_is_looked_at_without_its_code(place):
    for name in FILES:
        (place / name).rename(place / f"{name}.away")
    try:
        run = place / "runs" / "own"
        assert "8/8 trials" in phasemap("show", run)
        phasemap("plot", run, "-o", place / "map.png")
        phasemap("plot", run, "--kind", "curves", "-o", place / "curves.png")
        phasemap("report", run, "-o", place / "report.html")
        assert "nets.py:ConvNet" in (place / "report.html").read_text()
        trials = pd.read_parquet(run / "trials.parquet")
        assert set(trials["source"].str.count(r"\+")) == {3}
        assert set(trials["kernel"]) == {"functional"}
    finally:
        for name in FILES:
            (place / f"{name}.away").rename(place / name)


def test_a_trial_is_replayed_and_its_network_loaded(place):
    run = place / "runs" / "own"
    trial_id = pd.read_parquet(run / "trials.parquet")["trial_id"][0]
    found = json.loads(phasemap("replay", run, trial_id, "--json"))
    assert found["verdict"] in ("bit", "tolerance")
    assert type(load_network(run, trial_id)).__name__ == "ConvNet"
    before = FILES["nets.py"]
    (place / "nets.py").write_text(before + "# changed\n")
    try:
        assert "replayed by" in phasemap("replay", run, trial_id)
    finally:
        (place / "nets.py").write_text(before)


def test_a_run_goes_on_with_the_same_code_only(tmp_path):
    path = write_own(tmp_path, axes={"width": [2]}, training={**content()["training"], "steps": 5})

    def run(*more):
        return CliRunner().invoke(cli, ["run", str(path), "--storage", str(tmp_path / "runs"), "--in-process", *more])

    assert "1 trained, 0 reused" in run().output
    assert "1 trained, 1 reused" in run("--set", "axes.width=[2, 3]").output
    (tmp_path / "nets.py").write_text(FILES["nets.py"] + "# changed\n")
    refused = run("--set", "axes.width=[2, 3, 4]")
    assert refused.exit_code == 2
    assert "the source of model.kind (nets.py:ConvNet) changed (" in refused.output
    assert "--accept-source (trained trials count as its)" in refused.output
    assert "1 trained, 2 reused" in run("--set", "axes.width=[2, 3, 4]", "--accept-source").output
    assert "3 trained, 0 reused" in run("--set", "axes.width=[2, 3, 4]", "--set", "version=2").output
    (tmp_path / "shapes.py").write_text(SHAPES.replace("default_rng(0)", "default_rng(1)"))
    refused = run("--set", "axes.width=[2, 3, 4]", "--set", "version=2")
    assert "the source of task.kind (shapes.py:load) changed" in refused.output
    assert "the content of the data changed for n 60, noise 0.3" in refused.output


def test_networks_that_train_one_after_the_other_are_told_once(tmp_path):
    training = {**content()["training"], "steps": 5}
    path = write_own(tmp_path, model={"kind": "nets.py:Normed"}, training=training, axes={"corruption": [0, 0.2]})
    told = phasemap("run", path, "--storage", tmp_path / "runs", "--in-process")
    words = "networks of nets.py:Normed are trained one after another: it changes its buffers while it trains"
    assert told.count(words) == 1


def test_a_wrong_shape_ends_a_run_before_it_starts(tmp_path):
    code = "from torch import nn\n\n\ndef ConvNet(features, classes):\n    return nn.Flatten(2)\n"
    code = code.replace("nn.Flatten(2)", "nn.Sequential(nn.Flatten(), nn.Linear(16, 9))")
    path = write_own(tmp_path, {"nets.py": code})
    found = CliRunner().invoke(cli, ["run", str(path), "--storage", str(tmp_path / "runs"), "--in-process"])
    assert found.exit_code != 0
    assert (
        "answers the shape (3, 9) to inputs (3, 1, 4, 4); allowed: the shape (3, 3)"
        in f"{found.output}{found.exception}"
    )
    assert not (tmp_path / "runs" / "own").exists()
