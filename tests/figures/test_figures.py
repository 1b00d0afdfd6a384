"""Figures are compared as data; each picture is also rendered once."""

import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from matplotlib.figure import Figure

from phasemap.diagram.diagram import first_panels, make_diagram
from phasemap.diagram.horizon import MOST_FACETS, chosen_steps
from phasemap.diagram.points import mean_columns
from phasemap.figures.captions import setting_words
from phasemap.figures.small import terminal_figure
from phasemap.figures.spec import figure_spec
from phasemap.figures.static import draw_any, draw_into, save_figure
from phasemap.phases.marks import MARKS
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.names import FRONTIERS, GROKKING, PHASES, SUBPHASES

STUDY = study_of(
    axes={
        "corruption": [0, 0.1, 0.2],
        "weight_decay": {"start": 0.1, "stop": 10, "num": 3, "scale": "log"},
        "dropout": [0, 0.3],
    },
    fixed={"data_fraction": 0.6},
)
LABELS = ["coexistence", "partial_inversion", "full_inversion", "memorization", "forgetting", "confusion"]


def points(study=STUDY):
    """Return points that cycle through the labels, with a missing, a failed and a diverged one."""
    frame = pd.DataFrame(list(study.points()), columns=list(study.axis_names))
    n = len(frame)
    frame["subphase"] = [LABELS[i % 6] for i in range(n)]
    frame["phase"] = ["grokking" if name in GROKKING else name for name in frame["subphase"]]
    frame["agreement"] = [0.5 if i == 3 else 1.0 for i in range(n)]
    frame["n_seeds"], frame["n_failed"], frame["n_diverged"] = 2, 0, 0
    frame["inferred"] = False
    for name in mean_columns(study):
        frame[name] = np.linspace(0, 1, n)
    frame["generalization_wins"] = ["wins" if i % 2 else "loses" for i in range(n)]
    frame["memorized_accuracy"] = [0.1 if i % 2 else 0.9 for i in range(n)]
    frame["recovered_accuracy"] = 0.5
    frame.loc[n - 3 :, ["phase", "subphase"]] = None
    frame.loc[n - 3 :, "n_seeds"] = 0
    frame.loc[n - 2, "n_failed"] = 2
    frame.loc[n - 1, "n_diverged"] = 2
    frame.loc[0, "n_failed"] = 1
    return frame


def cells(ax):
    """Return ((left, bottom), (right, top), colour) of each cell, row by row from below.

    All cells of one label are one outline, five vertices a cell.
    """
    found = []
    for patch in ax.patches:
        colour = mpl.colors.to_hex(patch.get_facecolor())
        boxes = patch.get_path().vertices.reshape(-1, 5, 2)
        found += [(tuple(box.min(axis=0)), tuple(box.max(axis=0)), colour) for box in boxes]
    return sorted(found, key=lambda cell: cell[0][::-1])


@pytest.fixture
def spec():
    return figure_spec(make_diagram(STUDY, points()))


def test_every_label_has_a_colour_and_a_letter_of_its_own():
    assert set(MARKS) == {*SUBPHASES, *PHASES, "diverged", "failed", "missing", "unlabelled"}
    together = [[*SUBPHASES, "diverged", "failed", "missing"], [*PHASES, "diverged", "failed", "missing"]]
    for names in together:
        assert len({MARKS[name].letter for name in names}) == len(names)
        assert len({(MARKS[name].colour, MARKS[name].hatch) for name in names}) == len(names)


def test_cells_legend_and_axes_are_those_of_the_points(spec):
    assert [panel.title for panel in spec.panels] == ["dropout 0", "dropout 0.3"]
    assert spec.panels[0].marks.tolist() == [
        ["coexistence", "coexistence", "coexistence"],
        ["full_inversion", "full_inversion", "full_inversion"],
        ["forgetting", "forgetting", "failed"],
    ]
    assert spec.panels[1].marks[:, 2].tolist() == ["partial_inversion", "missing", "diverged"]
    assert {entry.mark.name: entry.count for entry in spec.legend} == {
        "coexistence": 3, "partial_inversion": 3, "full_inversion": 3, "memorization": 2, "forgetting": 2,
        "confusion": 2, "diverged": 1, "failed": 1, "missing": 1,
    }  # fmt: skip
    assert (spec.x.label, spec.x.scale, spec.x.tick_labels) == ("corruption", "linear", ("0", "0.1", "0.2"))
    assert (spec.y.label, spec.y.scale, spec.y.tick_labels) == ("weight decay", "log", ("0.1", "1", "10"))
    assert spec.y.edges == pytest.approx([10**-1.5, 10**-0.5, 10**0.5, 10**1.5])
    assert spec.panels[0].notes[0, 0] == "lost"


