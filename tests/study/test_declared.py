"""A study knows the settings of its own task, network and training, and no others."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

import phasemap as pm
from phasemap.results.schema import named, shard_schema
from phasemap.study.errors import StudyError
from phasemap.study.file import load_resolved, load_study, study_of
from phasemap.study.networks import NETWORK_IDENTITY, NETWORK_SETTINGS
from phasemap.study.templates import shipped_study
from phasemap.study.trials import expand, grid_ids
from phasemap.study.values import allowed
from phasemap.study.writing import dump_study, json_schema, study_hash

STORED = Path(__file__).parents[1] / "data" / "golden" / "runs"
BELONGING = {name: one for name, one in NETWORK_SETTINGS.items() if one.belongs_to}
TASKS = {
    "modular_addition": {"modulus"},
    "images": {"dataset"},
    "sparse_parity": {"n_bits", "k_bits", "n_samples"},
}
OF_TASKS = {name for name, one in BELONGING.items() if one.belongs_to.setting == "task"}


def content(task="images", axes=None, **sections):
    return {"name": "a", "task": {"kind": task}, "axes": axes or {"width": [8]}, **sections}


def test_every_setting_says_what_it_is_what_it_accepts_and_what_it_is_unless_told():
    for setting in NETWORK_SETTINGS.values():
        assert setting.text, setting.name
        assert allowed(setting.field)
        if setting.belongs_to:
            owner = NETWORK_SETTINGS[setting.belongs_to.setting]
            assert owner.belongs_to is None
            for value in setting.belongs_to.values:
                owner.adapter.validate_python(value)


@pytest.mark.parametrize("task", TASKS)
def test_a_study_knows_the_settings_of_its_task_and_of_no_other(task):
    study = study_of(content(task))
    assert set(study.declared) & OF_TASKS == TASKS[task]
    assert {"heads", "matrix", "shift_by", "temperature", "filter_memory"}.isdisjoint(study.declared)
    assert named(shard_schema(study), "setting") == list(study.declared)
    assert set(study.settings()) == set(study.declared) - {"width"}
    written = dump_study(study)
    assert not any(f"  {name}:" in written for name in BELONGING if name not in study.declared)
    assert [trial.trial_id for trial in expand(study)] == list(grid_ids(study))


def test_an_axis_of_tasks_or_networks_makes_all_their_settings_known():
    study = study_of(content("images", {"task": ["images", "modular_addition"], "model": ["mlp"], "loss": ["mse"]}))
    assert set(study.declared) & OF_TASKS == {"modulus", "dataset"}
    assert "heads" in study_of(content("modular_addition", {"model": ["mlp", "transformer"]})).declared


@pytest.mark.parametrize("name", BELONGING)
def test_naming_what_belongs_to_others_is_told_with_place_value_and_way_out_also_at_its_default(name):
    setting, owner = BELONGING[name], NETWORK_SETTINGS[BELONGING[name].belongs_to.setting]
    value = setting.default if setting.default is not None else {"matrix": [[1.0]], "table": "S3"}.get(name, "a.npz")
    other = next(one for one in TASKS if one not in setting.belongs_to.values)
    given = content(other if owner.name == "task" else "modular_addition")
    if owner.default in setting.belongs_to.values:
        given.setdefault(owner.section, {})[owner.key] = "sgd"
    given.setdefault(setting.section, {})[setting.key] = value
    with pytest.raises(StudyError) as told:
        study_of(given)
    (message,) = [one.message for one in told.value.problems if one.path == setting.path]
    assert message.startswith("= ")
    assert f" means nothing with {owner.path} " in message
    assert f"; allowed: leave it out, or {owner.path} " in message
    assert setting.belongs_to.values[0] in message


def test_the_place_of_an_axis_or_of_an_override_is_told(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("name: a\ntask: {kind: images}\naxes:\n  width: [8]\n  modulus: [7]\n")
    with pytest.raises(StudyError, match=r"axes\.modulus\[0\] = 7 means nothing with task\.kind images.*s\.yaml:5"):
        load_study(path)
    path.write_text("name: a\ntask: {kind: images}\naxes: {width: [8]}\n")
    with pytest.raises(StudyError, match=r"task\.modulus = 97 means nothing.*--set task\.modulus=97"):
        load_study(path, ["task.modulus=97"])


def test_what_is_allowed_names_the_study_s_own_settings_only():
    with pytest.raises(StudyError) as told:
        study_of(content(axes={"widht": [8]}, model={"dept": 2}))
    for text in [one.message for one in told.value.problems]:
        words = text.partition("allowed: ")[2].partition(" (")[0].split(", ")
        assert "width" in words
        assert not {"modulus", "heads", "n_bits"} & set(words)
    with pytest.raises(StudyError, match="'modulus' at character 1 is not a quantity"):
        study_of(content(phases={"labels": {"large": "modulus > 50", "small": "otherwise"}}))


def test_the_schema_for_editors_knows_it_too():
    validator = jsonschema.Draft202012Validator(json_schema())
    for given, right in (
        (content("images"), True),
        (content("images") | {"task": {"kind": "images", "modulus": 7}}, False),
        (content("images", {"modulus": [7]}), False),
        (content("modular_addition", {"modulus": [7]}), True),
        (content("images", {"task": ["images", "modular_addition"], "modulus": [7]}), True),
        (content(model={"heads": 2}), False),
        (content(model={"kind": "transformer", "heads": 2}), True),
        (content(training={"temperature": 2}), False),
        (content(training={"loss": "stablemax", "temperature": 2}), True),
        (content(training={"momentum": 0.5}), False),
        (content(training={"optimizer": "sgd", "momentum": 0.5}), True),
        (content(training={"optimizer": "sgd", "betas": [0, 0.5]}), False),
    ):
        assert validator.is_valid(given) == right, given


def test_a_study_hashes_as_when_every_setting_was_written():
    assert study_hash(load_study(shipped_study("paper/fig16_images_dropout"))) == "37860107b4beb9fd"
    assert study_hash(load_study(shipped_study("paper/fig07a_transformer_dropout"))) == "93a41a29c1c374bc"


def test_a_run_s_study_of_an_earlier_release_is_read_continued_and_written_as_it_was(tmp_path):
    stored = STORED / "mixed" / "study.yaml"
    study = load_resolved(stored)
    assert "heads" in study.declared
    assert "n_bits" not in study.declared
    assert dump_study(study) == stored.read_text()
    for name in ("study.yaml", "provenance.json"):
        shutil.copy(stored.with_name(name), tmp_path / name)
    assert load_study(tmp_path / "study.yaml") == study
    (tmp_path / "provenance.json").unlink()
    with pytest.raises(StudyError, match=r"model\.heads = 4 means nothing with model\.kind mlp"):
        load_study(tmp_path / "study.yaml")


def test_a_run_keeps_what_it_once_set_of_another_optimizer_and_its_ids(tmp_path):
    text = (STORED / "mixed" / "study.yaml").read_text().replace("momentum: 0.9", "momentum: 0.5")
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(
        StudyError, match=r"training\.momentum = 0\.5 means nothing with training\.optimizer adamw; allowed"
    ):
        load_study(path)
    study = load_resolved(path)
    assert dump_study(study) == text
    trial = next(expand(study))
    assert trial.momentum == 0.5
    named_all = {**NETWORK_IDENTITY.defaults, **trial.settings}
    assert trial.trial_id == NETWORK_IDENTITY.trial_id(named_all, trial.seed)
    assert trial.trial_id != NETWORK_IDENTITY.trial_id({**named_all, "momentum": 0.9}, trial.seed)


def test_the_tables_of_images_have_no_modulus(tmp_path):
    given = content("images", {"weight_decay": [0, 1]}, model={"width": 8}, training={"steps": 3})
    run = pm.run(given, storage=tmp_path, in_process=True)
    assert "dataset" in run.trials
    assert not {"modulus", "heads", "n_bits"} & set(run.trials)
    assert "modulus" not in json.dumps(pm.open_run(run.folder.path).study.settings())
    assert "modulus" not in run.folder.study.read_text()
