"""Every text of a picture is readable: it touches no other text, leaves neither panel nor figure, and has contrast."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from test_figures import STUDY, points
from test_searched import spec as searched

import phasemap as pm
from phasemap.diagram.diagram import make_diagram
from phasemap.figures.difference import difference_spec, draw_difference
from phasemap.figures.panel import colour_scale
from phasemap.figures.spec import figure_spec
from phasemap.figures.static import draw_any
from phasemap.figures.style import NARROWEST, QUIET, Legend, font_size
from phasemap.phases.marks import COLOURS, MARKS, PALETTE, READABLE, contrast

STORED = Path(__file__).parent.parent / "data" / "golden" / "runs"
COPIES = TemporaryDirectory()


def opened(name):
    """Open a copy of a stored run: looking at one writes its cache, and what is stored stays as it is."""
    copy = Path(COPIES.name) / name
    if not copy.exists():
        shutil.copytree(STORED / name, copy)
    return pm.open_run(copy)


GRID = {"corruption": [i / 10 for i in range(8)], "weight_decay": [0, 3, 6, 10, 15, 20]}


def facets():
    study = study_of(axes={**GRID, "dropout": [0, 0.1, 0.3, 0.6], "init_scale": [0.5, 1, 2, 4]})
    return figure_spec(make_diagram(study, points(study)))


def strip():
    study = study_of(axes={"weight_decay": [0, 1, 3, 8]})
    return figure_spec(make_diagram(study, points(study)))


def categories():
    study = study_of(axes={"norm": ["none", "batch", "layer"], **GRID})
    return figure_spec(make_diagram(study, points(study), x="norm", y="weight_decay", fix={"corruption": 0.1}))


def wide():
    study = study_of(axes={"corruption": {"start": 0, "stop": 1, "num": 40}, "weight_decay": list(range(30))})
    return figure_spec(make_diagram(study, points(study)))


def run(name, **chosen):
    return lambda: opened(name).figure(**chosen)


TEXTS = ("$x_1$", "50%_of {it}", "a very long value of an axis that wil...")


def with_texts():
    """A map whose values are texts that neither fit side by side nor are formulas, above panels with long titles."""
    spec = categories()
    panel = replace(spec.panels[0], title="flavour a very long value of an axis that wil... and another")
    return replace(spec, x=replace(spec.x, tick_labels=TEXTS), panels=(panel,) * 3, columns=3)


def loss(low, high):
    """A map of a loss between two values."""
    spec = figure_spec(make_diagram(STUDY, points()), "test_accuracy")
    values = np.geomspace(low, high, spec.panels[0].values.size).reshape(spec.panels[0].values.shape)
    panels = tuple(replace(panel, values=values) for panel in spec.panels)
    return replace(spec, metric="train_loss", metric_kind="loss", panels=panels)


def long_training():
    """Curves of more powers of ten than a small panel has room for."""
    chart = opened("records").figure(kind="norms")
    panels = tuple(
        replace(panel, series=tuple(replace(one, x=np.geomspace(1, 3e4, len(one.x))) for one in panel.series))
        for panel in chart.panels
    )
    return replace(chart, panels=(panels * 4)[:4], columns=4)


def formulas():
    """Curves whose titles and legend hold what matplotlib would take for formulas."""
    chart = opened("records").figure(kind="norms")
    panels = tuple(
        replace(
            panel,
            title=TEXTS[0],
            series=tuple(
                replace(one, stroke=replace(one.stroke, label=f"$x_{number}$"))
                for number, one in enumerate(panel.series)
            ),
        )
        for panel in chart.panels
    )
    return replace(chart, panels=panels)


def scattered():
    """Return an imported run of points on no grid, with an axis of whole numbers, one of long texts, and gaps."""
    n = 90
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"lr": 10 ** rng.uniform(-4, -1, n), "k": rng.integers(1, 6, n), "name": rng.choice(TEXTS, n)})
    frame["value"] = rng.uniform(size=n)
    frame["sometimes"] = frame["value"].where(frame["k"] > 2)
    return pm.sweeps.from_frame(frame, axes=["lr", "k", "name"], run=Path(COPIES.name) / "scattered")


PICTURES = {
    "points on no grid": lambda: scattered().figure(metric="sometimes"),
    "points over texts": lambda: scattered().figure(x="name", y="lr"),
    "texts": with_texts,
    "a loss of less than a decade": lambda: loss(0.5, 1.0),
    "a loss that hardly differs": lambda: loss(0.9101, 0.9104),
    "a small loss": lambda: loss(1.1e-7, 1.3e-6),
    "a loss of many decades": lambda: loss(1e-9, 30.0),
    "a long training": long_training,
    "formulas": formulas,
    "two facets": facets,
    "one facet": lambda: figure_spec(make_diagram(STUDY, points())),
    "letters": lambda: figure_spec(make_diagram(STUDY, points()), cells=True),
    "true to scale": lambda: figure_spec(make_diagram(STUDY, points(), by_value=True)),
    "a quantity": lambda: figure_spec(make_diagram(STUDY, points()), "test_accuracy"),
    "a strip": strip,
    "categories": categories,
    "many cells": wide,
    "a search": searched,
    "a stored map": run("plane"),
    "ribbons": run("plane", band=True),
    "curves": run("mixed", kind="curves"),
    "norms": run("records", kind="norms"),
    "ipr": run("records", kind="ipr"),
    "pruning": run("records", kind="pruning"),
    "logits": run("records", kind="logits"),
}


def texts_of(figure):
    """Return the visible texts of a figure with their boxes in pixels."""
    import matplotlib.text as mtext

    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    shown = [text for text in figure.findobj(mtext.Text) if text.get_visible() and text.get_text().strip()]
    ticks = {id(tick.label2) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()}
    ends = [(text, text.get_window_extent(renderer)) for text in shown if id(text) not in ticks]
    return [(text, box) for text, box in ends if box.width > 0 and _drawn(text, figure)]


def _drawn(text, figure):
    """Leave out labels of ticks that lie outside of their axis, which matplotlib keeps but does not draw."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if text in (tick.label1, tick.label2):
                    low, high = sorted(axis.get_view_interval())
                    return tick.label1.get_visible() and low - 1e-9 <= tick.get_loc() <= high + 1e-9
    return True


