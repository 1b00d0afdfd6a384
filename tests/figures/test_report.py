"""Reports as data: what the page is given says what the run's tables say, and is small enough to be sent."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import study_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic import synthetic_run
from unpacking import decoded, unpacked

import phasemap as pm
from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import make_diagram
from phasemap.diagram.horizon import labels_over_steps
from phasemap.diagram.tables import Tables, derive, study_rows, write_tables
from phasemap.figures.page import LEVELS, NONE, ZERO, Scale, packed, report_html, scale_for, script_json
from phasemap.figures.report import picture_order, report_payload
from phasemap.figures.report_parts import rule_words, trial_curves
from phasemap.phases.marks import MARKS
from phasemap.results.provenance import Execution
from phasemap.study.names import ACCURACIES
from phasemap.study.spec import PhaseRule
from phasemap.study.trials import expand

NAMES = np.asarray(list(MARKS))
KINDS = dict.fromkeys(ACCURACIES, "accuracy")
GRID = {"corruption": {"start": 0.0, "stop": 0.6, "num": 7}, "weight_decay": [20, 0, 5, 10], "dropout": [0, 0.5]}
ENDINGS = {3: "failed", 8: "diverged", 9: "missing", 16: "failed", 17: "failed", 40: "diverged", 41: "diverged"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A synthetic run with three axes, one of them unsorted, two seeds, and trials that ended in all ways."""
    study = study_of(name="mixed", axes=GRID, seeds=2, training={"steps": 300})
    return synthetic_run(
        study, tmp_path_factory.mktemp("mixed"), status=lambda n: ENDINGS.get(n, "ok"), error="out of memory"
    )


@pytest.fixture(scope="module")
def tables(folder):
    return derive(folder)


@pytest.fixture(scope="module")
def rows(folder, tables):
    return study_rows(folder, tables.study)


@pytest.fixture(scope="module")
def content(tables, rows):
    return report_payload(tables, rows)


def values(quantity, kind=""):
    scale = Scale(**quantity[f"{kind}scale"])
    return decoded(scale, unpacked(quantity[f"{kind}codes"]))


def plain(column):
    return [None if pd.isna(value) else value for value in column]


def labels(content):
    return NAMES[unpacked(content["labels"]).reshape(len(content["steps"]), -1)]


def test_the_labels_at_the_last_step_are_those_of_the_table_of_points(tables, content):
    points = tables.points.iloc[picture_order(tables.study)]
    last, expected = labels(content)[-1], points["subphase"].to_numpy(dtype=object)
    seen = points["n_seeds"].to_numpy() > 0
    assert last[seen].tolist() == expected[seen].tolist()
    assert set(last[~seen]) == {"failed", "diverged"}
    assert len(set(last)) > 3


def test_relabelling_at_the_last_step_gives_the_table_of_points_again(tables, rows):
    ids = [trial.trial_id for trial in expand(tables.study)]
    (again,) = labels_over_steps(tables.study, ids, rows, [300])
    for name in ("phase", "subphase", "generalization_wins", "n_seeds"):
        assert plain(again[name]) == plain(tables.points[name])
    assert np.allclose(again["test_accuracy"], tables.points["test_accuracy"], equal_nan=True)
    assert np.allclose(again["agreement"], tables.points["agreement"], equal_nan=True)


def test_the_labels_at_earlier_steps_are_those_of_a_map_over_the_horizon(finished):
    run = pm.open_run(finished[1].path)
    content = report_payload(Tables(study=run.study, trials=run.trials, points=run.points), run._rows)
    early = labels(content)
    for number, corruption in enumerate(run.study.axis("corruption").values):
        panel = run.diagram(x="step", y="weight_decay", fix={"corruption": corruption}).data.panels[0]
        assert panel.grid["step"][0].astype(int).tolist() == content["steps"]
        assert early.T.reshape(2, 2, -1)[number].tolist() == panel.grid["subphase"].tolist()


def test_a_run_of_shorter_and_longer_trainings_keeps_the_end_of_the_shorter(tmp_path):
    study = study_of(name="lengths", axes={"steps": [50, 400], "weight_decay": [0, 5]}, training={})
    folder = synthetic_run(study, tmp_path)
    tables = derive(folder)
    content = report_payload(tables, study_rows(folder, tables.study))
    at_end = labels(content)[-1]
    later = np.asarray(content["steps"]) >= 50
    assert (labels(content)[later][:, :2] == at_end[:2]).all()
    assert at_end.tolist() == tables.points["subphase"].tolist()


