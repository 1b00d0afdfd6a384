"""Charts of the networks' inside, on records of the schema of neurons.parquet; each picture is also rendered."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import run_in_process, slow, study_of
from matplotlib.figure import Figure
from recorded import neuron_frame
from scipy.stats import spearmanr

import phasemap as pm
from phasemap.diagram.diagram import lay_out
from phasemap.figures.inside import logits_chart, pruning_chart
from phasemap.figures.kinds import CHART_KINDS
from phasemap.figures.static import draw_any, save_figure
from phasemap.phases.marks import MARKS
from phasemap.study.errors import UserError

ONE = {"corruption": 0.3, "weight_decay": 2}


def with_records(folder, path, **options):
    """Copy a run and give it records."""
    shutil.copytree(folder.path, path)
    run = pm.open_run(path)
    neuron_frame(run.trials, p=7, **options).to_parquet(run.folder.neurons)
    return run


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    return with_records(finished[1], tmp_path_factory.mktemp("recorded") / "small")


@pytest.fixture(scope="module")
def gained(finished, tmp_path_factory):
    return with_records(finished[1], tmp_path_factory.mktemp("gained") / "small", records=("neurons",), gain=True)


def rows_of(run, record, **held):
    """Return a point's rows of one record."""
    text = " and ".join(f"{name} == {value}" for name, value in held.items())
    ids = run.trials.query(text)["trial_id"]
    return run.neurons[(run.neurons["record"] == record) & run.neurons["trial_id"].isin(ids)]


def test_ipr_histograms_hold_all_neurons_of_all_seeds_at_the_first_and_the_last_step(run):
    chart = run.figure("ipr")
    assert len(chart.panels) == 4
    panel = chart.panels[1]
    rows = rows_of(run, "ipr", **ONE)
    mark = run.points.query("corruption == 0.3 and weight_decay == 2")["subphase"].item()
    assert [bars.label for bars in panel.bars] == ["first step", f"last step, {MARKS[mark].title}"]
    assert panel.bars[1].colour == MARKS[mark].colour
    for step, bars, event in zip((1, 60), panel.bars, panel.events, strict=True):
        values = rows.loc[rows["step"] == step, "ipr"]
        assert len(values) == 2 * 16
        inside = [
            ((values >= low) & (values < high)).mean() for low, high in zip(bars.edges, bars.edges[1:], strict=False)
        ]
        assert bars.heights == pytest.approx(inside)
        assert event.x == pytest.approx(values.mean())


def test_one_point_has_its_accuracies_and_mean_ipr_beside_the_histogram(run):
    chart = run.figure("ipr", fix=ONE)
    histogram, growth = chart.panels
    labels = [line.stroke.label for line in growth.series]
    assert labels[:2] == ["train accuracy", "test accuracy"]
    assert labels[-2:] == ["extracted accuracy", "mean IPR"]
    rows = rows_of(run, "ipr", **ONE)
    seeds = rows.groupby(["step", "trial_id"])["ipr"].mean().unstack()
    assert growth.series[-1].y == pytest.approx(seeds.mean(axis=1).to_numpy())
    assert growth.series[-1].high == pytest.approx(seeds.max(axis=1).to_numpy())
    assert histogram.bars


def test_another_ipr_is_drawn_when_asked_for(run):
    panel = run.figure("ipr", metric="ipr_relative").panels[0]
    assert panel.x_label == "IPR relative to random weights"
    assert panel.bars[0].edges[-1] > 2
    assert sum(panel.bars[1].heights) == pytest.approx(1)


def test_points_that_were_not_recorded_say_so(run, finished, tmp_path):
    path = tmp_path / "small"
    shutil.copytree(finished[1].path, path)
    part = pm.open_run(path)
    neuron_frame(part.trials.query("corruption == 0"), p=7).to_parquet(part.folder.neurons)
    for kind in ("ipr", "pruning"):
        assert part.figure(kind, fix={"weight_decay": 2}).panels[-1].note == "not recorded"
    with pytest.raises(UserError, match="has no record of logits"):
        part.figure("logits")
    with pytest.raises(UserError, match="nothing was recorded at this point"):
        part.figure("neurons", fix=ONE)