@pytest.fixture(scope="module", params=PICTURES, ids=lambda name: name.replace(" ", "_"))
def figure(request):
    return draw_any(PICTURES[request.param]())


def test_no_text_touches_another_or_leaves_its_panel_or_the_figure(figure):
    assert_apart(figure)


def test_points_on_no_grid_have_whole_ticks_below_each_column_and_crosses_are_explained():
    spec = scattered().figure(metric="sometimes")
    assert spec.subtitle == "Crosses: points without a value."
    assert scattered().figure(metric="value").subtitle == ""
    figure = draw_any(spec, "one-column")
    assert_apart(figure)
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [bool(ax.get_xlabel()) for ax in panels] == [False, True, True]
    for ax in panels:
        shown = [text.get_text() for text in ax.get_xticklabels() if text.get_visible() and text.get_text()]
        assert bool(shown) == bool(ax.get_xlabel())
        assert all(tick % 1 == 0 for tick in ax.get_yticks())


@pytest.mark.parametrize(("across", "page"), [(240.0, 3.4), (240.0, None), (500.0, 7.0)])
def test_a_label_that_is_wider_than_a_figure_is_broken_into_lines(across, page):
    longest = " ".join(["a very long label name that someone thought was descriptive"] * 2)
    handles = [Patch(label=f"A  {longest}"), Patch(label="F  fair")]
    figure = Figure(figsize=(page or max(across, NARROWEST) / 72, 2.0))
    legend = Legend.of(handles, across, page, left=50.0)
    legend.add(figure, 50.0, 0.0, 0.0)
    assert_apart(figure)
    first, second = (text.get_text() for text in figure.legends[0].get_texts())
    assert (" ".join(first.split()), second) == (f"A {longest}", "F  fair")
    assert legend.below > 2 * font_size()


def test_powers_of_ten_stay_apart_in_small_panels():
    found = draw_any(long_training())
    texts_of(found)
    boxes = [text.get_window_extent() for text in found.axes[-1].get_xticklabels() if text.get_text()]
    assert len(boxes) >= 2
    assert all(after.x0 - before.x1 > 3 for before, after in itertools.pairwise(boxes))


def test_slanted_labels_end_at_their_ticks_and_texts_are_no_formulas():
    figure = draw_any(with_texts())
    figure.canvas.draw()
    ax = figure.axes[0]
    labels = ax.get_xticklabels()
    assert [text.get_text() for text in labels][:2] == list(TEXTS[:2])
    for text, tick in zip(labels, ax.get_xticks(), strict=True):
        assert text.get_window_extent().x1 == pytest.approx(ax.transData.transform((tick, 0))[0], abs=12)
    texts = [text for text, _ in texts_of(draw_any(formulas()))]
    assert not any(text.get_parse_math() for text in texts if "$" in text.get_text())