def test_the_batch_size_that_steps_are_given_for_is_told():
    minibatches = study_of(training={"steps": 100, "batch_size": 8, "scale_to_batch": 32})
    assert "100 steps of batch size 32" in setting_words(minibatches, {})
    assert "100 steps" in setting_words(study_of(training={"steps": 100}), {})


def test_title_and_caption_say_task_seeds_rule_and_horizon(spec):
    assert spec.title == "Modular addition, p 7, 2 seeds per point"
    settings = "Width 16, x² activation, MSE, 60 steps, data fraction 0.6."
    assert spec.subtitle == f"{settings} Labels by memorized fraction at the last step."
    earlier = STUDY.model_copy(update={"phases": STUDY.phases.model_copy(update={"at_step": 50})})
    told = figure_spec(make_diagram(earlier, points(earlier)), horizons=(48, 48)).subtitle
    assert told.endswith("Labels by memorized fraction at step 48, the last record up to step 50.")


def test_a_quantity_is_drawn_as_its_means():
    diagram = make_diagram(STUDY, points())
    assert figure_spec(diagram, "test_accuracy").title == "Test accuracy, modular addition, p 7, mean of 2 seeds"
    assert figure_spec(diagram, "phase").title == "Modular addition, p 7, 2 seeds per point"
    found = figure_spec(diagram, "test_accuracy")
    assert np.array_equal(found.panels[0].values, diagram.panels[0].grid["test_accuracy"])
    with pytest.raises(UserError, match="--metric accuracy is unknown; allowed: subphase, phase, train_accuracy"):
        figure_spec(diagram, "accuracy")


def frontiers(ax):
    """Return the lines of frontiers that are drawn into axes."""
    return [line for line in ax.lines if line.get_label() in FRONTIERS]


@pytest.mark.parametrize("cells", [False, True])
def test_frontiers_are_whole_lines_without_halo_above_the_cells(spec, cells):
    figure = draw_any(replace(spec, cells=cells))
    for ax, panel in zip(figure.axes, spec.panels, strict=True):
        assert len(frontiers(ax)) == len(panel.lines) > 0
        for drawn, line in zip(frontiers(ax), panel.lines, strict=True):
            np.testing.assert_array_equal(drawn.get_xydata(), line.points)
            assert not drawn.get_path_effects()
            assert drawn.get_zorder() > max(patch.get_zorder() for patch in ax.patches)
            assert drawn.is_dashed() == (line.kind == "inversion")


def test_the_drawing_shows_what_the_spec_says(spec):
    figure = draw_any(replace(spec, cells=True))
    axes = [ax for ax in figure.axes if ax.patches]
    assert len(axes) == 2
    assert axes[0].get_yscale() == "log"
    assert {"corruption", "weight decay"} <= {text.get_text() for text in figure.texts}  # once, for both panels
    assert [face for _, _, face in cells(axes[0])] == [MARKS[name].colour for name in spec.panels[0].marks.ravel()]
    letters = [text.get_text() for text in axes[0].texts]
    assert letters == [MARKS[name].letter for name in spec.panels[0].marks.ravel()]
    figure.canvas.draw()
    for text, ((left, bottom), (right, top), _) in zip(axes[0].texts, cells(axes[0]), strict=True):
        x, y = axes[0].transData.inverted().transform(axes[0].transAxes.transform(text.get_position()))
        assert left < x < right
        assert bottom < y < top
    assert [text.get_text() for text in figure.legends[0].texts] == [
        f"{entry.mark.letter}  {entry.mark.title}".strip() for entry in spec.legend
    ]
    said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    for words in ("Solid: test accuracy 0.9", "cross in a corner: some seeds failed or diverged", "seeds disagree"):
        assert words in said


def test_each_region_is_named_once_and_there_is_no_legend_where_all_are():
    study = study_of(axes={"corruption": [i / 20 for i in range(11)], "weight_decay": [0, 1, 3, 5, 8]})
    frame = points(study).assign(n_seeds=2, n_failed=0, n_diverged=0, agreement=1.0, generalization_wins=None)
    right = frame["corruption"] > 0.22
    frame["subphase"] = np.where(right, "memorization", "partial_inversion")
    frame.loc[(frame["corruption"] == 0) & (frame["weight_decay"] == 8), "subphase"] = "memorization"
    frame["phase"] = np.where(right, "memorization", "grokking")
    figure = draw_any(figure_spec(make_diagram(study, frame)))
    (ax,) = figure.axes
    assert sorted(text.get_text() for text in ax.texts) == ["M", "memorization", "partial inversion"]
    assert not figure.legends
    letters = draw_any(figure_spec(make_diagram(study, frame), cells=True))
    assert [text.get_text() for text in letters.legends[0].get_texts()] == ["P  partial inversion", "M  memorization"]


