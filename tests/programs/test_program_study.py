"""The study of a program: read, checked against the signature, named by ids, and stored with the signature."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from program_tools import CURVE, HEAD, write_study

from phasemap.cli import cli
from phasemap.study.errors import StudyError
from phasemap.study.file import load_resolved, load_study, parse_study
from phasemap.study.trials import expand, grid_ids
from phasemap.study.writing import dump_study, study_hash
from phasemap.study.yaml_lines import parse_document

TRAIN = HEAD + (
    '@pm.program(quantities={"test_loss": "loss"}, since={"late": 2})\n'
    "def train(trial: pm.TrialContext, *, lr: float, name: str = 'a', depth: int = 2, flag: bool = False,\n"
    "          sizes: list[int] = [1], late: float = 1.0):\n    pass\n"
)


def mistakes(path, *overrides):
    with pytest.raises(StudyError) as found:
        load_study(path, overrides)
    return str(found.value)


def test_a_study_is_stored_with_its_signature_and_read_without_its_program(tmp_path):
    axes = {"lr": {"start": 1e-4, "stop": 0.1, "num": 4, "scale": "log"}, "name": ["a", "no"]}
    study = load_study(write_study(tmp_path, TRAIN, axes=axes, fixed={"depth": 3.0, "sizes": [2, 3]}, seeds=2))
    assert dict(study.fixed) == {"depth": 3, "flag": False, "sizes": (2, 3), "late": 1.0}
    stored = tmp_path / "stored.yaml"
    stored.write_text(dump_study(study))
    (tmp_path / "train.py").unlink()
    again = load_resolved(stored)
    assert again == study
    assert hash(again) == hash(study)
    assert study_hash(again) == study_hash(study)
    assert [trial.trial_id for trial in expand(again)] == list(grid_ids(study))
    assert study.axis("lr").scale == "log"


def test_looking_imports_nothing(tmp_path):
    write_study(tmp_path, TRAIN)
    stored = tmp_path / "stored.yaml"
    stored.write_text(dump_study(load_study(tmp_path / "study.yaml")))
    (tmp_path / "train.py").write_text("raise SystemExit('imported')")
    load_resolved(stored)
    with pytest.raises(StudyError, match="can't be imported: SystemExit: imported"):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("leave", ["sys.exit(0)", "os._exit(0)", "raise SystemExit"])
def test_a_program_that_ends_the_process_when_it_is_imported_is_a_mistake(tmp_path, leave):
    path = write_study(tmp_path, f"import os, sys\n\n{leave}\n")
    assert re.search(r"program = train.py can't be imported: SystemExit.* \(train.py:3\)", mistakes(path))


def test_a_process_that_a_program_forks_when_it_is_imported_may_end(tmp_path):
    fork = "import os\nchild = os.fork()\nif not child:\n    os._exit(7)\nassert os.waitpid(child, 0)[1] >> 8 == 7\n"
    path = write_study(tmp_path, fork + TRAIN)
    code = f"from phasemap.study.file import load_study; print(load_study({str(path)!r}).name)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # without threads
    assert told.stdout == "mine\n"


def test_what_a_program_prints_and_where_it_goes_when_it_is_imported_leave_a_command_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away").mkdir()
    write_study(tmp_path, "import os\n\nprint('here I am')\nos.chdir('away')\n" + TRAIN)
    done = CliRunner().invoke(cli, ["plan", "study.yaml", "--json"])
    assert json.loads(done.stdout)["n_trials"] == 2
    assert "here I am" in done.stderr
    assert Path.cwd() == tmp_path


def test_ids_are_of_the_name_the_version_all_settings_and_the_seed(tmp_path):
    def ids(folder, code=TRAIN, **content):
        folder.mkdir(exist_ok=True)
        return list(grid_ids(load_study(write_study(folder, code, **content))))

    first = ids(tmp_path / "a")
    assert ids(tmp_path / "b", file="deep/train.py") == first
    assert ids(tmp_path / "c", version=1, fixed={"depth": 2, "late": 1}) == first
    assert ids(tmp_path / "d", TRAIN.replace(", late: float = 1.0", "").replace(', since={"late": 2}', "")) == first
    for other in (
        ids(tmp_path / "e", version=2),
        ids(tmp_path / "f", fixed={"depth": 3}),
        ids(tmp_path / "g", fixed={"late": 2.0}),
        ids(tmp_path / "h", TRAIN.replace("depth: int = 2", "depth: int = 4")),
        ids(tmp_path / "i", file="other.py"),
    ):
        assert not set(other) & set(first)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("axes.lrr=[1]", r"axes.lrr is not a parameter of train.py:train; allowed: lr, .*\(did you mean lr\?\)"),
        ("fixed.dept=3", r"fixed.dept is not a parameter .*\(did you mean depth\?\)"),
        ("depth=3", r"depth is an unknown key.*\(depth belongs under fixed: or axes:\)"),
        ("fixed.depth=2.5", r"fixed.depth = 2.5 is not allowed; allowed: a whole number  \(--set fixed.depth=2.5\)"),
        ("fixed.name=no", r"fixed.name = no is true or false to many readers of YAML; allowed: quote it, 'no'"),
        ("axes.name=[on]", r"axes.name\[0\] = on is true or false to many readers of YAML; allowed: quote it, 'on'"),
        ("fixed.name=true", r"fixed.name = true is not allowed; allowed: text \(quote it: 'true'\)"),
        ("fixed.flag=yes", r"fixed.flag = 'yes' is not allowed; allowed: true or false"),
        ("axes.sizes=[[1], [2]]", "axes.sizes takes lists, which no axis can have; allowed: fixed.sizes"),
        ("axes.name={start: 1, stop: 2, num: 2}", "axes.name is a range, but name has no scale"),
        ("axes.depth=[2, 2.0]", r"axes.depth\[1\] = 2.0 is repeated"),
        ("axes={depth: [1]}", "fixed.lr is missing: the program has no default for it; allowed: a number"),
        ("fixed.lr=1", "fixed.lr is given here and as an axis"),
        ("program=tarin.py:train", r"program = tarin.py: there is no such file in .*\(did you mean train.py\?\)"),
        ("program=train.py:trian", r"program = train.py has no function trian \(did you mean train\?\)"),
        ("program=../train.py:train", "leads out of the study's folder; allowed: a file inside it, or a package"),
        ("program=no_such_package.x:f", "program = no_such_package.x: there is no such module in"),
        ("program=train", "program = 'train' is not allowed; allowed: file.py:function in the study's folder, or"),
        ("quantities={auc: number}", "quantities.auc = 'number', but the program declares test_loss"),
        ("phases={rule: doshi2024}", r"phases = doshi2024 needs train_accuracy, .*\(trial.corrupt, trial.score\)"),
        ("phases={labels: {good: auc > 1, bad: otherwise}}", "'auc' .* is not a quantity.*; allowed: test_loss, lr,"),
        ("resources.max_trial_minutes=0", "resources.max_trial_minutes = 0 is not allowed"),
        ("version=0", "version = 0 is not allowed; allowed: a whole number >= 1"),
        ("search={kind: grid, budget: 3}", "search.budget has no meaning with kind grid"),
    ],
)
def test_mistakes_are_told_with_what_is_allowed(tmp_path, override, message):
    path = write_study(tmp_path, TRAIN)
    assert re.search(message, mistakes(path, override))


def test_all_mistakes_are_told_with_their_lines(tmp_path):
    write_study(tmp_path, TRAIN)
    path = tmp_path / "two.yaml"
    path.write_text("name: two\nprogram: train.py:train\naxes:\n  lr: [fast, 1e-3]\nfixed:\n  widht: 3\nseeds: 0\n")
    told = mistakes(path)
    assert "axes.lr[0] = 'fast' is not allowed; allowed: a number" in told
    assert "two.yaml:4" in told
    assert "fixed.widht is not a parameter" in told
    assert "two.yaml:6" in told
    assert "seeds = 0 is not allowed" in told


def test_a_link_that_leads_out_is_refused(tmp_path):
    outside, inside = tmp_path / "out", tmp_path / "in"
    outside.mkdir()
    write_study(outside, TRAIN)
    path = write_study(inside, TRAIN)
    (inside / "train.py").unlink()
    (inside / "train.py").symlink_to(outside / "train.py")
    assert "is a link that leads out of the study's folder" in mistakes(path)


def test_a_study_says_the_quantities_of_a_program_that_declares_none(tmp_path):
    code = "def train(trial, *, lr: float):\n    pass\n"
    path = write_study(tmp_path, code, quantities={"auc": "accuracy", "train_loss": "loss"})
    path.write_text(path.read_text() + "phases: {labels: {good: auc > 0.9, bad: otherwise}}\n")
    study = load_study(path)
    assert study.recorded.quantities == {"auc": "accuracy", "train_loss": "loss"}
    assert study.phases.labels == ("good", "bad")
    labels = "phases={labels: {good: auc > 0.9, bad: otherwise}}"
    assert "needs to know what is recorded" in mistakes(write_study(tmp_path, code), labels)


def test_a_package_s_function_is_a_program(tmp_path, monkeypatch):
    package = tmp_path / "my_package_of_programs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "training.py").write_text(TRAIN)
    monkeypatch.syspath_prepend(tmp_path)
    study = load_study(write_study(tmp_path, program="my_package_of_programs.training:train"))
    assert study.signature.name == "my_package_of_programs.training:train"


def test_modules_beside_a_program_are_its_source_and_no_other_study_s(tmp_path):
    def source(folder, helper):
        folder.mkdir(exist_ok=True)
        (folder / "helper_of_mine.py").write_text(helper)
        code = "from helper_of_mine import RATE\n" + TRAIN.replace("depth: int = 2", "depth: int = RATE")
        study = load_study(write_study(folder, code))
        assert "helper_of_mine" not in sys.modules
        return study.signature.source, dict(study.fixed)["depth"]

    first, depth = source(tmp_path / "a", "RATE = 2\n")
    other, other_depth = source(tmp_path / "b", "RATE = 5\n")
    assert (depth, other_depth) == (2, 5)
    assert first != other
    assert source(tmp_path / "a", "RATE = 2\n")[0] == first


def test_a_service_imports_nothing_that_it_was_not_given(tmp_path, monkeypatch):
    path = write_study(tmp_path, "raise SystemExit('imported')\n")
    content = yaml.safe_load(path.read_text())
    for program, given in (("train.py:train", ()), ("json:dumps", ()), ("train.py:train", ("train.py:train",))):
        text = yaml.safe_dump({**content, "program": program})
        with pytest.raises(StudyError, match=r"would run code .*--allow-program module:function"):
            parse_study(parse_document(text, str(path)), files_allowed=False, programs=given)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "given_to_the_service.py").write_text(CURVE)
    text = yaml.safe_dump({**content, "program": "given_to_the_service:train"})
    given = ("given_to_the_service:train",)
    assert parse_study(parse_document(text, "sent"), files_allowed=False, programs=given).name == "mine"