def assert_apart(figure):
    """Check that no text touches another, or leaves its panel or the figure."""
    found = texts_of(figure)
    assert found
    for text, box in found:
        assert figure.bbox.x0 - 1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, f"{text.get_text()!r} leaves the figure"
        assert figure.bbox.y0 - 1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, f"{text.get_text()!r} leaves the figure"
    for (one, a), (other, b) in itertools.combinations(found, 2):
        if one.get_rotation() == other.get_rotation() == 45:  # parallel: their boxes overlap, the texts do not
            assert abs(a.x1 - b.x1) * 0.7 > 0.9 * one.get_fontsize()
            continue
        across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across < 1.5 or up < 1.5, f"{one.get_text()!r} lies over {other.get_text()!r}"
    for ax in figure.axes:
        for text in ax.texts:
            box, frame = text.get_window_extent(), ax.get_window_extent()
            if (
                text.get_transform() == ax.transAxes
                and 0 < text.get_position()[0] < 1
                and 0 < text.get_position()[1] < 1
            ):
                assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text.get_text()
                assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text.get_text()


def test_every_text_has_contrast_with_what_is_behind_it(figure):
    """The ground of a name is the colour of the cells below the middle of its text."""
    for ax in figure.axes:
        for text in ax.texts:
            x, y = ax.transAxes.transform(text.get_position())
            grounds = [patch for patch in ax.patches if patch.get_path().contains_point((x, y), patch.get_transform())]
            ground = to_hex(grounds[-1].get_facecolor()) if grounds else "#ffffff"
            assert contrast(to_hex(text.get_color()), ground) >= READABLE, text.get_text()
    for text in [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]:
        assert contrast(to_hex(text.get_color()), "#ffffff") >= READABLE


def test_inks_are_readable_on_all_colours_of_labels():
    for mark in MARKS.values():
        assert contrast(mark.ink, mark.colour) >= READABLE
        assert contrast("#000000", mark.light) >= READABLE
    assert all(contrast("#000000", colour) >= READABLE for colour in PALETTE)
    assert contrast(QUIET, "#ffffff") >= READABLE


def test_a_comparison_is_legible_and_two_lines_that_coincide_are_seen_as_such():
    run = opened("plane")
    found = difference_spec(run.diff(run))
    figure = draw_difference(found)
    drawn = [line for line in figure.axes[2].lines if line.get_label() in {"generalization", "inversion"}]
    assert {line.get_linewidth() for line in drawn} == {4.0, 1.2}
    assert "equal" in found.title or "same" in found.title
    assert np.ptp([ax.get_window_extent().width for ax in figure.axes]) < 2


@pytest.mark.parametrize("tall", [False, True])
def test_long_names_in_a_comparison_lie_over_nothing_and_keep_their_ends(tall):
    run = opened("plane")
    long = "a_study_of_the_same_things_that_was_given_a_very_long_name_in_may"
    found = replace(run.diff(run), name_a=f"{long}_1", name_b=f"{long}_2")
    figure = draw_difference(difference_spec(found), tall=tall)
    figure.canvas.draw()
    titles = [ax.title for ax in figure.axes]
    for one, other in itertools.combinations(titles, 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent())
    assert [title.get_text()[:3] + title.get_text()[-2:] for title in titles[:2]] == ["A: _1", "B: _2"]
    assert all(title.get_window_extent().x1 <= figure.bbox.width for title in titles)


def test_points_without_a_label_in_a_comparison_are_told_from_those_with_one():
    run = opened("mixed")
    found = run.diff(run)
    figure = draw_difference(difference_spec(found))
    (patch,) = [h for h in figure.legends[0].get_patches() if h.get_hatch() == "////"]
    number = figure.legends[0].get_patches().index(patch)
    n_without = len(list(found.diagram_a.study.points())) - found.n_points
    assert figure.legends[0].get_texts()[number].get_text() == f"no label in A or B ({n_without})"


@pytest.mark.parametrize(
    ("values", "ends"), [([1.0, 1.0], (0.9, 1.0)), ([0.3, 0.3], (0.3, 0.4)), ([0.31, 1], (0.3, 1))]
)
def test_the_colours_of_an_accuracy_lie_between_tenths_and_none_is_above_1(values, ends):
    scale = colour_scale("accuracy", np.asarray(values))
    assert (scale.vmin, scale.vmax) == pytest.approx(ends)


EYES = {  # Machado, Oliveira and Fernandes (2009), severity 1: of linear red, green and blue
    "all receptors": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.asarray([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def linear(colour):
    shares = np.asarray(to_rgb(colour))
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    f = np.cbrt(TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(axis=1))
    return np.asarray([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


BUILT_IN = {name: colour for name, colour in COLOURS.items() if name != "grokking"}  # never beside full inversion


@pytest.mark.parametrize("eyes", EYES)
def test_labels_stay_apart_to_all_eyes(eyes):
    seen = {name: lab(np.asarray(EYES[eyes]) @ linear(colour)) for name, colour in BUILT_IN.items()}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 18, (one, other)


def test_labels_stay_apart_in_grey():
    lightness = sorted(lab(linear(colour))[0] for colour in BUILT_IN.values())
    assert np.diff(lightness).min() >= 5