def test_uneven_values_have_steps_between_their_ticks_or_are_drawn_true_to_scale():
    study = study_of(axes={"corruption": [0, 0.1, 0.2], "weight_decay": [0, 1, 3, 8]})
    rank, value = (figure_spec(make_diagram(study, points(study), by_value=by_value)) for by_value in (False, True))
    assert rank.y.ticks.tolist() == [0, 1, 2, 3]
    assert rank.y.minor == pytest.approx([0, 1, 1.5, 2, 2.2, 2.4, 2.6, 2.8, 3])
    assert value.y.ticks.tolist() == [0, 1, 3, 8]
    assert value.y.edges.tolist() == [-0.5, 0.5, 2, 5.5, 10.5]
    assert value.y.minor.tolist() == list(range(9))
    assert len(rank.x.minor) == 0
    for line in rank.panels[0].lines:
        assert np.isfinite(line.points).all()
    draw_any(value)


def test_two_facets_have_their_heads_once_and_fit_a_page():
    dropout, scales = [0, 0.1, 0.3, 0.6], [0.5, 1, 2, 4]
    axes = {"corruption": [i / 10 for i in range(8)], "weight_decay": [0, 3, 6, 10, 15, 20]}
    study = study_of(axes={**axes, "dropout": dropout, "init_scale": scales})
    spec = figure_spec(make_diagram(study, points(study)))
    assert spec.heads == (tuple(f"dropout {v:g}" for v in dropout), tuple(f"init scale {v:g}" for v in scales))
    figure = draw_any(spec)
    assert [ax.get_title() for ax in figure.axes] == [*spec.heads[1]] + [""] * 12
    written = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert [written.count(head) for head in spec.heads[0]] == [1] * 4
    assert figure.get_figwidth() < 7.5


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("metric", ["subphase", "test_accuracy"])
def test_files_are_written_in_every_format(spec, ending, metric, tmp_path):
    path = tmp_path / f"map{ending}"
    save_figure(figure_spec(make_diagram(STUDY, points()), metric), path)
    start = path.read_bytes()[:100]
    assert start.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[ending])
    assert path.stat().st_size > 5000


def test_wrong_endings_and_folders_are_named(spec, tmp_path):
    with pytest.raises(UserError, match=r"the ending '.gif'; allowed: .png, .svg, .pdf"):
        save_figure(spec, tmp_path / "map.gif")
    with pytest.raises(UnreachableError, match="does not exist"):
        save_figure(spec, tmp_path / "none" / "map.png")


def test_a_single_panel_goes_into_given_axes_and_several_do_not():
    ax = Figure().subplots()
    one = figure_spec(make_diagram(STUDY, points(), fix={"dropout": 0}))
    assert draw_into(ax, one) is ax
    assert len(cells(ax)) == 9
    with pytest.raises(UserError, match="has 2 panels"):
        draw_into(Figure().subplots(), figure_spec(make_diagram(STUDY, points())))


def test_strips_and_wide_maps_are_drawn(tmp_path):
    strip = study_of(axes={"weight_decay": [0, 1, 3]})
    save_figure(figure_spec(make_diagram(strip, points(strip))), tmp_path / "strip.png")
    wide = study_of(axes={"corruption": {"start": 0, "stop": 1, "num": 40}, "weight_decay": list(range(30))})
    save_figure(figure_spec(make_diagram(wide, points(wide))), tmp_path / "wide.svg")
    ticks = re.findall(r">(0\.\d+)<", (tmp_path / "wide.svg").read_text())
    assert 3 <= len(ticks) <= 13


def test_the_terminal_shows_letters_row_by_row_with_the_largest_value_on_top(spec):
    lines = [line.rstrip() for line in terminal_figure(spec, 22).plain.splitlines()]
    assert lines[1] == "dropout 0"
    assert [line.split() for line in lines[2:6]] == [
        ["10", "F", "F", "!"], ["1", "I", "I", "I"], ["0.1", "C", "C", "C"], ["0", "0.1", "0.2"],
    ]  # fmt: skip
    side_by_side = terminal_figure(spec).plain.splitlines()
    assert side_by_side[1].split() == ["dropout", "0", "dropout", "0.3"]
    assert any(" C  coexistence 3" in line for line in lines)