def test_one_network_shows_its_extreme_neurons_before_and_after(run):
    chart = run.figure("neurons", fix=ONE)
    assert [panel.title.splitlines() for panel in chart.panels] == [
        ["highest IPR, step 1", "neuron 3, weights"], ["highest IPR, step 1", "neuron 3, spectrum"],
        ["highest IPR, step 60", "neuron 3, weights"], ["highest IPR, step 60", "neuron 3, spectrum"],
        ["lowest IPR, step 1", "neuron 5, weights"], ["lowest IPR, step 1", "neuron 5, spectrum"],
        ["lowest IPR, step 60", "neuron 5, weights"], ["lowest IPR, step 60", "neuron 5, spectrum"],
    ]  # fmt: skip
    assert chart.columns == 2
    assert "2 seeds (drawn: seed 0)" in chart.subtitle
    first = run.trials.query("corruption == 0.3 and weight_decay == 2 and seed == 0")["trial_id"].item()
    rows = run.neurons[(run.neurons["trial_id"] == first) & (run.neurons["step"] == 60)]
    rows = rows[rows["series"] == "highest"]
    u, v, w = chart.panels[2].series
    assert [line.stroke.label for line in (u, v, w)] == [
        "U, from the first token", "V, from the second token", "W, to the output",
    ]  # fmt: skip
    assert v.y == pytest.approx(rows["weight_v"].to_numpy())
    spectrum = chart.panels[3].series[0]
    assert spectrum.x.tolist() == [0, 1, 2, 3]
    assert spectrum.y == pytest.approx(rows["power_u"].dropna().to_numpy())


def test_several_points_show_the_gains_against_the_ipr(gained):
    chart = gained.figure("neurons")
    assert len(chart.panels) == 4
    rows = rows_of(gained, "neurons", **ONE).query("series == 'all' and step == 60")
    dots = chart.panels[1].dots[0]
    assert sorted(dots.y) == pytest.approx(sorted(rows["gain"]))
    assert f"Spearman {spearmanr(rows['ipr'], rows['gain']).statistic:.2f}" in chart.panels[1].title
    assert gained.figure("neurons", fix=ONE).panels[-1].dots[0].x.size == 16


def test_several_points_without_gains_are_a_mistake_that_names_a_point(run):
    with pytest.raises(UserError, match=r"4 points are chosen; .*--fix weight_decay=2 --fix corruption=0$"):
        run.figure("neurons")


def test_pruning_has_a_row_a_point_and_a_column_an_order(run):
    chart = run.figure("pruning", fix={"corruption": 0.3})
    assert chart.columns == 3
    assert [panel.title.splitlines()[-1] for panel in chart.panels[:3]] == [
        "lowest IPR first", "highest IPR first", "in random order",
    ]  # fmt: skip
    assert [all(line.thin for line in panel.series) for panel in chart.panels[:3]] == [False, False, True]
    memorized = next(line for line in chart.panels[3].series if line.stroke.label == "memorized accuracy")
    rows = rows_of(run, "pruning", **ONE).query("series == 'lowest_first'")
    assert memorized.x == pytest.approx(np.arange(17) / 16)
    assert memorized.y == pytest.approx(rows.groupby("index")["memorized_accuracy"].mean().to_numpy())


def test_pruning_draws_a_loss_when_asked_for(run):
    panel = run.figure("pruning", fix=ONE, metric="test_loss").panels[0]
    assert [line.stroke.label for line in panel.series] == ["test loss"]
    assert (panel.y_label, panel.y_scale) == ("test loss", "log")
    with pytest.raises(UserError, match="--metric ipr is unknown to --kind pruning; allowed: train_accuracy"):
        run.figure("pruning", metric="ipr")


def test_transformers_have_nothing_to_prune(run):
    model = run.study.model.model_copy(update={"kind": "transformer"})
    frames = dataclasses.replace(run._chart_tables("pruning"), study=run.study.model_copy(update={"model": model}))
    with pytest.raises(UserError, match="--kind pruning is not defined for model transformer; allowed: model mlp"):
        pruning_chart(frames, lay_out(run.study))


@pytest.fixture(scope="module")
def widths(tmp_path_factory):
    """A run over widths whose needed neurons grow as the square root; one network never reaches 0.9."""
    study = study_of(axes={"width": [4, 16, 64]}, name="widths", model={}, fixed={"corruption": 0.3})
    run = pm.open_run(run_in_process(study, tmp_path_factory.mktemp("widths")).path)
    needed = 2 * np.sqrt(run.trials["width"])
    needed[(run.trials["width"] == 64) & (run.trials["seed"] == 1)] = np.nan
    run = pm.Run.of(run.folder, trials=run.trials.assign(needed_neurons=needed))
    neuron_frame(run.trials, p=7, records=("pruning",)).to_parquet(run.folder.neurons)
    return run


def test_over_the_width_the_needed_neurons_are_drawn_with_their_growth(widths, tmp_path):
    chart = widths.figure("pruning")
    panel = chart.panels[0]
    assert (panel.x_scale, panel.y_scale, panel.x_ticks) == ("log", "log", (4.0, 16.0, 64.0))
    assert [line.stroke.label for line in panel.series] == ["all neurons", "needed, mean of the seeds"]
    assert panel.series[1].y == pytest.approx([4, 8, 16])
    assert panel.title.splitlines() == ["needed ~ width^0.50", "1 of 6 networks never reach 0.9"]
    assert panel.dots[0].x.tolist() == [4, 4, 16, 16, 64]
    save_figure(chart, tmp_path / "needed.png")


