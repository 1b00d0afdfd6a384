"""The public face: what a notebook does."""

import numpy as np
import pytest
from conftest import SMALL, study_of
from matplotlib.figure import Figure

import phasemap as pm
from phasemap.phases.rules import SUBPHASES


@pytest.fixture
def run(finished):
    return pm.open_run(finished[1].path)


def test_a_study_is_run_from_its_file_and_opened_again(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    done = pm.run(path, storage=tmp_path, in_process=True, quiet=True)
    assert done.study == pm.load_study(path)
    again = pm.open_run("small", storage=tmp_path)
    assert len(again.trials) == 8
    assert len(again.points) == 4
    assert set(again.curves["trial_id"]) == set(again.trials["trial_id"])
    assert repr(again) == f"Run('{tmp_path / 'small'}')"


def test_progress_is_told_on_stderr_only_unless_quiet(tmp_path, capsys):
    pm.run(study_of(), storage=tmp_path, in_process=True, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_diagram_is_drawn_into_axes_or_a_figure(run):
    diagram = run.diagram(x="weight_decay", y="corruption")
    assert isinstance(diagram.plot(), Figure)
    ax = Figure().subplots()
    assert diagram.plot(ax) is ax
    assert ax.get_xlabel() == "weight decay"
    assert all(line.shape[1] == 2 for line in diagram.frontier(kind="generalization"))


def test_a_diagram_becomes_an_xarray_dataset(run):
    data = run.diagram().to_xarray()
    assert dict(data.sizes) == {"corruption": 2, "weight_decay": 2}
    for _, row in run.points.iterrows():
        cell = data.sel(corruption=row["corruption"], weight_decay=row["weight_decay"])
        assert float(cell["train_accuracy"]) == row["train_accuracy"]
        assert str(cell["subphase"].item()) == row["subphase"]


def test_labels_of_curves_are_those_of_the_trials(run):
    for rule in ("memorized_fraction", pm.PhaseRule()):
        labels = pm.label(run.curves, rule=rule)
        expected = run.trials.set_index("trial_id")["subphase"]
        assert labels["subphase"].to_dict() == expected.to_dict()
        assert set(labels["subphase"]) <= set(SUBPHASES)
    assert (pm.label(run, rule="doshi2024")["rule"] == "doshi2024").all()


def test_a_map_over_the_horizon_ends_with_the_run_s_own_labels(run):
    diagram = run.diagram(x="step", y="weight_decay", fix={"corruption": 0.3})
    grid = diagram.data.panels[0].grid
    last = run.points[run.points["corruption"] == 0.3].sort_values("weight_decay")["subphase"].tolist()
    assert grid["subphase"][:, -1].tolist() == last
    steps = grid["step"][0].astype(float)
    assert (np.diff(steps) > 0).all()
    assert steps[-1] == 60


def test_tables_are_made_from_the_shards_where_they_are_missing(finished, tmp_path):
    import shutil

    copy = tmp_path / "small"
    shutil.copytree(finished[1].path, copy)
    for name in ("trials", "points", "curves"):
        (copy / f"{name}.parquet").unlink()
    assert pm.open_run(copy).points.equals(pm.open_run(finished[1].path).points)
    assert len(pm.open_run(copy).curves) == len(pm.open_run(finished[1].path).curves)


def test_mistakes_are_user_errors(run, tmp_path):
    with pytest.raises(pm.UserError, match="is not a run"):
        pm.open_run(tmp_path)
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(pm.StudyError, match="the file is empty"):
        pm.run(tmp_path / "empty.yaml")
    with pytest.raises(pm.UnreachableError, match="can't be written"):
        pm.run(study_of(), storage="/proc/none", in_process=True)