def test_the_terminal_narrows_wide_maps():
    wide = study_of(axes={"corruption": {"start": 0, "stop": 1, "num": 60}, "weight_decay": [0, 1]})
    text = terminal_figure(figure_spec(make_diagram(wide, points(wide))), width=70).plain
    assert max(map(len, text.splitlines()[:4])) <= 70


def test_fixed_values_are_named_in_the_picture_also_where_they_are_zero():
    spec = figure_spec(make_diagram(STUDY, points(), fix={"dropout": 0}))
    assert "dropout 0" in spec.subtitle


def test_a_log_axis_to_the_right_is_drawn_as_one():
    figure = draw_any(figure_spec(make_diagram(STUDY, points(), x="weight_decay", y="corruption", fix={"dropout": 0})))
    assert figure.axes[0].get_xscale() == "log"


def test_values_of_a_log_axis_have_the_digits_that_tell_them_apart():
    axes = {"corruption": [0], "weight_decay": {"start": 60, "stop": 300, "num": 256, "scale": "log"}}
    study = study_of(axes=axes)
    labels = figure_spec(make_diagram(study, points(study))).y.tick_labels
    assert len(set(labels)) == 256
    assert max(map(len, labels)) == len("290.7")


def test_points_with_seeds_still_to_train_are_marked():
    frame = points()
    frame.loc[4, "n_seeds"] = 1
    spec = figure_spec(make_diagram(STUDY, frame))
    assert "partial" in {note for panel in spec.panels for note in panel.notes.ravel()}


def test_very_many_panels_are_cut_and_it_is_said():
    study = study_of(axes={"corruption": [0], "weight_decay": [0], "dropout": [i / 100 for i in range(50)]})
    diagram = first_panels(make_diagram(study, points(study)))
    assert len(diagram.panels) == 36
    assert "Only the first 36 of 50 panels are drawn." in figure_spec(diagram).subtitle


def test_the_terminal_names_regions_where_their_names_fit():
    wide = study_of(axes={"corruption": {"start": 0, "stop": 1, "num": 9}, "weight_decay": [0, 1, 2]})
    spec = figure_spec(make_diagram(wide, points(wide)))
    everywhere = replace(spec, panels=(replace(spec.panels[0], marks=np.full((3, 9), "memorization", dtype=object)),))
    lines = terminal_figure(everywhere, 60).plain.splitlines()[1:4]
    assert ["memorization" in line for line in lines] == [False, True, False]
    assert lines[0].count("M") == 9
    assert lines[1].count("M") < 9
    lettered = terminal_figure(replace(everywhere, cells=True), 60).plain.splitlines()[1:4]
    assert all(line.count("M") == 9 for line in lettered)


@pytest.mark.parametrize("size", [None, "one-column", "two-column"])
def test_labels_of_any_length_leave_room_for_the_map(size):
    names = ["字" * 60, "W" * 60, "plain"]
    study = study_of(axes={"weight_decay": [0, 1]})
    spec = figure_spec(make_diagram(study, points(study)))
    labels = replace(spec.x, ticks=np.arange(3.0), tick_labels=tuple(names), edges=np.arange(4) - 0.5, scale="ordinal")
    cells = np.full((3, 2), "confusion", dtype=object)
    panel = replace(spec.panels[0], marks=cells, notes=np.full((3, 2), ""), inferred=np.zeros((3, 2), bool), lines=())
    figure = draw_any(replace(spec, y=labels, panels=(panel,)), size)
    box = figure.axes[0].get_window_extent().width / figure.bbox.width
    assert box > 0.25
    figure.draw_without_rendering()
    starts = [label.get_window_extent().x0 for label in figure.axes[0].get_yticklabels()]
    assert min(starts) >= 0


def test_letters_that_the_usual_font_lacks_warn_nobody(recwarn, tmp_path):
    study = study_of(axes={"weight_decay": [0, 1]}, question="")
    spec = replace(figure_spec(make_diagram(study, points(study))), title="重み減衰 🧪")
    save_figure(spec, tmp_path / "map.png")
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []


def test_panels_of_steps_are_few_and_spread_over_the_whole_training():
    recorded = list(range(1, 1001))
    assert chosen_steps(recorded, MOST_FACETS)[:3] == (1, 2, 4)
    assert chosen_steps(recorded, MOST_FACETS)[-1] == 1000
    assert len(chosen_steps(recorded, MOST_FACETS)) == MOST_FACETS