def test_points_stand_in_the_order_of_the_picture(tables, content):
    axis = content["axes"][1]
    assert axis["values"] == ["0", "5", "10", "20"]
    assert axis["edges"][0] == 0
    assert axis["edges"][-1] == 1
    assert np.all(np.diff(axis["middles"]) > 0)
    order = picture_order(tables.study)
    rows = tables.points.iloc[order]
    wanted = [Coordinates(axis).values for axis in tables.study.axes]
    grids = np.meshgrid(*wanted, indexing="ij")
    for name, grid in zip(tables.study.axis_names, grids, strict=True):
        assert rows[name].tolist() == grid.ravel().tolist()


def test_every_quantity_and_its_spread_are_kept_to_three_digits(tables, content):
    points = tables.points.iloc[picture_order(tables.study)]
    names = [quantity["name"] for quantity in content["points"]["quantities"]]
    assert {"test_accuracy", "train_loss", "weight_norm", "corruption_effective", "mean_ipr"} <= set(names)
    assert "rule_capture" not in names  # nowhere defined
    for quantity in content["points"]["quantities"]:
        name = quantity["name"]
        for found, column in ((values(quantity), name), (values(quantity, "spread_"), f"{name}_std")):
            expected = points[column].to_numpy(dtype=float)
            assert np.array_equal(np.isnan(found), np.isnan(expected)), column
            assert np.allclose(found, expected, rtol=5e-4, atol=1e-4, equal_nan=True), column


def test_counts_of_seeds_and_verdicts_are_those_of_the_points(tables, content):
    points = tables.points.iloc[picture_order(tables.study)]
    counts = unpacked(content["points"]["counts"]).reshape(3, -1)
    for row, name in zip(counts, ("n_seeds", "n_failed", "n_diverged"), strict=True):
        assert row.tolist() == points[name].tolist()
    verdicts = np.asarray([*content["points"]["verdicts"], *[None] * 253], dtype=object)
    found = verdicts[unpacked(content["points"]["wins"])]
    assert found.tolist() == plain(points["generalization_wins"])