def test_pruning_curves_of_each_width_are_drawn_with_y(widths):
    chart = widths.figure("pruning", y="width")
    assert len(chart.panels) == 9
    assert chart.panels[-1].series[0].x[-1] == 1


def test_needed_neurons_that_were_not_recorded_are_a_mistake(widths):
    frames = dataclasses.replace(widths._chart_tables("pruning"), trials=widths.trials.drop(columns="needed_neurons"))
    with pytest.raises(UserError, match=r"needed: record: \[pruning\]"):
        pruning_chart(frames, lay_out(widths.study))


def test_logits_are_counted_over_the_corrupted_examples_of_all_seeds(run):
    chart = run.figure("logits", fix={"weight_decay": 2})
    assert chart.panels[0].note == "nothing was corrupted"
    rows = rows_of(run, "logits", **ONE).query("series == 'corrupted'")
    for bars, name in zip(chart.panels[1].bars, ("logit_other", "logit_given", "logit_true"), strict=True):
        assert sum(bars.heights) == pytest.approx(1)
        top = bars.edges[bars.heights.argmax()]
        assert abs(top - rows[name].median()) < 0.2


def test_points_without_corrupted_labels_say_so_and_not_that_nothing_was_recorded(run):
    (panel,) = run.figure("logits", fix={"corruption": 0, "weight_decay": 2}).panels
    assert (panel.note, panel.bars) == ("nothing was corrupted", ())
    lost = dataclasses.replace(run._chart_tables("logits"), neurons=run.neurons.query("record == 'logits' and False"))
    with pytest.raises(UserError, match="has no record of logits"):
        logits_chart(lost, lay_out(run.study))
    clean = dataclasses.replace(lost, trials=run.trials.assign(n_corrupted=0))
    with pytest.raises(UserError, match="small corrupts no label"):
        logits_chart(clean, lay_out(run.study))


def test_one_point_also_shows_whole_logit_vectors_with_both_labels_marked(run):
    chart = run.figure("logits", fix=ONE)
    assert len(chart.panels) == 7
    panel = chart.panels[1]
    assert panel.title == "example 0 of seed 0"
    given, true = panel.dots
    assert (given.stroke.label, true.stroke.label) == ("given, wrong class", "true class")
    assert panel.series[0].y[int(true.x[0])] == true.y[0] == pytest.approx(0.8, abs=0.4)
    rows = rows_of(run, "logits", **ONE).query("series == 'example-0'")
    assert true.x[0] == rows["true_class"].iloc[0]


def test_the_mean_and_both_letters_reach_the_drawing(run):
    chart = run.figure("ipr", fix=ONE)
    figure = run.plot("ipr", fix=ONE)
    assert isinstance(figure, Figure)
    left, right = figure.axes[:2]
    means = [line.get_xdata()[0] for line in left.lines]
    assert means == pytest.approx([event.x for event in chart.panels[0].events])
    assert right.get_xscale() == "log"
    assert [text.get_text() for text in right.texts] == [event.letter for event in chart.panels[1].events]
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert {"first step", "mean IPR", "train accuracy", "mean, last step"} <= set(legend)
    assert len(set(legend)) == len(legend)


FILES = [*((kind, ".png") for kind in CHART_KINDS), ("ipr", ".svg"), ("ipr", ".pdf")]
MORE_FILES = [(kind, ending) for kind in CHART_KINDS for ending in (".svg", ".pdf") if kind != "ipr"]


@pytest.mark.parametrize(("kind", "ending"), [*FILES, *slow("report", *MORE_FILES)])
def test_files_are_written_in_every_format(run, kind, ending, tmp_path):
    path = tmp_path / f"chart{ending}"
    save_figure(run.figure(kind, fix=ONE), path)
    start = path.read_bytes()[:100]
    assert start.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[ending])
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("kind", [kind for kind in CHART_KINDS if kind != "neurons"])
@pytest.mark.parametrize("fix", [{}, ONE])
def test_nothing_is_cut_off_or_written_over(run, kind, fix):
    """Titles, labels and legend lie inside the figure, and no panel's texts reach into another panel."""
    figure = draw_any(run.figure(kind, fix=fix))
    figure.draw_without_rendering()
    whole = figure.bbox
    boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
    for box in [*boxes, figure.legends[0].get_window_extent()]:
        assert box.x0 >= whole.x0 - 1
        assert box.x1 <= whole.x1 + 1
        assert box.y0 >= whole.y0 - 1
        assert box.y1 <= whole.y1 + 1
    for number, box in enumerate(boxes):
        assert not any(box.padded(-1).overlaps(other) for other in boxes[number + 1 :])


def test_the_records_are_a_data_frame(run):
    assert isinstance(run.neurons, pd.DataFrame)
    assert set(run.neurons["record"]) == {"ipr", "neurons", "pruning", "logits", "norms", "extracted"}
