"""Figures for a page: golden specs of a stored run, sizes, small vector files, metadata, and whose style wins."""

import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from conftest import study_of
from matplotlib.figure import Figure
from test_figures import points

import phasemap as pm
from phasemap.diagram.diagram import make_diagram
from phasemap.figures.small import terminal_figure
from phasemap.figures.spec import figure_spec
from phasemap.figures.static import draw_any, save_figure
from phasemap.phases.marks import MARKS
from phasemap.study.writing import study_hash

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def band():
    return pm.open_run(DATA / "band")


def as_data(spec):
    """Write what a figure shows as plain values."""
    (panel,) = spec.panels
    return {
        "title": spec.title,
        "subtitle": spec.subtitle,
        "x": [spec.x.label, spec.x.scale, list(spec.x.tick_labels)],
        "y": [spec.y.label, spec.y.scale, list(spec.y.tick_labels)],
        "labels": panel.marks.tolist(),
        "colours": [[MARKS[name].colour for name in row] for row in panel.marks],
        "notes": panel.notes.tolist(),
        "legend": {entry.mark.name: entry.count for entry in spec.legend},
        "key": list(spec.key),
        "frontiers": [[line.kind, np.round(line.points, 6).tolist()] for line in panel.lines],
        "bands": [[band.kind, np.round(band.points, 6).tolist()] for band in panel.bands],
    }


def test_the_figure_of_a_stored_run_is_the_golden_one(band):
    golden = json.loads((DATA / "golden" / "band_figure.json").read_text())
    found = as_data(band.figure(band=True))
    for name in ("frontiers", "bands"):
        for one, other in zip(found.pop(name), golden.pop(name), strict=True):
            assert one[0] == other[0]
            assert np.asarray(one[-1]) == pytest.approx(np.asarray(other[-1]), abs=2e-6)
    assert found == golden


@pytest.fixture(scope="module")
def paper():
    axes = {
        "corruption": {"start": 0, "stop": 0.9, "num": 19},
        "data_fraction": {"start": 0.1, "stop": 0.9, "num": 17},
    }
    study = study_of(axes=axes, fixed={})
    frame = points(study).assign(generalization_wins=lambda f: np.where(f["corruption"] > 0.4, "loses", "wins"))
    frame["memorized_accuracy"] = frame["corruption"] + 0.1
    return figure_spec(make_diagram(study, frame), cells=True)


@pytest.mark.parametrize("ending", [".svg", ".pdf"])
def test_a_map_of_the_paper_s_size_is_a_small_vector_file_with_text_as_text(paper, ending, tmp_path):
    path = tmp_path / f"map{ending}"
    save_figure(paper, path)
    content = path.read_bytes()
    assert len(content) < 220_000
    if ending == ".svg":
        assert content.count(b">C</text>") == int((paper.panels[0].marks == "coexistence").sum())
    else:
        assert b"/Type3" not in content
        assert re.search(rb"/Subtype\s*/CIDFontType2|/Subtype\s*/TrueType", content)


@pytest.mark.parametrize(("size", "inches", "points"), [("one-column", 3.4, 7), ("two-column", 7.0, 8)])
def test_sizes_are_those_of_a_page(paper, band, size, inches, points):
    for spec in (paper, band.figure()):
        figure = draw_any(spec, size)
        assert figure.get_figwidth() == inches
        assert figure.axes[0].xaxis.label.get_fontsize() == points
        figure.canvas.draw()
        assert figure.axes[0].get_window_extent().width > 0.55 * figure.bbox.width


def test_an_unknown_size_is_named(band):
    with pytest.raises(pm.UserError, match="--size huge is unknown; allowed: one-column, two-column"):
        band.plot(size="huge")


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_files_carry_the_study_s_hash_and_the_version_and_are_the_same_each_time(band, ending, tmp_path):
    for name in ("a", "b"):
        save_figure(band.figure(), tmp_path / f"{name}{ending}")
    content = (tmp_path / f"a{ending}").read_bytes()
    assert study_hash(band.study).encode() in content
    assert f"phasemap {pm.__version__}".encode() in content
    assert content == (tmp_path / f"b{ending}").read_bytes()


def test_what_the_user_has_set_in_matplotlib_wins_and_the_rest_is_ours(band):
    with mpl.rc_context({"font.size": 5.0}):
        theirs = band.plot()
        assert mpl.rcParams["axes.spines.top"]
    ours = band.plot()
    assert theirs.axes[0].xaxis.label.get_fontsize() == 5
    assert ours.axes[0].xaxis.label.get_fontsize() == 9
    for figure in (theirs, ours):
        assert figure.axes[0].spines["top"].get_visible()  # a map has a frame on all sides


def test_the_style_can_be_loaded_by_name():
    with mpl.rc_context():
        import matplotlib.style

        matplotlib.style.use("phasemap.figures.phasemap")
        assert mpl.rcParams["pdf.fonttype"] == 42


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("n_facets", [1, 4])
def test_the_terminal_never_breaks_a_line_and_shows_every_point(width, n_facets):
    study = study_of(
        axes={
            "corruption": {"start": 0, "stop": 0.9, "num": 19},
            "weight_decay": {"start": 0.001, "stop": 10, "num": 5, "scale": "log"},
            "dropout": [i / 10 for i in range(n_facets)],
        }
    )
    spec = figure_spec(make_diagram(study, points(study)))
    lines = terminal_figure(spec, width).plain.splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(line for line in lines if not line.startswith(" C  "))
    letters = {mark.letter for mark in MARKS.values()} - {""}
    shown = sum(text.count(f" {letter} ") for letter in letters) if width == 200 else None
    assert all(f"dropout {value:g}" in text for value in study.axis("dropout").values) or n_facets == 1
    assert shown is None or shown >= 0.9 * sum(int((p.marks != "missing").sum()) for p in spec.panels)


def test_facets_stand_side_by_side_where_they_fit():
    study = study_of(axes={"corruption": [0, 0.1], "weight_decay": [0, 1], "dropout": [0, 0.1, 0.2]})
    spec = figure_spec(make_diagram(study, points(study)))
    wide, narrow = (terminal_figure(spec, width).plain.splitlines() for width in (80, 30))
    assert any("dropout 0.1" in line and "dropout 0.2" in line for line in wide)
    assert len(wide) < len(narrow)


def test_a_quantity_and_a_strip_are_drawn_for_a_column(band):
    assert isinstance(band.plot(metric="test_accuracy", size="one-column"), Figure)
    strip = study_of(axes={"weight_decay": [0, 1, 3]})
    assert isinstance(draw_any(figure_spec(make_diagram(strip, points(strip))), "one-column"), Figure)