def test_trials_stand_with_their_points(tables, content):
    ids = unpacked(content["trials"]["ids"]).reshape(-1, 8)
    marks = NAMES[unpacked(content["trials"]["marks"])]
    by_id = tables.trials.set_index("trial_id")
    points = tables.points.iloc[picture_order(tables.study)]
    times = decoded(Scale(**content["trials"]["times"]["scale"]), unpacked(content["trials"]["times"]["codes"]))
    times = times.reshape(len(content["trials"]["times"]["names"]), -1)
    for slot, (raw, mark) in enumerate(zip(ids, marks, strict=True)):
        trial_id = raw.tobytes().hex()
        if trial_id not in by_id.index:
            assert mark == "missing"
            continue
        trial, point = by_id.loc[trial_id], points.iloc[slot // 2]
        assert mark == (trial["subphase"] if trial["status"] == "ok" else trial["status"])
        assert trial["seed"] == tables.study.seeds[slot % 2]
        assert [trial[name] for name in tables.study.axis_names] == [point[name] for name in tables.study.axis_names]
        expected = trial[content["trials"]["times"]["names"]].to_numpy(dtype=float)
        assert np.allclose(times[:, slot], expected, rtol=1e-3, equal_nan=True)
    assert content["trials"]["errors"] == ["out of memory"]
    assert [marks[slot] for slot, _ in content["trials"]["error_of"]] == ["failed"] * 3


def curves_of(content, slot):
    """Decode a trial's curves as the page does: (steps, (quantities, R)); None where it has none."""
    curves = content["curves"]
    grid_of = unpacked(curves["grid_of"])
    if grid_of[slot] == NONE:
        return None
    low, high = unpacked(curves["codes"]).reshape(2, -1).astype(np.uint16)
    changes = low | (high << 8)
    begin = 0
    for number, grid in enumerate(curves["grids"]):
        size = len(curves["names"]) * len(grid)
        members = np.flatnonzero(grid_of == number)
        if number == grid_of[slot]:
            begin += int(np.flatnonzero(members == slot)[0]) * size
            codes = np.cumsum(changes[begin : begin + size].reshape(-1, len(grid)), axis=1, dtype=np.uint16)
            return grid, np.where(codes == NONE, np.nan, codes / curves["levels"])
        begin += len(members) * size
    raise AssertionError(slot)


def test_curves_are_kept_to_three_digits_at_every_record_where_there_is_room(rows, content):
    ids = unpacked(content["trials"]["ids"]).reshape(-1, 8)
    by_id = {row["trial_id"]: row for row in rows.to_pylist()}
    assert content["curves"]["records"] == content["curves"]["recorded"]
    for slot, raw in enumerate(ids):
        row = by_id.get(raw.tobytes().hex())
        found = curves_of(content, slot)
        if row is None or not row["step"]:
            assert found is None
            continue
        assert found[0] == row["step"]
        for name, kept in zip(content["curves"]["names"], found[1], strict=True):
            assert np.allclose(kept, np.asarray(row[name], dtype=float), atol=5.1e-4, equal_nan=True)


def test_curves_are_thinned_until_they_fit_and_the_ends_stay(rows, content):
    ids = [raw.tobytes().hex() for raw in unpacked(content["trials"]["ids"]).reshape(-1, 8)]
    whole = len(content["curves"]["codes"]["data"])
    thinned = trial_curves(rows, KINDS, ids, whole // 2)
    assert len(thinned["codes"]["data"]) <= whole // 2
    assert 5 <= thinned["records"] < thinned["recorded"]
    for grid, full in zip(thinned["grids"], content["curves"]["grids"], strict=True):
        assert {full[0], full[-1]} <= set(grid) <= set(full)
    nothing = trial_curves(rows, KINDS, ids, 10)
    assert (nothing["records"], nothing["grids"]) == (0, [])


def lines_of(content, pair, step, panel):
    rows = unpacked(content["frontiers"]["lines"]).reshape(-1, 5)
    vertices = unpacked(content["frontiers"]["vertices"]).reshape(-1, 2) / content["frontiers"]["grid"]
    ends = np.cumsum(rows[:, 4])
    return [
        (int(kind), vertices[end - n : end])
        for (p, s, kind, number, n), end in zip(rows, ends, strict=True)
        if (p, s, number) == (pair, step, panel)
    ]


def test_frontiers_are_those_of_the_diagram_in_every_panel(tables, content):
    last, drawn = len(content["steps"]) - 1, 0
    assert content["frontiers"]["pairs"] == [
        ("corruption", "weight_decay"), ("corruption", "dropout"), ("weight_decay", "dropout"),
    ]  # fmt: skip
    for pair, (x, y) in enumerate(content["frontiers"]["pairs"]):
        (other,) = set(tables.study.axis_names) - {x, y}
        for number, value in enumerate(Coordinates(tables.study.axis(other)).values):
            diagram = make_diagram(tables.study, tables.points, x=x, y=y, fix={other: value})
            expected = [
                (code, line)
                for code, kind in enumerate(("generalization", "inversion"))
                for line in diagram.frontier_positions(diagram.panels[0], diagram.named(kind), to_frame=True)
            ]
            found = lines_of(content, pair, last, number)
            assert [code for code, _ in found] == [code for code, _ in expected]
            for (_, kept), (_, line) in zip(found, expected, strict=True):
                for column, axis in enumerate((diagram.x, diagram.y)):
                    low, high = axis.edges[0], axis.edges[-1]
                    assert np.allclose(kept[:, column], (line[:, column] - low) / (high - low), atol=1e-4)
                drawn += 1
    assert drawn > 4


def test_a_study_with_one_axis_is_a_strip(tmp_path):
    folder = synthetic_run(study_of(name="strip", axes={"corruption": [0, 0.2, 0.4]}), tmp_path)
    tables = derive(folder)
    content = report_payload(tables, study_rows(folder, tables.study))
    assert content["frontiers"]["pairs"] == [("corruption", None)]
    assert labels(content)[-1].tolist() == tables.points["subphase"].tolist()


def test_a_run_without_any_trial_has_a_report(tmp_path):
    folder = synthetic_run(study_of(name="empty"), tmp_path, status=lambda n: "missing")
    tables = derive(folder)
    content = report_payload(tables, study_rows(folder, tables.study))
    assert set(labels(content).ravel()) == {"missing"}
    assert content["curves"]["records"] == 0
    assert report_html(content)


def test_the_card_names_question_rule_seeds_cost_and_how_to_do_it_again(finished):
    run = pm.open_run(finished[1].path)
    execution = {
        "n_trained": 8, "core_hours": 0.5, "started": "then", "ended": "later", "outcome": "done", "study_hash": "ab",
        "command": ["phasemap", "run", "small.yaml", "--set", "seeds=[0, 1]"],
        "runner": "Ray Tune", "versions": {"torch": "2.0"},
        "processor": "a processor", "platform": "Linux", "devices": ["cpu"], "git": None,
    }  # fmt: skip
    tables = Tables(study=run.study, trials=run.trials, points=run.points)
    claims = run.check(["mean(test_accuracy) < 9", "mean(test_accuracy) > 2"])
    card = report_payload(tables, run._rows, [Execution(execution)], claims)["card"]
    rows = {name: text for section in card["sections"] for name, text in section["rows"]}
    assert rows["question"] == "none given"
    assert rows["weight decay"] == "0, 2"
    assert rows["seeds"] == "0, 1"
    assert rows["labelled"] == "8 of 8"
    assert rows["cost"] == "0.5 core-hours in 1 execution"
    assert rows["command"] == "phasemap run small.yaml --set 'seeds=[0, 1]'"
    assert rows["versions"] == "torch 2.0"
    assert rows["machine"] == "a processor, Linux"
    assert [claim["verdict"] for claim in card["claims"]] == ["holds", "fails"]
    assert "mean" in card["claims"][0]["text"]
    assert "arXiv:2310.13061" in card["citation"]
    assert card["replay"] == "phasemap replay runs/small"


def test_the_study_file_of_the_card_is_the_study(tables, content, tmp_path):
    path = tmp_path / content["card"]["study_name"]
    path.write_text(content["card"]["study_file"])
    assert pm.load_study(path) == tables.study


def test_thresholds_of_the_rule_are_named():
    words = rule_words(PhaseRule(rule="memorized_fraction", generalized=0.8, memorized=0.7))
    assert "test accuracy >= 0.8" in words
    assert "<= 0.3" in words
    assert "1.05 - corruption" in rule_words(PhaseRule(rule="doshi2024"))


finite = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False, allow_subnormal=False)
small = st.floats(min_value=1e-20, max_value=1e6, allow_subnormal=False)


@given(arrays(np.float64, st.integers(1, 30), elements=st.one_of(finite, st.just(np.nan))))
def test_numbers_come_back_within_a_step_of_their_scale(numbers):
    scale = scale_for(numbers)
    found = decoded(scale, scale.encode(numbers))
    assert np.array_equal(np.isnan(found), np.isnan(numbers))
    step = (scale.high - scale.low) / LEVELS
    if not scale.log:
        assert np.allclose(found, numbers, rtol=1e-12, atol=step, equal_nan=True)


@given(arrays(np.float64, st.integers(2, 30), elements=st.one_of(small, st.just(0.0), st.just(np.nan))))
def test_numbers_of_many_magnitudes_come_back_to_three_digits(numbers):
    numbers = np.concatenate([numbers, [1e-12, 1.0]])
    scale = scale_for(numbers)
    assert scale.log
    found = decoded(scale, scale.encode(numbers))
    assert np.allclose(found, numbers, rtol=1e-3, atol=0, equal_nan=True)
    assert (scale.encode(np.zeros(1)) == ZERO).all()


@given(arrays(np.uint16, st.integers(0, 50)), arrays(np.uint8, st.integers(0, 50)))
def test_packed_arrays_come_back(words, octets):
    assert unpacked(packed(words)).tolist() == words.tolist()
    assert unpacked(packed(octets)).tolist() == octets.tolist()


@given(st.text())
def test_no_text_can_end_the_script_that_holds_it(text):
    written = script_json({"question": text})
    assert not set(written) & set("<>&")
    assert written.isascii()
    assert json.loads(written) == {"question": text}


def big_run(root, n):
    axes = {
        "corruption": {"start": 0.0, "stop": 0.6, "num": n},
        "weight_decay": {"start": 0.0, "stop": 20.0, "num": 20},
    }
    study = study_of(name="big", axes=axes, seeds=5, training={"steps": 2000}, model={"width": 128})
    folder = synthetic_run(study, root)
    write_tables(folder, derive(folder), curves=True)
    return pm.open_run(folder.path)


def test_the_report_of_2000_trials_stays_below_2_megabytes(tmp_path):
    run = big_run(tmp_path, 20)
    assert len(run.trials) == 2000
    assert run.report(tmp_path / "big.html").stat().st_size < 2_000_000


@pytest.mark.slow(group="report")
def test_the_report_of_20000_trials_stays_below_5_megabytes(tmp_path):
    run = big_run(tmp_path, 200)
    assert len(run.trials) == 20_000
    path = run.report(tmp_path / "big.html")
    assert path.stat().st_size < 5_000_000
    content = path.read_text().partition('id="content">')[2].partition("</script>")[0]
    assert 8 <= json.loads(content)["curves"]["records"] < json.loads(content)["curves"]["recorded"]
