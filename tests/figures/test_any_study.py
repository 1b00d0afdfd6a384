"""A study that is not of networks: figures, bands, comparisons, claims and reports speak its own names."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kitchen import RECORDED, RULE, kitchen, shard_rows, tables_of
from test_page import Reader

import phasemap as pm
from phasemap.diagram.claims import check_claims
from phasemap.diagram.compare import compare
from phasemap.diagram.critical import critical
from phasemap.diagram.diagram import lay_out, make_diagram
from phasemap.diagram.frontier import frontier_sides, frontiers_of, height, map_frontiers
from phasemap.diagram.survival import survival
from phasemap.figures.chart import ChartTables
from phasemap.figures.difference import difference_page
from phasemap.figures.kinds import make_chart
from phasemap.figures.page import report_html
from phasemap.figures.panel import draw_panel
from phasemap.figures.report import report_payload
from phasemap.figures.small import terminal_figure, thumbnail_svg
from phasemap.figures.spec import figure_spec
from phasemap.figures.static import draw_any
from phasemap.maps import PhaseDiagram
from phasemap.phases.strokes import STROKES, quantity_strokes, time_strokes
from phasemap.results.merge import curve_table
from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.claims import vocabulary
from phasemap.study.rule_file import parse_rule
from phasemap.study.spec import PhaseRule
from phasemap.study.yaml_lines import parse_document

LABELS = {"burnt", "golden", "crisp", "bland", "raw"}


@pytest.fixture(scope="module")
def study():
    return kitchen()


@pytest.fixture(scope="module")
def tables(study):
    return tables_of(study)


@pytest.fixture(scope="module")
def diagram(study, tables):
    return PhaseDiagram(make_diagram(study, tables.points), tables.trials)


@pytest.fixture(scope="module")
def frames(study, tables):
    curves = curve_table(shard_rows(study)).to_pandas()
    return ChartTables(study=study, trials=tables.trials, points=tables.points, curves=curves, neurons=pd.DataFrame())


def rule(text):
    return parse_rule(parse_document(text, "dish.yaml"), "dish", RECORDED.quantities)


def test_every_label_and_both_frontiers_are_drawn_with_bands(diagram):
    spec = figure_spec(diagram.data, bands=diagram.bands())
    assert {entry.mark.name for entry in spec.legend} == LABELS
    assert [(name, words, style) for name, words, style in spec.frontiers] == [
        ("doneness", "doneness: crispness = 0.8", "solid"),
        ("balance", "balance: aroma = spice", "dashed"),
    ]
    assert {band.kind for band in spec.panels[0].bands} == {"doneness", "balance"}
    assert {mark.letter for name, mark in spec.marks.items() if name in LABELS} == {"B", "G", "C", "L", "R"}
    figure = draw_any(spec)
    said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "Solid: doneness: crispness = 0.8; dashed: balance: aroma = spice" in said
    assert "golden 17" in terminal_figure(spec).plain
    phases = figure_spec(diagram.data, "phase")
    assert {entry.mark.name for entry in phases.legend} == {"burnt", "tasty", "bland", "raw"}


def test_a_frontier_lies_where_its_sides_are_equal(study, diagram):
    # aroma = 1.5 + log10(salt) and spice = 0.5 - 1.2 heat at the end, but for the seeds' shifts, whose mean is taken
    shift = np.mean([0.06 * np.random.default_rng(seed).standard_normal() for seed in study.seeds])
    (line,) = diagram.frontier("balance")
    assert np.log10(line[:, 1]) == pytest.approx(-1 - shift - 1.2 * line[:, 0], abs=1e-9)
    table = diagram.frontier_band("balance", along="y")
    assert (table["low"] < table["crossing"]).all()
    assert (table["crossing"] < table["high"]).all()
    assert np.array_equal(diagram.frontier()[0], diagram.frontier("doneness")[0])
    with pytest.raises(pm.UserError, match="allowed: doneness, balance"):
        diagram.frontier("doneless")


@given(st.floats(0.02, 0.98), st.floats(1e-6, 1e3), st.floats(-5, 5))
def test_each_kind_is_compared_on_its_own_scale(share, loss, number):
    text = "labels: {raw: otherwise}\nfrontiers: {a: crispness = %r, b: waste = %r, c: aroma = %r}"
    frontiers = frontiers_of(rule(text % (share, loss, number)), RECORDED)
    columns = {"crispness": np.asarray([0.1, 0.9]), "waste": np.asarray([0.01, 10.0]), "aroma": np.asarray([-7.0, 7.0])}
    scales = {"a": lambda v: np.log(v / (1 - v)), "b": np.log, "c": lambda v: v}
    for frontier in frontiers:
        z, level = height(frontier, columns)
        scale = scales[frontier.name]
        assert z == pytest.approx(scale(columns[frontier.quantity]))
        assert level == pytest.approx(float(scale(np.asarray(frontier.level))))


@pytest.mark.parametrize(
    ("frontier", "message"),
    [
        ("test_accuracy = 0.9", "frontiers.a test_accuracy was not recorded; recorded: crispness, waste, aroma, spice"),
        ("aroma = memorized_accuracy", "memorized_accuracy was not recorded"),
        ("crispness = 1.5", "frontiers.a = 1.5 is not a valid accuracy; allowed: a number from 0 to 1"),
        ("waste = -1", "frontiers.a = -1 is not a valid loss; allowed: a number that is not negative"),
    ],
)
def test_a_frontier_that_can_t_be_drawn_is_a_mistake_of_the_rule(frontier, message):
    with pytest.raises(pm.StudyError, match=f"(?s){message}"):
        rule(f"labels: {{raw: otherwise}}\nfrontiers: {{a: {frontier}}}")


def test_sides_are_columns_of_the_points(study, tables):
    points = tables.points
    assert (points["frontier_doneness"] == np.where(points["crispness"] >= 0.8, "above", "below")).all()
    assert (points["frontier_balance"] == np.where(points["aroma"] > points["spice"], "above", "below")).all()
    level, pair = map_frontiers(study)
    at = pd.DataFrame({"crispness": [0.8, np.nan], "aroma": [1.0, np.nan], "spice": [1.0, 2.0]})
    assert frontier_sides(level, at).tolist() == ["above", None]
    assert frontier_sides(pair, at).tolist() == ["undetermined", None]
    missing = tables_of(study, missing=range(6)).points
    assert missing["frontier_doneness"].isna().tolist() == [True] * 2 + [False] * 68


def test_the_exact_test_needs_the_name_two_accuracies_and_the_counts():
    def tested(frontier, recorded):
        text = f"labels: {{raw: otherwise}}\nfrontiers: {{{frontier}}}"
        found = parse_rule(parse_document(text, "dish.yaml"), "dish", recorded.quantities)
        return [one.tested for one in frontiers_of(found, recorded)]

    counted = replace(
        RECORDED, facts=("n_corrupted", "n_classes"), quantities={**RECORDED.quantities, "bite": "accuracy"}
    )
    assert tested("inversion: crispness = bite", counted) == [True]
    assert tested("other: crispness = bite", counted) == [False]
    assert tested("inversion: crispness = 0.5", counted) == [False]
    assert tested("inversion: aroma = spice", counted) == [False]
    assert tested("inversion: crispness = bite", replace(counted, facts=())) == [False]


@pytest.mark.parametrize(
    ("metric", "tenths", "scale"),
    [("crispness", True, "linear"), ("waste", False, "log"), ("aroma", False, "linear"), ("price", False, "linear"),
     ("agreement", False, "linear")],
)  # fmt: skip
def test_any_column_of_numbers_is_a_map_coloured_by_its_kind(diagram, tables, metric, tenths, scale):
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    image = draw_panel(Figure().subplots(), spec := figure_spec(diagram.data, metric), spec.panels[0], (200, 140), [])
    values = tables.points[metric]
    assert image.norm.vmin == pytest.approx(math.floor(10 * values.min()) / 10 if tenths else values.min())
    assert image.norm.vmax == pytest.approx(math.ceil(10 * values.max()) / 10 if tenths else values.max())
    assert isinstance(image.norm, LogNorm) == (scale == "log")


def test_an_unknown_metric_is_answered_with_the_study_s_own(diagram):
    known = "subphase, phase, crispness, waste, aroma, spice, weight, price, robustness"
    for metric in ("test_accuracy", "frontier_doneness", "pan"):
        with pytest.raises(pm.UserError, match=f"--metric {metric} is unknown; allowed: {known}"):
            figure_spec(diagram.data, metric)


def test_curves_are_those_of_the_quantities_with_the_rule_s_times(study, frames):
    chart = make_chart("curves", frames, lay_out(study, fix={"salt": 0.1}))
    assert chart.title == "Accuracies over the training, kitchen"
    assert [series.stroke.label for series in chart.panels[5].series] == ["crispness"]
    (event,) = chart.panels[5].events
    assert (event.letter, event.stroke.label) == ("c", "crisp step")
    losses = make_chart("curves", frames, lay_out(study, fix={"salt": 0.1}), "waste")
    assert [panel.y_scale for panel in losses.panels] == ["log"]
    numbers = make_chart("curves", frames, lay_out(study, fix={"salt": 0.1}), "aroma")
    assert (numbers.panels[0].y_scale, numbers.panels[0].y_limits) == ("linear", None)
    with pytest.raises(pm.UserError, match=r"unknown to --kind curves; allowed: crispness, waste, aroma, spice$"):
        make_chart("curves", frames, lay_out(study), "test_accuracy")
    draw_any(chart)


@pytest.mark.parametrize("kind", ["ipr", "neurons", "pruning", "norms", "logits"])
def test_what_looks_inside_networks_is_refused(study, frames, kind):
    with pytest.raises(pm.UserError, match="phasemap's own networks, and kitchen trains none; allowed: phases, curves"):
        make_chart(kind, frames, lay_out(study))


def test_a_comparison_shows_how_far_the_study_s_frontiers_moved(study, tables):
    other = kitchen(RULE.replace("done: 0.8", "done: 0.6"), name="oven")
    found = compare(study, tables.trials, other, tables_of(other).trials)
    assert set(found.shifts["kind"]) == {"doneness", "balance"}
    moved = found.shifts[found.shifts["kind"] == "doneness"]
    assert (moved["high"] < 0).all()
    assert found.shifts.loc[found.shifts["kind"] == "balance", "shift"].tolist() == pytest.approx([0.0] * 3)
    assert "the same 210 trials" in found.reason
    assert "doneness" in difference_page(found)


def test_a_comparison_takes_the_other_run_s_frontier_of_that_name(study, tables):
    bare = kitchen(RULE.partition("frontiers")[0], name="bare")
    found = compare(study, tables.trials, bare, tables_of(bare).trials)
    assert set(found.shifts["kind"]) == {"doneness", "balance"}
    assert found.shifts["shift"].to_numpy() == pytest.approx(0)
    assert compare(bare, tables.trials, study, tables.trials).shifts.empty


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("frontier(balance, along=salt, heat=0.5) < frontier(balance, along=salt, heat=0.2)", "holds"),
        ("frontier(doneness, along=heat, salt=0.1) > 0.6", "fails"),
        ("area(tasty) > area(crisp)", "holds"),
        ("mean(waste, heat=1) > mean(waste, heat=0.5)", "holds"),
        ("median(crisp_step, heat=1) < median(crisp_step, heat=0.6)", "holds"),
        ("frontier(balance, along=heat, salt=1) < 2", "undecided"),
    ],
)
def test_claims_name_the_study_s_frontiers_and_labels(study, tables, text, verdict):
    claim = parse_claim(text, study.axes, vocabulary(study))
    (result,) = check_claims(study, tables.trials, [claim])
    assert result.verdict == verdict


def test_a_claim_about_another_frontier_is_answered_with_those_that_there_are(study):
    with pytest.raises(ClaimError, match="'inversion' at character 10 is not a frontier; allowed: doneness, balance"):
        parse_claim("frontier(inversion, along=heat, salt=0.1) < 1", study.axes, vocabulary(study))


def test_events_are_labels_phases_frontiers_and_step_times(study, tables):
    def location(event, **fix):
        return critical(study, tables.trials, "heat", event, fix or {"salt": 0.1}).location

    assert location(None) == location("doneness") == location("crisp_step")
    assert location("burnt") > location("doneness")
    assert location("balance", salt=0.01) == pytest.approx(0.8, abs=0.1)
    with pytest.raises(
        pm.UserError, match="allowed: burnt, tasty, bland, raw, golden, crisp, doneness, balance, crisp_s"
    ):
        location("generalizes")
    late = survival(study, tables.trials, by="heat")
    assert late.equals(survival(study, tables.trials, "crisp_step", "heat"))
    with pytest.raises(pm.UserError, match="grokking_step is not an event; allowed: crisp_step, cooled_step"):
        survival(study, tables.trials, "grokking_step")


@given(st.lists(st.sampled_from([*"abcdefg", "ab", "test_accuracy", "train_loss"]), unique=True, max_size=9))
def test_lines_are_told_apart_and_built_in_ones_are_fixed(names):
    found = quantity_strokes(names)
    assert list(found) == names
    assert len({(stroke.colour, stroke.style) for stroke in found.values()}) == len(names)
    assert all(found[name] == STROKES[name] for name in names if name in STROKES)
    times = time_strokes([*names, "grokking_step"])
    assert times["grokking_step"][0] == "g"
    letters = [letter for letter, _ in times.values()]
    assert len(set(letters)) == len(letters)


@pytest.fixture(scope="module")
def page(study, tables, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_html(report_payload(tables, shard_rows(study))))
    return path


def test_the_report_speaks_the_study_s_names(page, browser):
    reader = Reader(browser, page)
    assert set(reader.marks()) == LABELS
    options = reader.page.eval_on_selector_all("#metric option", "all => all.map(o => o.value)")
    assert options == ["subphase", "phase", "crispness", "waste", "aroma", "spice", "weight", "price"]
    words = reader.page.inner_text("#frontiers")
    assert "doneness: crispness = 0.8" in words
    assert "balance: aroma = spice" in words
    reader.open(45)
    drawn = reader.page.eval_on_selector_all(
        "#curves svg[role=img]", "all => all.map(s => s.getAttribute('aria-label'))"
    )
    assert [label.split(" ends at")[0] for label in drawn] == [
        "Accuracies over the steps: crispness", "Losses over the steps: waste", "Quantities over the steps: aroma",
    ]  # fmt: skip
    assert "c: crisp step at step" in reader.page.inner_text("#curves")
    text = reader.page.inner_text("body")
    assert not [word for word in ("generaliz", "memoriz", "accuracy", "grokking", "Citation") if word in text]
    reader.choose(metric="waste")
    assert "(log)" in reader.page.inner_text(".ramp")
    reader.page.eval_on_selector("#step", "range => { range.value = 3; range.dispatchEvent(new Event('input')); }")
    reader.page.wait_for_selector("#step-words:text-is('30')")
    assert len(set(reader.fills())) > 3
    assert not reader.heard


def test_the_page_s_curves_are_the_trials_within_three_digits(study, tables, page, browser):
    reader = Reader(browser, page)
    rows = shard_rows(study).to_pandas().set_index("trial_id")
    model = """async () => {
      const content = JSON.parse(document.getElementById('content').textContent);
      const model = await PhaseData.Model.load(content);
      await model.loadCurves();
      return model.trials(45).map((trial) => [trial.id, model.curve(trial.slot)]);
    }"""
    for trial_id, curve in reader.page.evaluate(model):
        for name, kind in RECORDED.quantities.items():
            true = np.asarray(rows.loc[trial_id, name])
            whole = np.concatenate(rows[name].to_list())
            if kind == "loss":
                assert np.log(curve[name]) == pytest.approx(np.log(true), abs=np.ptp(np.log(whole)) / 1900)
            else:
                assert curve[name] == pytest.approx(true, abs=max(np.ptp(whole), 1.0) / 1900)


def test_a_study_without_labels_is_a_map_of_its_first_quantity(browser, tmp_path):
    bare = kitchen(phases=PhaseRule.none())
    tables = tables_of(bare)
    spec = figure_spec(make_diagram(bare, tables.points))
    assert (spec.metric, spec.frontiers) == ("crispness", ())
    assert not draw_any(spec).legends
    shown = terminal_figure(spec)
    assert "crispness 0" in shown.plain
    assert len({str(span.style) for span in shown.spans if "on #" in str(span.style)}) > 3
    assert len(set(re.findall(r" (\d) ", shown.plain))) > 3  # digits, which are read where there are no colours
    assert len(set(re.findall('fill="(#......)"', thumbnail_svg(make_diagram(bare, tables.points))))) == 10
    path = tmp_path / "report.html"
    path.write_text(report_html(report_payload(tables, shard_rows(bare))))
    reader = Reader(browser, path)
    assert reader.page.input_value("#metric") == "crispness"
    assert len(set(reader.fills())) > 3
    reader.open(45)
    assert "unlabelled" not in reader.page.inner_text("#cell > p")
    assert not reader.heard


def test_without_curves_a_report_has_the_last_step_only(tables):
    content = report_payload(tables, None)
    assert content["steps"] == [0]
    assert content["curves"]["grids"] == []
    assert json.dumps(content)
