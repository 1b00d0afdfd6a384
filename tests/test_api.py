"""The public face: what a notebook does."""

import inspect
import json
import shutil
from dataclasses import fields

import numpy as np
import pytest
import yaml
from conftest import SMALL, study_of
from matplotlib.figure import Figure

import phasemap as pm
from phasemap.running.driver import RunOptions
from phasemap.study.names import SUBPHASES


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


@pytest.mark.parametrize("function", [pm.run, pm.extend])
def test_arguments_have_the_defaults_of_the_options_of_a_run(function):
    defaults = {option.name: option.default for option in fields(RunOptions)}
    parameters = inspect.signature(function).parameters
    own = {name: parameter.default for name, parameter in parameters.items() if name in defaults}
    assert own == {name: defaults[name] for name in ("address", "cpus", "callbacks", "in_process", "quiet")}


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


def test_a_mapping_is_a_study(tmp_path):
    done = pm.run(yaml.safe_load(SMALL), storage=tmp_path, in_process=True, quiet=True)
    assert done.study == study_of()
    with pytest.raises(pm.StudyError, match=r"axes.widht is not a trial setting.*\(the given mapping\)"):
        pm.run(yaml.safe_load(SMALL) | {"axes": {"widht": [8]}}, storage=tmp_path)
    for wrong in (None, 3, done.points):
        with pytest.raises(pm.UserError, match="is not a study; allowed: a study"):
            pm.run(wrong, storage=tmp_path)


def test_a_frontier_or_diagram_that_is_none_is_a_user_error(run):
    diagram = run.diagram()
    for ask in (diagram.frontier, diagram.frontier_band):
        with pytest.raises(pm.UserError, match=r"'generalisation' is not a frontier \(did you mean generalization\?\)"):
            ask("generalisation")
        with pytest.raises(pm.UserError, match=r"panel=1 is not there: the diagram has 1; allowed: 0 to 0"):
            ask(panel=1)
    with pytest.raises(pm.UserError, match=r"along='z' is not an axis of a diagram; allowed: 'x', 'y'"):
        diagram.frontier_band(along="z")
    with pytest.raises(
        pm.UserError, match=r"level=90 is not a probability of a band; allowed: a number between 0 and 1"
    ):
        diagram.frontier_band(level=90)
    with pytest.raises(
        pm.UserError, match=r"a DataFrame is not a phase diagram; allowed: what a run's diagram\(\) returns"
    ):
        pm.PhaseDiagram(run.points)


def test_labels_at_an_earlier_step_are_kept_and_told(finished, tmp_path):
    run = pm.open_run(shutil.copytree(finished[1].path, tmp_path / "small"))
    wanted = pm.label(run.curves[run.curves["step"] <= 21])["subphase"].to_dict()
    early = pm.relabel(run, at_step=22)
    assert early.trials.set_index("trial_id")["subphase"].to_dict() == wanted
    assert set(early.trials["horizon"]) == {21}  # the last record before
    assert pm.label(early.curves, early.study.phases)["subphase"].to_dict() == wanted
    caption = " ".join(text.get_text() for text in early.diagram().plot().texts).replace("\n", " ")
    assert "Labels by memorized fraction at step 21" in caption
    told = "labels by memorized fraction at step 21, the last record up to step 22"
    assert early.report_content()["setting"].endswith(told)
    card = {name: text for section in early.report_content()["card"]["sections"] for name, text in section["rows"]}
    assert card["rule"] == "memorized fraction, labels at step 22"
    assert card["meaning"].startswith("As if the training had ended at step 22, or the last record before it.")
    assert card["labelled again"].endswith(": memorized_fraction at step 22")
    (execution,) = json.loads((tmp_path / "small" / "provenance.json").read_text())
    assert execution["labels"]["rule"]["at_step"] == 22
    for path in (early.folder.trials, early.folder.points):
        path.unlink()
    assert pm.open_run(early.path).trials["subphase"].tolist() == early.trials["subphase"].tolist()
    again = pm.relabel(pm.open_run(early.path))
    assert again.trials["subphase"].tolist() == run.trials["subphase"].tolist()
    assert (again.folder.study).read_text() == finished[1].study.read_text()


def test_a_rule_that_cannot_label_a_run_leaves_it_as_it_is(finished, tmp_path):
    run = pm.open_run(shutil.copytree(finished[1].path, tmp_path / "small"))
    with pytest.raises(pm.UserError, match="--at-step 61 is after the end of the training; allowed: up to 60"):
        pm.relabel(run, "doshi2024", at_step=61)
    assert run.folder.study.read_text() == finished[1].study.read_text()


def test_a_notebook_shows_runs_diagrams_comparisons_and_claims(run):
    page = run._repr_html_()
    assert f"<strong>{run.study.name}</strong>" in page
    assert 'src="data:image/png;base64,' in page
    assert run.diagram()._repr_png_().startswith(b"\x89PNG")
    assert "equal" in run.diff(run)._repr_html_()
    claims = run.check(["mean(test_accuracy) > 2"])
    assert "<td>fails</td><td><code>mean(test_accuracy) &gt; 2</code>" in claims._repr_html_()


def test_a_prompt_shows_one_line_each(run):
    assert repr(run.diagram()) == "PhaseDiagram('small', x='corruption', y='weight_decay')"
    assert repr(run.diff(run)).startswith("Comparison('small', 'small': equal; the same 8 networks")


def test_a_run_says_which_metrics_its_map_may_show(run):
    assert {"phase", "subphase", "robustness", "test_accuracy", "train_loss"} <= set(run.metrics)
    for metric in ("subphase", "test_accuracy", run.metrics[-2]):
        run.figure(metric=metric)


def test_a_run_that_is_held_shows_the_rule_by_which_it_was_labelled_since(finished, tmp_path):
    shutil.copytree(finished[1].path, tmp_path / "small")
    held = pm.open_run(tmp_path / "small")
    assert held.study.phases.rule == "memorized_fraction"
    assert set(held.trials["rule"]) == {"memorized_fraction"}
    pm.relabel(pm.open_run(held.path), "doshi2024")
    assert held.study.phases.rule == "doshi2024"
    assert set(held.trials["rule"]) == {"doshi2024"}
    assert held.trials is held.trials
