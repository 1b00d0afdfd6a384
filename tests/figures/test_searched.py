"""How a search's map is drawn: what was measured, what was inferred, and where its frontiers may lie."""

import functools
import re
from dataclasses import replace

import numpy as np
import pytest
from stored_maps import completed, drive, load_map

from phasemap.diagram.bands import drawn_bands
from phasemap.diagram.diagram import make_diagram
from phasemap.diagram.tables import Tables
from phasemap.figures.panel import placed_names
from phasemap.figures.report_parts import frontier_bands, study_card
from phasemap.figures.small import terminal_figure
from phasemap.figures.spec import figure_spec
from phasemap.figures.static import draw_any
from phasemap.phases.marks import MARKS


@functools.cache
def searched():
    full = load_map("weight_decay")
    trials = drive(full, kind="boundary", budget=0.12, tolerance=0.0)
    return full.searched(kind="boundary").study, trials, completed(full, trials)


@functools.cache
def spec():
    study, trials, points = searched()
    diagram = make_diagram(study, points)
    return figure_spec(diagram, bands=drawn_bands(diagram, trials))


def test_a_figure_tells_inferred_points_and_does_not_miss_the_seeds_that_a_search_leaves_out():
    _, _, points = searched()
    (panel,) = spec().panels
    assert panel.inferred.sum() == points["inferred"].sum() == sum(entry.inferred for entry in spec().legend)
    assert sum(entry.count for entry in spec().legend) == len(points)
    assert "partial" not in panel.notes
    assert (panel.notes[panel.inferred] == "").all()
    assert "ribbon: 90 % band of a frontier where it is inferred" in spec().key
    assert {"hatched: inferred, not measured", "dot in the middle: measured"} <= set(spec().key)
    assert {band.kind for band in panel.bands} == {"generalization", "inversion"}


def test_inferred_cells_are_lighter_sparsely_hatched_and_measured_ones_have_a_dot():
    figure = draw_any(replace(spec(), cells=True))
    ax = figure.axes[0]
    hatched = [patch for patch in ax.patches if patch.get_hatch() == "/"]
    n_cells = sum(len(patch.get_path().vertices) // 5 for patch in hatched)
    assert n_cells == spec().panels[0].inferred.sum()
    light = {mark.light for mark in MARKS.values()}
    for patch in hatched:
        red, green, blue = (round(255 * share) for share in patch.get_facecolor()[:3])
        assert f"#{red:02x}{green:02x}{blue:02x}" in light
    letters = [text.get_text() for text in ax.texts]
    assert sum(letter.islower() for letter in letters) == n_cells
    dots = [len(line.get_xdata()) for line in ax.lines if line.get_marker() == "." and line.get_zorder() < 3]
    assert dots == [int((~spec().panels[0].inferred).sum())]


def test_a_map_of_a_quantity_hatches_what_was_inferred_and_says_so():
    study, _, points = searched()
    drawn = figure_spec(make_diagram(study, points), "test_accuracy")
    assert "hatched: inferred, not measured" in drawn.key
    hatched = [patch for patch in draw_any(drawn).axes[0].patches if patch.get_hatch() == "/"]
    n_cells = sum(len(patch.get_path().vertices) // 5 for patch in hatched)
    assert n_cells == drawn.panels[0].inferred.sum()
    assert {patch.get_edgecolor()[:3] for patch in hatched} == {(0, 0, 0), (1, 1, 1)}  # over bright and dark


def test_the_terminal_writes_inferred_points_small_and_says_so():
    text = terminal_figure(spec(), 100).plain
    rows = [line for line in text.splitlines() if re.match(r"\s*[\d.]+(\s+[A-Za-z])+\s*$", line)]
    letters = "".join(re.sub(r"[^A-Za-z]", "", line) for line in rows)
    assert sum(letter.islower() for letter in letters) == spec().panels[0].inferred.sum()
    assert "points inferred by the search, not measured" in text
    assert max(map(len, terminal_figure(spec(), 40).plain.splitlines())) <= 40


def test_the_study_card_says_how_much_was_measured_and_what_is_expected_to_be_wrong():
    study, trials, points = searched()
    card = study_card(Tables(study=study, trials=trials, points=points), [], [])
    rows = dict(row for section in card["sections"] for row in section["rows"])
    measured = int((points["n_seeds"] > 0).sum())
    told = rf"{measured} of 323 points measured \(\d+ %\), \d+ inferred; expected wrong: [\d.]+ %; an island of .*"
    assert re.fullmatch(told, rows["map"])


@pytest.mark.parametrize("kind", ["boundary", "grid"])
def test_a_report_has_areas_for_the_bands_of_a_search_only(kind):
    study, trials, points = searched()
    study = study.model_copy(update={"search": study.search.model_copy(update={"kind": kind})})
    found = frontier_bands(study, points, trials, last_step=3)
    assert bool(found["pairs"]) == (kind == "boundary")


def test_a_band_is_as_wide_as_the_doubt_and_empty_between_measured_points():
    study, trials, points = searched()
    diagram = make_diagram(study, points)
    (bands,) = drawn_bands(diagram, trials)
    band = next(band for band in bands if band.kind == "generalization")
    axis = diagram.x if band.along == "x" else diagram.y
    grid = diagram.panels[0].grid["inferred"].astype(bool)
    grid = grid if band.along == "x" else grid.T
    for row, place, low, high in zip(band.row, band.crossing, band.low, band.high, strict=True):
        left = int(np.searchsorted(axis.positions, place, side="right")) - 1
        if not grid[row, left : left + 2].any():
            assert low == pytest.approx(place)
            assert high == pytest.approx(place)
    assert (band.low <= band.crossing).all()
    assert (band.crossing <= band.high).all()
    assert (band.high > band.low).any()


def test_no_name_is_written_over_the_dot_of_a_measured_point():
    found = spec()
    panel, size = found.panels[0], (320.0, 300.0)
    wide, high = size[0] / len(found.x.ticks), size[1] / len(found.y.ticks)
    dots = np.argwhere(~panel.inferred & (panel.marks != "missing"))
    for placed in placed_names(found, panel, size):
        x, y = (dots[:, 1] + 0.5) * wide, (dots[:, 0] + 0.5) * high
        hit = (np.abs(x - placed.x) < placed.form.width / 2) & (np.abs(y - placed.y) < placed.form.height / 2)
        assert not (placed.form.whole and hit.any()), placed.form.text
