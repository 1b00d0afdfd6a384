"""Phase diagrams as data: layouts, facets, fixed values, and frontiers as contours."""

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from hypothesis import given
from hypothesis import strategies as st

from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import make_diagram
from phasemap.diagram.frontier import contour, logit
from phasemap.study.axes import Axis, AxisRange
from phasemap.study.errors import UserError

AXES = {"corruption": [0, 0.1, 0.2, 0.3], "weight_decay": [0, 1, 3, 10, 30], "dropout": [0, 0.5]}
STUDY = study_of(axes=AXES, fixed={})


def points(study=STUDY, **columns):
    frame = pd.DataFrame(list(study.points()), columns=list(study.axis_names))
    frame["test_accuracy"] = 1.0
    frame["recovered_accuracy"] = frame["memorized_accuracy"] = 0.5
    frame["generalization_wins"] = "undetermined"
    for name, rule in columns.items():
        frame[name] = [rule(row) for _, row in frame.iterrows()]
    return frame


def test_the_first_two_axes_are_drawn_and_the_rest_are_facets():
    diagram = make_diagram(STUDY, points())
    assert (diagram.x.axis.name, diagram.y.axis.name) == ("corruption", "weight_decay")
    assert [panel.facet for panel in diagram.panels] == [{"dropout": 0.0}, {"dropout": 0.5}]
    for panel in diagram.panels:
        assert panel.grid["corruption"].shape == (5, 4)
        assert (panel.grid["corruption"] == np.asarray([0, 0.1, 0.2, 0.3])[None, :]).all()
        assert (panel.grid["weight_decay"] == np.asarray([0, 1, 3, 10, 30])[:, None]).all()
        assert (panel.grid["dropout"] == panel.facet["dropout"]).all()


@given(st.permutations(["corruption", "weight_decay", "dropout"]))
def test_any_two_axes_can_be_drawn_either_way(names):
    x, y, rest = names
    diagram = make_diagram(STUDY, points(), x=x, y=y, fix={rest: AXES[rest][1]})
    (panel,) = diagram.panels
    assert (panel.grid[x] == np.asarray(AXES[x])[None, :]).all()
    assert (panel.grid[y] == np.asarray(AXES[y])[:, None]).all()
    assert (panel.grid[rest] == AXES[rest][1]).all()


def test_numbers_stand_in_rising_order_also_where_the_study_lists_them_otherwise():
    study = study_of(axes={"weight_decay": [10, 0, 5], "corruption": [0.2, 0]})
    (panel,) = make_diagram(study, points(study)).panels
    assert panel.grid["weight_decay"][0].tolist() == [0, 5, 10]
    assert panel.grid["corruption"][:, 0].tolist() == [0, 0.2]


