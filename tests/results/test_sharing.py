"""What leaves phasemap: Optuna studies and bundles."""

import hashlib
import json
import shutil
import zipfile

import optuna
import pandas as pd
import pytest

import phasemap as pm
from phasemap.bundle import write_bundle
from phasemap.results.optuna_study import write_optuna_storage


@pytest.fixture(scope="module")
def run(finished):
    return pm.open_run(finished[1].path)


def test_an_optuna_study_has_every_trial_with_its_settings_value_and_labels(run):
    study = run.to_optuna()
    assert study.study_name == "small"
    by_id = run.trials.set_index("trial_id")
    assert len(study.trials) == len(by_id) == 8
    for trial in study.trials:
        row = by_id.loc[trial.user_attrs["trial_id"]]
        assert trial.value == row["test_accuracy"]
        assert trial.params == {name: row[name] for name in ("corruption", "weight_decay", "seed")}
        assert trial.user_attrs["subphase"] == row["subphase"]


@pytest.mark.parametrize("ending", ["journal", "db"])
def test_an_exported_optuna_storage_is_read_by_optuna(run, tmp_path, ending):
    path = tmp_path / f"study.{ending}"
    write_optuna_storage(run.study, run.trials, path)
    storage = (
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        if ending == "journal"
        else f"sqlite:///{path}"
    )
    frame = optuna.load_study(storage=storage, study_name=run.study.name).trials_dataframe()
    by_id = run.trials.set_index("trial_id")
    assert len(frame) == len(by_id)
    for row in frame.to_dict("records"):
        trial = by_id.loc[row["user_attrs_trial_id"]]
        for name in ("weight_decay", "corruption", "seed"):
            assert row[f"params_{name}"] == trial[name]
        assert row["user_attrs_subphase"] == trial["subphase"]
        assert row["value"] == trial["test_accuracy"]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_s_own_plots_draw_it(run):
    axes = optuna.visualization.matplotlib.plot_slice(run.to_optuna(), params=["corruption", "weight_decay"])
    assert sum(len(collection.get_offsets()) for ax in axes for collection in ax.collections) == 16


def test_failed_and_diverged_trials_fail_in_optuna_too(run):
    trials = run.trials.copy()
    trials.loc[0, "status"] = "diverged"
    other = pm.Run.of(run.folder, trials=trials)
    states = [trial.state for trial in other.to_optuna().trials]
    assert states.count(optuna.trial.TrialState.FAIL) == 1


def test_a_bundle_holds_study_tables_figures_and_right_checksums(run, tmp_path):
    names = write_bundle(run, tmp_path / "out")
    assert names == [
        "curves.parquet", "diagram.pdf", "diagram.png", "diagram.svg", "points.parquet", "provenance.json",
        "report.html", "study.yaml", "trials.parquet", "SHA256SUMS",
    ]  # fmt: skip
    sums = (tmp_path / "out" / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == 9
    for line in sums:
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert pd.read_parquet(tmp_path / "out" / "trials.parquet").equals(run.trials)
    again = pm.open_run(tmp_path / "out")  # a bundle is a run that can be read
    assert again.points["subphase"].tolist() == run.points["subphase"].tolist()


def test_the_provenance_of_a_bundle_names_no_folder_of_the_machine_that_made_the_run(run, tmp_path):
    copy = shutil.copytree(run.folder.path, tmp_path / "old")
    (execution,) = json.loads((copy / "provenance.json").read_text())
    command = ["/home/me/phasemap/__main__.py", "run", "/home/me/a.yaml"]  # as it was written before
    (copy / "provenance.json").write_text(json.dumps([execution | {"command": command}]))
    write_bundle(pm.open_run(copy), tmp_path / "out")
    assert "/home" not in (tmp_path / "out" / "provenance.json").read_text()
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())[0]["command"] == ["phasemap", "run", "a.yaml"]


def test_a_zip_is_the_same_each_time(run, tmp_path):
    for name in ("a", "b"):
        write_bundle(run, tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert "SHA256SUMS" in zipfile.ZipFile(tmp_path / "a.zip").namelist()
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "b.zip"}


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.TGZ", "b.7z"])
def test_other_archives_are_refused_before_anything_is_written(run, tmp_path, name):
    with pytest.raises(pm.UserError, match=r"has the ending .*; allowed: .zip, or a folder \(without an ending\)"):
        write_bundle(run, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_existing_target_is_refused_and_an_unwritable_one_named(run, tmp_path):
    (tmp_path / "there.zip").write_text("precious")
    with pytest.raises(pm.UserError, match=r"there.zip exists already; allowed: a new folder or a new .zip file"):
        write_bundle(run, tmp_path / "there.zip")
    assert (tmp_path / "there.zip").read_text() == "precious"
    with pytest.raises(pm.UnreachableError, match="can't be written"):
        write_bundle(run, tmp_path / "none" / "out")
