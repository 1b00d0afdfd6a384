"""Charts over the steps, compared as data with the run's own tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import phasemap as pm
from phasemap.figures import KINDS
from phasemap.figures.chart import spread
from phasemap.figures.curves import curves_chart, norms_chart
from phasemap.figures.kinds import CHART_KINDS
from phasemap.figures.style import power
from phasemap.phases.strokes import STROKES, strokes
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.names import ACCURACIES


@pytest.fixture(scope="module")
def run(finished):
    return pm.open_run(finished[1].path)


def test_every_kind_but_the_diagram_is_a_chart():
    assert ("phases", *CHART_KINDS) == KINDS


def test_no_two_lines_of_a_chart_differ_by_their_colour_alone():
    for group in ((*ACCURACIES, "extracted_accuracy", "mean_ipr"), ("u", "v", "w", "weight_norm")):
        assert len({(STROKES[name].style, STROKES[name].marker) for name in group}) == len(group)
        assert len({STROKES[name].colour for name in group}) == len(group)
    many = strokes([str(i) for i in range(20)], ordered=True)
    assert len({(s.style, s.marker) for s in many}) == 20


def test_a_point_has_a_panel_with_the_mean_and_the_range_of_its_seeds(run):
    chart = run.figure("curves")
    assert [panel.title.splitlines()[0] for panel in chart.panels] == [
        "weight decay 2, corruption 0", "weight decay 2, corruption 0.3",
        "weight decay 0, corruption 0", "weight decay 0, corruption 0.3",
    ]  # fmt: skip
    assert chart.columns == 2
    panel = chart.panels[3]
    assert [line.stroke.label for line in panel.series] == [STROKES[name].label for name in ACCURACIES]
    trials = run.trials.query("weight_decay == 0 and corruption == 0.3")
    table = run.curves[run.curves["trial_id"].isin(trials["trial_id"])].pivot(
        index="step", columns="trial_id", values="test_accuracy"
    )
    line = panel.series[1]
    assert line.x.tolist() == table.index.tolist()
    assert line.y == pytest.approx(table.mean(axis=1).to_numpy())
    assert line.low == pytest.approx(table.min(axis=1).to_numpy())
    assert line.high == pytest.approx(table.max(axis=1).to_numpy())


def test_uncorrupted_points_have_no_lines_of_corrupted_examples(run):
    labels = [line.stroke.label for line in run.figure("curves").panels[0].series]
    assert labels == ["train accuracy", "test accuracy", "clean accuracy"]


def test_the_axes_go_where_they_are_sent(run):
    turned = run.figure("curves", x="weight_decay", y="corruption")
    assert turned.panels[3].title.startswith("corruption 0, weight decay 2\n")
    fixed = run.figure("curves", fix={"corruption": 0.3})
    assert [panel.title.splitlines()[0] for panel in fixed.panels] == ["weight decay 0", "weight decay 2"]
    assert "corruption 0.3" in fixed.subtitle
    one = run.figure("curves", fix={"corruption": 0.3, "weight_decay": 2})
    assert len(one.panels) == 1
    assert one.panels[0].title == run.points.query("corruption == 0.3 and weight_decay == 2")["subphase"].item()


def test_step_times_are_medians_that_count_the_seeds_without_one_as_late(run):
    trials = run.trials.copy()
    trials["memorization_step"] = np.where(trials["seed"] == 0, 10.0, 20.0)
    trials["grokking_step"] = np.where(trials["seed"] == 0, 30.0, np.nan)
    frames = dataclasses.replace(run._chart_tables("curves"), trials=trials)
    events = curves_chart(frames, run_layout(run)).panels[0].events
    assert [(event.letter, event.x) for event in events] == [("m", 15.0)]


def run_layout(run, **options):
    from phasemap.diagram.diagram import lay_out

    return lay_out(run.study, **options)


def test_panels_say_which_seeds_were_lost_and_draw_only_the_others(run):
    trials = run.trials.copy()
    lost = trials.index[(trials["weight_decay"] == 2) & (trials["corruption"] == 0.3) & (trials["seed"] == 1)]
    trials.loc[lost, ["status", "subphase"]] = ["diverged", None]
    frames = dataclasses.replace(run._chart_tables("curves"), trials=trials)
    panel = curves_chart(frames, run_layout(run)).panels[1]
    assert panel.title.endswith("(1 diverged)")
    assert panel.series[0].low is None


def test_points_without_a_trained_network_are_named(run):
    points = run.points.copy()
    points.loc[0, ["n_seeds", "n_failed", "n_diverged"]] = [0, 2, 0]
    points.loc[0, ["phase", "subphase"]] = None
    trials = run.trials[~((run.trials["weight_decay"] == 0) & (run.trials["corruption"] == 0))]
    frames = dataclasses.replace(run._chart_tables("curves"), points=points, trials=trials)
    panel = curves_chart(frames, run_layout(run)).panels[2]
    assert panel.title.endswith("\nfailed")
    assert (panel.series, panel.note) == ((), "nothing to draw")


def test_a_metric_is_one_line_for_each_value_of_the_x_axis(run):
    chart = run.figure("curves", x="corruption", metric="train_loss")
    assert [panel.title for panel in chart.panels] == ["weight decay 0", "weight decay 2"]
    panel = chart.panels[1]
    assert [line.stroke.label for line in panel.series] == ["corruption 0", "corruption 0.3"]
    assert panel.y_scale == "log"
    ids = run.trials.query("weight_decay == 2 and corruption == 0.3")["trial_id"]
    rows = run.curves[run.curves["trial_id"].isin(ids)]
    assert panel.series[1].y == pytest.approx(rows.groupby("step")["train_loss"].mean().to_numpy())
    one = run.figure("curves", fix={"corruption": 0, "weight_decay": 2}, metric="test_accuracy")
    assert [line.stroke.label for line in one.panels[0].series] == ["test accuracy"]


def test_norms_are_those_of_the_parts_and_of_all_weights(run):
    panel = run.figure("norms", fix={"corruption": 0.3}).panels[0]
    assert [line.stroke.label for line in panel.series] == [
        "U, from the first token", "V, from the second token", "W, to the output", "all weights",
    ]  # fmt: skip
    u, v, w, whole = (
        line.y for line in run.figure("norms", fix={"corruption": 0.3, "weight_decay": 2}).panels[0].series
    )
    ids = run.trials.query("weight_decay == 2 and corruption == 0.3")["trial_id"]
    rows = run.curves[run.curves["trial_id"].isin(ids)]
    for part, name in ((u, "weight_norm_u"), (v, "weight_norm_v"), (w, "weight_norm_w"), (whole, "weight_norm")):
        assert part == pytest.approx(rows.groupby("step")[name].mean().to_numpy())


def test_networks_without_those_parts_show_their_parameters_or_say_how(run):
    curves = run.curves.assign(weight_norm_u=np.nan, weight_norm_v=np.nan, weight_norm_w=np.nan)
    frames = dataclasses.replace(run._chart_tables("norms"), curves=curves)
    alone = norms_chart(frames, run_layout(run))
    assert [line.stroke.label for line in alone.panels[0].series] == ["all weights"]
    assert "With record: [norms] each parameter has a line" in alone.subtitle
    rows = [
        {"trial_id": i, "record": "norms", "step": step, "series": name, "value": float(step)}
        for i in run.trials["trial_id"]
        for step in (1, 60)
        for name in ("embedding", "norm.gain")
    ]
    found = norms_chart(dataclasses.replace(frames, neurons=pd.DataFrame(rows)), run_layout(run))
    assert [line.stroke.label for line in found.panels[0].series] == ["embedding", "norm.gain", "all weights"]
    assert found.panels[0].series[0].y.tolist() == [1.0, 60.0]


def test_very_many_points_are_cut_to_whole_rows_and_it_is_counted():
    wide, tall = Axis(name="corruption", values=tuple(range(19))), Axis(name="data_fraction", values=tuple(range(17)))
    places, columns, left_out = spread([tall, wide])
    assert (columns, len(places), left_out) == (12, 36, 17 * 19 - 36)
    assert places[12] == {"data_fraction": 1, "corruption": 0}
    places, columns, _ = spread([wide])
    assert (columns, len(places)) == (4, 19)
    assert [len(found[0]) for found in (spread([]), spread([tall], columns=3))] == [1, 12]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("beauty", {}, "--kind beauty is unknown; allowed: phases, curves, ipr"),
        ("curves", {"metric": "ipr"}, "--metric ipr is unknown to --kind curves; allowed: train_accuracy,"),
        ("norms", {"metric": "train_loss"}, "--kind norms has no metrics, but --metric train_loss was given"),
        ("curves", {"x": "step"}, "step is not an axis of small; allowed: corruption, weight_decay"),
        ("curves", {"fix": {"corruption": 0.7}}, "corruption = 0.7 is not a value of the study"),
        ("ipr", {}, r"has no record of ipr: its study has record: \[\]; needed: record: \[ipr\]"),
        ("pruning", {}, r"needed: record: \[pruning\]"),
        ("curves", {"metric": "extracted_accuracy"}, r"needed: record: \[extracted\]"),
    ],
)
def test_wrong_combinations_say_what_is_allowed(run, kind, options, message):
    with pytest.raises(UserError, match=message):
        run.figure(kind, **options)


def test_records_that_no_study_asked_for_are_a_users_mistake(run):
    with pytest.raises(UserError, match=r"its study has record: \[\]; needed: record: with one of them"):
        run.neurons  # noqa: B018


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "0.001"), (1.0, "1"), (1e4, "10000"), (1e5, "10⁵"), (1e10, "10¹⁰"), (1e-4, "10⁻⁴"), (1e-10, "10⁻¹⁰")],
)
def test_powers_of_ten_are_written_as_such(value, text):
    assert power(value) == text