def test_one_axis_makes_a_strip_with_crossings():
    study = study_of(axes={"weight_decay": [0, 1, 2, 3]})
    diagram = make_diagram(study, points(study, test_accuracy=lambda row: 0.99 if row["weight_decay"] < 2 else 0.1))
    assert diagram.strip
    (line,) = diagram.frontier("generalization")
    assert 1 < line[0, 0] == line[1, 0] < 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "width"}, "width is not an axis of small; allowed: corruption, weight_decay, dropout"),
        ({"x": "dropout", "y": "dropout"}, "an axis is used twice"),
        ({"fix": {"dropout": 0.3}}, "dropout = 0.3 is not a value of the study; allowed: 0, 0.5"),
        ({"fix": {"dropout": "half"}}, "dropout = half is not a value of the study"),
        ({"fix": {"dropout": 0}, "x": "dropout"}, "dropout is fixed and drawn at once"),
        ({"fix": {"dropout": 0, "corruption": 0, "weight_decay": 0}}, "no axis is left to draw"),
    ],
)
def test_wrong_axes_are_named(options, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        make_diagram(STUDY, points(), **options)


def test_the_generalization_frontier_lies_where_test_accuracy_crosses_the_threshold():
    study = study_of(axes={"corruption": {"start": 0, "stop": 1, "num": 11}, "weight_decay": [0, 1, 2]})
    diagram = make_diagram(
        study, points(study, test_accuracy=lambda row: 1 / (1 + np.exp(20 * (row["corruption"] - 0.5))))
    )
    (line,) = diagram.frontier("generalization")
    assert line[:, 0] == pytest.approx(0.5 - np.log(9) / 20, abs=0.01)
    assert {line[:, 1].min(), line[:, 1].max()} == {0, 2}


def test_the_inversion_frontier_runs_between_wins_and_loses_only():
    study = study_of(axes={"corruption": [0, 0.1, 0.2, 0.3], "weight_decay": [0, 1, 2, 3]})

    def told(row):
        if row["corruption"] == 0:
            return "undetermined"
        return "wins" if row["weight_decay"] > 1 else "loses"

    frame = points(
        study, generalization_wins=told, recovered_accuracy=lambda r: 0.9 if r["weight_decay"] > 1 else 0.1,
        memorized_accuracy=lambda r: 0.1 if r["weight_decay"] > 1 else 0.9,
    )  # fmt: skip
    (line,) = make_diagram(study, frame).frontier("inversion")
    assert line[:, 1] == pytest.approx(1.5)
    assert line[:, 0].min() == pytest.approx(0.1)


def test_a_row_may_cross_a_line_twice():
    study = study_of(axes={"corruption": [0, 0.1, 0.2, 0.3], "weight_decay": [0, 1]})
    frame = points(study, test_accuracy=lambda row: 0.99 if row["corruption"] in (0.1, 0.2) else 0.1)
    assert len(make_diagram(study, frame).frontier("generalization")) == 2


def test_there_is_no_frontier_where_points_are_missing_or_all_alike():
    study = study_of(axes={"corruption": [0, 0.1], "weight_decay": [0, 1]})
    assert make_diagram(study, points(study)).frontier("generalization") == []
    nothing = points(study, test_accuracy=lambda row: np.nan)
    assert make_diagram(study, nothing).frontier("generalization") == []


@given(st.floats(0, 1), st.floats(0, 1))
def test_logit_rises_and_keeps_saturated_accuracies_finite(a, b):
    low, high = sorted((a, b))
    assert np.isfinite(logit(low))
    assert logit(low) <= logit(high)


def test_contours_follow_a_straight_edge():
    x = y = np.arange(5.0)
    (line,) = contour(x, y, np.add.outer(y, x), 3.5)
    assert line.sum(axis=1) == pytest.approx(3.5)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_edges_lie_between_neighbouring_positions(scale):
    source = AxisRange(start=1, stop=100, num=5, scale=scale)
    axis = Coordinates(Axis(name="weight_decay", values=tuple(source.values()), source=source))
    assert (axis.edges[:-1] < axis.positions).all()
    assert (axis.positions < axis.edges[1:]).all()
    assert np.diff(axis.edges) == pytest.approx(np.diff(axis.edges)[0])
    assert axis.to_values(axis.positions) == pytest.approx(axis.values)


@pytest.mark.parametrize("threshold", [0.8, 0.9, 0.99, 0.999, 1.0])
def test_the_frontier_follows_the_study_s_threshold(threshold):
    study = study_of(axes={"weight_decay": [0, 1, 2, 3]}, phases={"generalized": threshold})
    frame = points(study, test_accuracy=lambda row: [1.0, 1.0, 0.7, 0.1][int(row["weight_decay"])])
    (line,) = make_diagram(study, frame).frontier("generalization")
    assert 1 < line[0, 0] < 2


def test_lower_thresholds_lie_nearer_to_the_point_below():
    found = []
    for threshold in (0.8, 0.9):
        study = study_of(axes={"weight_decay": [0, 1]}, phases={"generalized": threshold})
        frame = points(study, test_accuracy=lambda row: 1.0 if row["weight_decay"] == 0 else 0.1)
        found.append(make_diagram(study, frame).frontier("generalization")[0][0, 0])
    low, high = logit(0.1), logit(1.0)
    assert found == pytest.approx([(high - logit(t)) / (high - low) for t in (0.8, 0.9)])


def test_matrices_and_files_are_written_short_and_can_be_fixed_as_they_are_shown():
    assert show_value(((0.5, 0.5), (0.0, 1.0))) == "2 x 2 matrix"
    assert show_value("/data/a.npz") == "a.npz"
    assert [show_value(text) for text in ("", " ", "a b")] == ["''", "' '", "a b"]
    assert show_value((0.9, 0.98)) == "[0.9, 0.98]"
    axes = (*study_of().axes, Axis(name="path", values=("/data/a.npz", "/data/b.npz")))
    study = study_of().model_copy(update={"axes": axes})
    points = pd.DataFrame({"path": [path for *_, path in study.points()]})
    diagram = make_diagram(study, points, fix={"path": "b.npz"})
    assert diagram.fixed == {"path": "/data/b.npz"}
    with pytest.raises(UserError, match=r"path = c\.npz is not a value of the study; allowed: a\.npz, b\.npz"):
        make_diagram(study, points, fix={"path": "c.npz"})
