"""Where frontiers are drawn, and where not: categories, and points at which neither answer wins."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from synthetic import synthetic_run
from unpacking import unpacked

import phasemap as pm
from phasemap.diagram.bands import drawn_bands, ribbons, row_crossings
from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import make_diagram, panel_rows
from phasemap.diagram.frontier import frontier_lines as contour_lines
from phasemap.diagram.frontier import frontiers_of, generalization_wins, inside_bound
from phasemap.diagram.points import point_table
from phasemap.diagram.seeds import SeedMaps
from phasemap.diagram.tables import derive
from phasemap.figures.report_parts import GRID, frontier_lines
from phasemap.figures.spec import figure_spec
from phasemap.study.axes import Axis
from phasemap.study.networks import NETWORK_RECORDED
from phasemap.study.rule_file import parse_rule
from phasemap.study.yaml_lines import parse_document

DECAYS = [0, 1, 2, 3, 4, 5]
NORMS = ["none", "batch", "layer"]
LAST = {"none": 1, "batch": 3, "layer": 2}  # the last weight decay at which it generalizes
W, L, U, MISSING = "wins", "loses", "undetermined", None


def points(study, **columns):
    frame = pd.DataFrame(list(study.points()), columns=list(study.axis_names))
    frame["test_accuracy"] = 1.0
    frame["recovered_accuracy"] = frame["memorized_accuracy"] = 0.5
    frame["generalization_wins"] = U
    for name, rule in columns.items():
        frame[name] = [rule(row) for _, row in frame.iterrows()]
    return frame


def by_norm(axes):
    study = study_of(axes=axes)
    frame = points(study, test_accuracy=lambda r: 0.99 if r["weight_decay"] <= LAST[r["norm"]] else 0.1)
    return study, frame


@pytest.mark.parametrize("category", ["x", "y"])
@pytest.mark.parametrize("to_frame", [False, True])
def test_each_value_of_a_categorical_axis_has_its_own_crossing_and_nothing_joins_them(category, to_frame):
    axes = {"norm": NORMS, "weight_decay": DECAYS}
    study, frame = by_norm(axes if category == "x" else dict(reversed(axes.items())))
    diagram = make_diagram(study, frame)
    lines = diagram.frontier_positions(diagram.panels[0], diagram.named("generalization"), to_frame=to_frame)
    across = 0 if category == "x" else 1
    found = {NORMS[round(line[:, across].mean())]: line for line in lines}
    assert len(lines) == len(found) == 3
    for name, line in found.items():
        assert np.abs(line[:, across] - NORMS.index(name)).max() < 0.5  # within its own cells
        places = line[:, 1 - across]
        assert LAST[name] < places[0] == places[1] < LAST[name] + 1


def test_where_both_axes_are_categorical_or_the_only_one_is_there_is_no_frontier():
    for axes in ({"norm": NORMS, "activation": ["square", "relu"]}, {"norm": NORMS}):
        study = study_of(axes=axes)
        diagram = make_diagram(study, points(study, test_accuracy=lambda r: 0.99 if r["norm"] == "none" else 0.1))
        assert diagram.frontier("generalization") == []


def test_pictures_and_the_report_show_the_same_marks():
    study, frame = by_norm({"weight_decay": DECAYS, "norm": NORMS})
    for name in ("subphase", "phase", "generalization_wins"):
        frame[name] = "memorization" if name != "generalization_wins" else U
    frame = frame.assign(n_seeds=1, n_failed=0, n_diverged=0, agreement=1.0, inferred=False)
    spec = figure_spec(make_diagram(study, frame))
    assert len(spec.panels[0].lines) == 3
    content = frontier_lines(study, [frame])
    rows = unpacked(content["lines"]).reshape(-1, 5)
    assert rows[:, 4].tolist() == [2, 2, 2]
    vertices = unpacked(content["vertices"]).reshape(-1, 2, 2) / GRID
    assert (np.floor(3 * vertices[:, :, 1]) == [[0, 0], [1, 1], [2, 2]]).all()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    study = study_of(
        name="norms", axes={"norm": NORMS, "weight_decay": [0, 4, 8, 12, 16, 20]}, fixed={"corruption": 0.2}, seeds=4
    )
    return pm.Run(synthetic_run(study, tmp_path_factory.mktemp("norms")))


def test_bands_lie_along_the_axis_that_has_an_order(run):
    diagram = run.diagram()
    (bands,) = drawn_bands(diagram.data, run.trials)
    assert bands
    assert {band.along for band in bands} == {"y"}
    with pytest.raises(pm.UserError, match="norm has no order, so no frontier crosses it; allowed: along='y'"):
        diagram.frontier_band()
    assert list(diagram.frontier_band(along="y")["norm"]) == NORMS
    outlines = ribbons(diagram.data, 0, bands[0])
    assert [np.ptp(outline[:, 0]) for outline in outlines] == pytest.approx([1.0] * len(bands[0].row))


def test_resampled_maps_have_no_crossings_along_categories(run):
    diagram, maps = run.diagram().data, SeedMaps.of(run.study, run.trials)
    rows = panel_rows(run.study, diagram.x, diagram.y, {})
    assert len(row_crossings(maps, rows, diagram.x, diagram.y, diagram.named("generalization")).row) == 0
    assert len(row_crossings(maps, rows.T, diagram.y, diagram.x, diagram.named("generalization")).row) == 3


def test_a_boolean_axis_is_categorical():
    study = study_of(
        task={"kind": "modular_addition", "modulus": 7},
        model={"kind": "transformer", "width": 16},
        axes={"weight_tying": [False, True], "weight_decay": DECAYS},
    )
    diagram = make_diagram(study, points(study, test_accuracy=lambda r: 0.99 if r["weight_decay"] < 2 else 0.1))
    assert [len(line) for line in diagram.frontier()] == [2, 2]


def strip(verdicts, study=None):
    """A strip (or map) with these verdicts along weight decay: recovered less memorized is .5, -.3, or something."""
    study = study or study_of(axes={"weight_decay": list(range(len(verdicts)))})
    gap = {W: 0.5, L: -0.3, U: 0.01, MISSING: np.nan}

    def verdict(row):
        return verdicts[int(row["weight_decay"])]

    frame = points(
        study,
        generalization_wins=verdict,
        recovered_accuracy=lambda r: 0.4 + gap[verdict(r)],
        memorized_accuracy=lambda r: 0.4 if verdict(r) else np.nan,
    )
    return make_diagram(study, frame.astype({"generalization_wins": object}))


@pytest.mark.parametrize(
    ("verdicts", "places"),
    [
        ([W, U, L], [2 * 0.5 / 0.8]),
        ([L, U, U, W], [3 * 0.3 / 0.8]),
        ([U, W, L, U], [1 + 0.5 / 0.8]),
        ([W, U, W], []),
        ([W, U], []),
        ([U, U, U], []),
        ([W, MISSING, L], []),
        ([W, U, MISSING, L], []),
        ([W, U, L, U, W], [2 * 0.5 / 0.8, 2 + 2 * 0.3 / 0.8]),
    ],
)
def test_a_strip_has_its_inversion_frontier_between_wins_and_loses(verdicts, places):
    found = [line[0, 0] for line in strip(verdicts).frontier("inversion")]
    assert found == pytest.approx(places)
    study = study_of(axes={"weight_decay": list(range(len(verdicts))), "corruption": [0.1, 0.2, 0.3]})
    in_a_map = [line[:, 0] for line in strip(verdicts, study).frontier("inversion")]
    assert [line.mean() for line in sorted(in_a_map, key=np.mean)] == pytest.approx(places)
    assert all(np.ptp(line) < 1e-9 for line in in_a_map)


@given(st.lists(st.sampled_from([W, L, U]), min_size=2, max_size=12))
def test_a_strip_is_crossed_as_often_as_what_is_told_changes(verdicts):
    told = [verdict for verdict in verdicts if verdict != U]
    changes = sum(a != b for a, b in itertools.pairwise(told))
    assert len(strip(verdicts).frontier("inversion")) == changes


def test_a_map_is_joined_over_an_undetermined_point_but_not_over_a_missing_one():
    study = study_of(axes={"weight_decay": [0, 1, 2, 3], "corruption": [0.1, 0.2, 0.3]})

    def frame(middle):
        def verdict(row):
            if row["corruption"] == 0.2 and row["weight_decay"] == 1:
                return middle
            return L if row["weight_decay"] <= 1 else W

        gap = {W: 0.5, L: -0.5, U: 0.0, MISSING: np.nan}
        return points(
            study,
            generalization_wins=verdict,
            recovered_accuracy=lambda r: 0.5 + gap[verdict(r)] / 2,
            memorized_accuracy=lambda r: 0.5 - gap[verdict(r)] / 2,
        ).astype({"generalization_wins": object})

    (joined,) = make_diagram(study, frame(U)).frontier("inversion")
    assert {joined[:, 1].min(), joined[:, 1].max()} == {0.1, 0.3}
    broken = make_diagram(study, frame(MISSING)).frontier("inversion")
    assert not any({line[:, 1].min(), line[:, 1].max()} == {0.1, 0.3} for line in broken)


def test_bands_of_a_strip_follow_its_frontier_over_undetermined_points(tmp_path):
    study = study_of(name="strip", axes={"weight_decay": [0, 4, 8, 12, 16]}, fixed={"corruption": 0.2}, seeds=3)
    tables = derive(synthetic_run(study, tmp_path))
    ends = tables.trials["weight_decay"].map({0: 0.05, 4: 0.3, 8: 0.5, 12: 0.8, 16: 0.9})
    trials = tables.trials.assign(recovered_accuracy=ends, memorized_accuracy=1 - ends, n_corrupted=40)
    folder = synthetic_run(study, tmp_path / "again")
    run = pm.Run.of(folder, trials=trials, points=point_table(study, trials))
    assert run.points["generalization_wins"].tolist() == [L, L, U, W, W]
    diagram = run.diagram()
    (line,) = diagram.frontier("inversion")
    table = diagram.frontier_band("inversion")
    assert table["crossing"].tolist() == pytest.approx([line[0, 0]])


BOUNDED = "labels: {a: otherwise}\nfrontiers: {line: {line: aroma = %r, where: crispness %s %r}}"


def bounded(level, side, bound):
    recorded = replace(NETWORK_RECORDED, quantities={"aroma": "number", "crispness": "number"})
    text = BOUNDED % (level, side, bound)
    (found,) = frontiers_of(parse_rule(parse_document(text, "a.yaml"), "a", recorded.quantities), recorded)
    return found


@given(st.floats(-1.5, 1.5), st.sampled_from([">=", ">", "<=", "<"]), st.floats(-1.5, 1.5), st.floats(0, 6.28))
def test_a_frontier_is_drawn_where_its_rule_says_and_up_to_the_line_that_bounds_it(level, side, bound, turn):
    x, y = (Coordinates(Axis(name=name, values=tuple(np.linspace(-1, 1, 9)))) for name in "xy")
    across, up = np.meshgrid(x.positions, y.positions)
    columns = {"aroma": np.cos(turn) * across + np.sin(turn) * up, "crispness": across}  # planes: straight lines
    whole = contour_lines(x, y, columns["aroma"], level)
    frontier = bounded(level, side, bound)
    pieces = [piece for line in whole for piece in inside_bound(line, frontier, columns, x, y)]
    sign = 1 if side[0] == ">" else -1
    for piece in pieces:
        assert (sign * (piece[:, 0] - bound) >= -1e-9).all()
    ends = [np.clip(line[:, 0], *((bound, None) if sign == 1 else (None, bound))) for line in whole]
    lengths = sum(np.abs(np.diff(one)).sum() for one in ends)
    assert sum(np.abs(np.diff(piece[:, 0])).sum() for piece in pieces) == pytest.approx(lengths, abs=1e-9)


def test_the_inversion_line_ends_where_the_network_generalizes_no_more():
    study = study_of(axes={"corruption": [0.1, 0.2, 0.3, 0.4], "weight_decay": [0, 1, 2, 3]})
    frame = points(study, test_accuracy=lambda r: 0.99 if r["corruption"] < 0.25 else 0.1)
    frame["recovered_accuracy"], frame["memorized_accuracy"] = frame["weight_decay"] / 3, 0.5
    frame["generalization_wins"] = np.where(frame["weight_decay"] > 1.5, W, L)
    diagram = make_diagram(study, frame)
    (line,) = diagram.frontier("inversion")
    assert line[:, 0].min() == pytest.approx(0.1)
    assert line[:, 0].max() == pytest.approx(diagram.frontier("generalization")[0][:, 0].max())
    bare = diagram.named("inversion")
    assert inside_bound(line, replace(bare, bound=None), diagram.panels[0].grid, diagram.x, diagram.y)[0] is line


@pytest.mark.parametrize("pairs", [1, 5, 6, 17, 100, 399, 5000])
def test_wins_are_told_by_mcnemar_s_exact_test(pairs):
    fewer = np.unique(np.linspace(0, pairs // 2, 60).astype(int))
    told = generalization_wins(pairs - fewer, fewer, np.full(len(fewer), pairs), np.zeros(len(fewer)))
    exact = [stats.binomtest(int(k), pairs).pvalue < 0.05 for k in fewer]
    assert (told == "wins").tolist() == exact
