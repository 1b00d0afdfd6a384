"""Reports in a real browser: what a reader clicks, types and hears; and what a hostile study can not do."""

import json
import re
import shutil

import numpy as np
import pytest
from conftest import study_of
from synthetic import synthetic_run

import phasemap as pm
from phasemap.diagram.tables import derive, study_rows, write_tables
from phasemap.figures.page import packed, report_html
from phasemap.figures.report import report_payload

GRID = {"corruption": {"start": 0.0, "stop": 0.6, "num": 7}, "weight_decay": [0, 5, 10, 20], "dropout": [0, 0.5, 0.9]}
ENDINGS = {3: "failed", 8: "diverged", 9: "missing", 16: "failed", 17: "failed", 40: "diverged", 41: "diverged"}


class Reader:
    """A page that is open in the browser, with everything that it said or asked for."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | options))
        self.page = self.context.new_page()
        self.heard, self.asked, self.alerts = [], [], []
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: (self.alerts.append(dialog.message), dialog.dismiss()))
        self.url = path.as_uri()
        self.page.goto(self.url)
        self.page.wait_for_selector(".cells rect")

    def cells(self, what):
        return self.page.eval_on_selector_all(".cells rect[data-point]", f"cells => cells.map(c => {what})")

    def fills(self):
        return self.cells("c.getAttribute('fill')")

    def marks(self):
        return self.cells("c.dataset.mark")

    def open(self, point):
        self.page.locator(f'.cells rect[data-point="{point}"]').click()
        self.page.wait_for_selector("#curves > *")

    def open_table(self):
        self.page.click("summary")
        self.page.wait_for_selector("#table td")

    def choose(self, **values):
        for name, value in values.items():
            self.page.select_option(f"#{name}", value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    study = study_of(
        name="mixed", axes=GRID, seeds=2, training={"steps": 300}, question="Where does it grok?",
        claims=["mean(test_accuracy) >= 0"],
    )  # fmt: skip
    folder = synthetic_run(
        study, tmp_path_factory.mktemp("mixed"), status=lambda n: ENDINGS.get(n, "ok"), error="out of memory"
    )
    write_tables(folder, derive(folder), curves=True)
    return pm.open_run(folder.path)


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    return run.report(tmp_path_factory.mktemp("report") / "mixed.html")


@pytest.fixture
def reader(browser, path):
    found = Reader(browser, path)
    yield found
    found.context.close()
    assert found.heard == []
    assert [url for url in found.asked if not url.startswith(("data:", "blob:"))] == [found.url]
    assert found.alerts == []


def test_the_picture_is_the_table_of_points(reader, run):
    assert reader.page.locator(".box").count() == 3  # dropout varies between panels
    points = run.points.reset_index(drop=True)
    states = points["subphase"].where(points["n_seeds"] > 0, None)
    states = states.where(points["n_seeds"] > 0, np.where(points["n_failed"] > 0, "failed", "diverged"))
    found = reader.cells("[Number(c.dataset.point), c.dataset.mark]")
    assert dict(map(tuple, found)) == states.to_dict()
    legend = reader.page.inner_text("#legend")
    for name, count in states.value_counts().items():
        assert f"{name.replace('_', ' ')} {count}" in legend
    assert "some seeds failed or diverged" in reader.page.inner_text("#frontiers")
    assert "frontier: test accuracy 0.9" in reader.page.inner_text("#frontiers")
    assert reader.page.locator("path.line-0").count() > 0


def test_a_click_on_a_cell_shows_its_curves_trials_and_how_to_train_them_again(reader, run):
    place = run.points.index[(run.points["subphase"] == "coexistence") & (run.points["n_seeds"] == 2)][0]
    reader.open(place)
    assert reader.page.locator("#curves path.curve").count() == 5
    assert reader.page.locator("#curves path.seed").count() == 10
    assert reader.page.locator("#curves path.time").count() >= 1
    row = run.points.loc[place]
    assert f"weight decay {row['weight_decay']:g}" in reader.page.inner_text("#cell-title")
    commands = reader.page.locator("#cell code").all_inner_texts()
    same = [run.trials[name] == row[name] for name in run.study.axis_names]
    ids = run.trials[np.logical_and.reduce(same)].sort_values("seed")["trial_id"]
    assert commands == [f"phasemap replay runs/mixed {trial_id}" for trial_id in ids]
    reader.choose(seed="1")
    assert reader.page.locator("#curves path.seed").count() == 0
    shown = f"{row['test_accuracy']:.3g}"
    assert re.search(rf"test accuracy\s+{shown} ±", reader.page.inner_text("#cell table.numbers"))
    reader.page.click(".shut")
    assert reader.page.locator("#cell").is_hidden()


def test_failed_diverged_and_missing_trials_are_named(reader):
    reader.open(8)  # both of its seeds, 16 and 17, failed
    assert "failed" in reader.page.inner_text("#cell")
    assert "out of memory" in reader.page.inner_text("#cell")
    assert "No curve was recorded here." in reader.page.inner_text("#curves")
    reader.open(20)  # both diverged: their curves end early
    assert reader.page.locator("#curves path.curve").count() >= 3
    reader.open(4)  # one seed diverged, one is missing
    assert "missing" in reader.page.inner_text("#cell")
    assert reader.page.inner_text("#card").count("out of memory") == 3


def test_choosers_change_the_picture(reader):
    before = reader.fills()
    reader.choose(metric="phase")
    assert reader.fills() != before
    assert set(reader.marks()) <= {"grokking", "memorization", "forgetting", "confusion", "failed", "diverged"}
    reader.choose(metric="test_accuracy")
    assert len(set(reader.fills())) >= 5
    assert not set(reader.fills()) <= set(before)
    assert "test accuracy: 0" in reader.page.inner_text("#legend")
    reader.choose(metric="subphase", x="weight_decay")  # the axes change places
    assert reader.page.input_value("#y") == "corruption"
    assert sorted(reader.fills()) == sorted(before)
    assert reader.fills() != before
    reader.choose(y="dropout", **{"hold-corruption": "2"})
    assert reader.page.inner_text("#shown").startswith("At corruption ")  # also in print, where no chooser says it
    assert reader.page.locator(".box").count() == 1
    assert len(reader.marks()) == 4 * 3
    reader.choose(**{"hold-corruption": "all"})
    assert reader.page.locator(".box").count() == 7


def test_the_slider_relabels(reader, run):
    from playwright.sync_api import expect

    end = reader.marks()
    reader.page.focus("#step")
    reader.page.keyboard.press("Home")
    expect(reader.page.locator("#step-words")).to_have_text("1")
    assert set(reader.marks()) == {"confusion", "failed", "diverged"}
    assert "at step 1" in reader.page.inner_text("#shown")
    reader.choose(metric="train_accuracy")
    expect(reader.page.locator("#legend")).to_contain_text("train accuracy")
    early = reader.fills()
    reader.page.focus("#step")
    reader.page.keyboard.press("End")
    expect(reader.page.locator("#step-words")).to_contain_text("the end")
    assert reader.fills() != early
    reader.choose(metric="train_loss")
    assert reader.page.locator("#step").is_disabled()
    reader.choose(metric="subphase")
    assert reader.marks() == end


def test_filters_fade_what_does_not_pass(reader, run):
    reader.choose(filter="test_accuracy")
    reader.page.fill("#filter-value", "0.9")
    wanted = int((run.points["test_accuracy"] >= 0.9).sum())
    assert 0 < wanted < 84
    assert reader.page.locator(".cells rect[data-point]:not(.faded)").count() == wanted
    assert f"{wanted} of 84 cells pass" in reader.page.inner_text("#shown")
    reader.choose(**{"filter-side": "most"})
    at_most = int((run.points["test_accuracy"] <= 0.9).sum())
    assert reader.page.locator(".cells rect[data-point]:not(.faded)").count() == at_most
    reader.choose(filter="none")
    reader.page.get_by_role("button", name="memorization").click()
    left = reader.page.locator(".cells rect[data-point]:not(.faded)").count()
    assert left == 84 - int((run.points["subphase"] == "memorization").sum())
    assert reader.page.get_by_role("button", name="memorization").get_attribute("aria-pressed") == "false"


def test_hovering_tells_every_quantity_with_its_spread(reader):
    reader.page.locator('.cells rect[data-point="3"]').hover()
    tip = reader.page.inner_text("#tip")
    for name in ("train accuracy", "test accuracy", "weight norm", "mean ipr", "corruption effective"):
        assert name in tip
    assert tip.count("±") >= 10


def test_the_keyboard_reaches_everything(reader):
    page = reader.page
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if seen[-1] == "study":
            break
    choosers = {"metric", "x", "y", "hold-dropout", "step", "filter", "filter-side", "filter-value"}
    assert choosers | {"box", "study"} <= set(seen)
    assert seen.count("box") == 3
    page.locator(".box").nth(1).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    said = page.inner_text("#said")
    assert "corruption 0.1, weight decay 10, dropout 0.5:" in said
    page.keyboard.press("Enter")
    page.wait_for_selector("#curves svg")
    assert page.evaluate("document.activeElement.id") == "cell"
    assert "corruption 0.1, weight decay 10, dropout 0.5" in page.inner_text("#cell-title")
    page.keyboard.press("Escape")
    assert page.locator("#cell").is_hidden()
    assert page.evaluate("document.activeElement.className") == "box"
    page.keyboard.press("ArrowLeft")
    assert "corruption 0, weight decay 10, dropout 0.5:" in page.inner_text("#said")


def test_the_table_says_what_the_picture_shows(reader, run):
    reader.open_table()
    cells = reader.page.locator("#table td").all_inner_texts()
    assert len(cells) == 84
    labelled = [text.split(" (")[0].replace(" ", "_") for text in cells]
    assert sorted(labelled) == sorted(reader.marks())


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_a_checker_of_accessibility_finds_nothing_serious(browser, path, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    reader = Reader(browser, path, viewport={"width": width, "height": 850}, color_scheme=scheme)
    reader.open(3)
    reader.open_table()
    found = Axe().run(reader.page).response["violations"]
    reader.context.close()
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([[v["id"], [n["html"][:200] for n in v["nodes"][:3]]] for v in serious], indent=1)


def test_a_phone_shows_everything_without_scrolling_sideways(browser, path):
    reader = Reader(browser, path, viewport={"width": 390, "height": 844}, has_touch=True)
    reader.open(3)
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert reader.page.locator("#cell").bounding_box()["width"] > 340
    reader.context.close()


def test_a_map_makes_room_for_an_open_cell_and_for_paper(browser, path):
    reader = Reader(browser, path)
    wide = reader.page.locator(".map").first.bounding_box()["width"]
    reader.open(3)
    map_box, cell = reader.page.locator(".map").first.bounding_box(), reader.page.locator("#cell").bounding_box()
    assert map_box["x"] + map_box["width"] <= cell["x"]
    reader.page.keyboard.press("Escape")
    reader.page.evaluate("document.body.style.width = '718px', dispatchEvent(new Event('beforeprint'))")
    edges = "[...document.querySelectorAll('.map')].map((map) => map.getBoundingClientRect().right)"
    paper = reader.page.evaluate("document.body.getBoundingClientRect().right")  # A4 between margins of a centimetre
    assert max(reader.page.evaluate(edges)) <= paper
    reader.page.evaluate("document.body.style.width = '', dispatchEvent(new Event('afterprint'))")
    assert reader.page.locator(".map").first.bounding_box()["width"] == wide
    reader.context.close()


def test_on_paper_there_are_no_choosers_and_the_ground_is_white(browser, path):
    reader = Reader(browser, path, color_scheme="dark")
    reader.page.emulate_media(media="print", color_scheme="dark")
    assert reader.page.locator("#controls").is_hidden()
    assert reader.page.locator(".box").first.is_visible()
    assert reader.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    reader.context.close()


def test_a_band_around_a_frontier_is_drawn_where_there_is_one(browser, run, tmp_path):
    content = report_payload(derive(run.folder), study_rows(run.folder, run.study))
    corners = np.asarray([[2000, 0], [4000, 0], [4500, 10000], [2500, 10000]], dtype=np.uint16)
    row = np.asarray([[0, len(content["steps"]) - 1, 0, 0, 4]], dtype=np.uint16)
    content["bands"] = {"pairs": content["frontiers"]["pairs"], "lines": packed(row), "vertices": packed(corners)}
    (tmp_path / "band.html").write_text(report_html(content))
    reader = Reader(browser, tmp_path / "band.html")
    assert reader.page.locator("path.band").count() == 1
    assert "its band" in reader.page.inner_text("#frontiers")
    reader.context.close()


def test_predicted_cells_are_told_from_measured_ones(browser, run, tmp_path):
    tables = derive(run.folder)
    tables.points["inferred"] = tables.points.index < 10
    tables.points["confidence"] = np.where(tables.points["inferred"], 0.75, np.nan)
    (tmp_path / "inferred.html").write_text(report_html(report_payload(tables, study_rows(run.folder, run.study))))
    reader = Reader(browser, tmp_path / "inferred.html")
    for metric, key in (
        ("train_accuracy", "hatched: predicted"),
        ("subphase", "light, hatched: predicted by the search; dots"),
    ):
        reader.page.select_option("#metric", metric)
        assert reader.page.locator("rect.inferred").count() == 10, metric
        assert key in reader.page.inner_text("#frontiers")
    reader.page.locator('.cells rect[data-point="0"]').hover()
    assert "predicted by the search with confidence 0.75, not measured" in reader.page.inner_text("#tip")
    reader.context.close()


def test_a_run_without_labels_whose_trials_all_failed_has_a_page(browser, tmp_path):
    @pm.program(quantities={"score": "accuracy", "cost": "number"})
    def bad(trial, *, width=1):
        raise ValueError("no luck")

    run = pm.run(bad, axes={"width": [1, 2]}, seeds=1, storage=tmp_path, in_process=True, quiet=True)
    found = Reader(browser, run.report(tmp_path / "bad.html"))
    assert found.cells("c.dataset.mark") == ["failed", "failed"]
    found.page.locator(".cells rect[data-point]").first.click()
    found.page.wait_for_selector("#curves p")
    assert "ValueError: no luck" in found.page.inner_text("#cell")
    assert found.page.inner_text("#curves") == "No curve was recorded here."
    found.context.close()
    assert found.heard == []


def test_curves_are_marked_at_their_last_step(browser, tmp_path):
    @pm.program(quantities={"score": "accuracy"})
    def five(trial, *, width=1):
        for epoch in trial.steps(5):
            trial.report(epoch, score=0.5)

    run = pm.run(five, axes={"width": [1, 2]}, seeds=1, storage=tmp_path, in_process=True, quiet=True)
    found = Reader(browser, run.report(tmp_path / "five.html"))
    found.page.locator(".cells rect[data-point]").first.click()
    found.page.wait_for_selector("#curves svg.curves")
    labels = found.page.locator("#curves .tick-label:not(.end)").all_text_contents()
    assert labels == ["1", "5"]
    found.context.close()


NASTY = (
    '</script><script>alert(1)</script><img src=x onerror=alert(2)>"\' onload=alert(3) x="'
    "\u202eltr\u2066 \u2028 {{script}} ${alert(4)} <!-- <script> ]]> &lt;b&gt; \\u003c"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose every text, from the study to the errors, tries to break out of the page."""
    root = tmp_path_factory.mktemp("hostile")
    files = []
    for number in range(2):
        name = f"{number}<img src=x onerror=alert({number})>\"'\u202e.npz"
        files.append(str(root / name))
        np.savez(files[-1], X=np.zeros((40, 2)), y=np.arange(40) % 4)
    axes = {"path": files, "corruption": [0, 0.3]}
    study = study_of(name="hostile", task={"kind": "arrays"}, axes=axes, question=NASTY + "W" * 10_000)
    folder = synthetic_run(study, root, status=lambda n: "failed" if n < 3 else "ok", error=NASTY + "E" * 10_000)
    write_tables(folder, derive(folder), curves=True)
    execution = {"n_trained": 8, "command": [NASTY], "versions": {NASTY: NASTY}, "study_hash": NASTY, "runner": NASTY,
                 "processor": NASTY, "platform": NASTY, "devices": [NASTY], "git": {"commit": NASTY, "changed": True},
                 "started": NASTY, "ended": NASTY, "outcome": NASTY, "core_hours": 1.0}  # fmt: skip
    folder.provenance.write_text(json.dumps([execution]))
    return pm.open_run(folder.path).report(root / "hostile.html")


def test_a_hostile_study_gives_a_harmless_report(browser, hostile):
    reader = Reader(browser, hostile)
    page = reader.page
    for place in range(4):
        page.locator(f'.cells rect[data-point="{place}"]').hover()
        reader.open(place)
    reader.open_table()
    reader.choose(metric="phase", x="corruption")
    page.wait_for_timeout(200)
    assert reader.alerts == []
    assert reader.heard == []
    assert [url for url in reader.asked if not url.startswith(("data:", "blob:"))] == [reader.url]
    assert page.locator("img, iframe, object, embed, base").count() == 0
    assert page.locator("script").count() == 2
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap(n => n.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert NASTY[:80] in page.text_content("#question")
    shown = re.sub("[\u202a-\u202e\u2066-\u2069]", lambda mark: rf"\u{ord(mark[0]):x}", NASTY)  # not obeyed
    assert shown + "W" * 10_000 in page.text_content("#card")
    reader.context.close()


def test_the_policy_allows_the_page_s_own_script_and_nothing_else(browser, path, tmp_path):
    text = path.read_text()
    assert "unsafe" not in text.partition("</head>")[0]
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</body>", "<script>document.title = 'broken'</script></body>"))
    reader = Reader(browser, changed)
    assert reader.page.title() == "mixed: phase diagram"
    assert any("Content Security Policy" in text for text in reader.heard)
    reader.context.close()


def test_a_map_of_20000_points_is_drawn(browser, tmp_path):
    axes = {"corruption": {"start": 0, "stop": 0.6, "num": 40}, "weight_decay": {"start": 0, "stop": 20, "num": 10}}
    study = study_of(name="wide", axes=axes, seeds=1, training={"steps": 20})
    folder = synthetic_run(study, tmp_path)
    content = report_payload(derive(folder), study_rows(folder, study))
    (tmp_path / "wide.html").write_text(report_html(_repeated(content, 50)))
    reader = Reader(browser, tmp_path / "wide.html")
    assert reader.page.locator(".cells rect[data-point]").count() == 20_000
    reader.context.close()
    shutil.rmtree(tmp_path)


def _repeated(content, times):
    """Make one axis of a payload so many times as long, with the same points again and again."""
    from unpacking import unpacked

    def again(block, rows=1):
        return packed(np.tile(unpacked(block).reshape(rows, -1), (1, times)))

    axis = content["axes"][0]
    n = len(axis["values"]) * times
    axis |= {
        "values": list(map(str, range(n))),
        "edges": np.linspace(0, 1, n + 1).tolist(),
        "middles": ((np.arange(n) + 0.5) / n).tolist(),
    }
    points, trials = content["points"], content["trials"]
    content["labels"] = again(content["labels"], len(content["steps"]))
    points |= {"counts": again(points["counts"], 3), "shares": again(points["shares"], 2)}
    points |= {name: again(points[name]) for name in ("wins", "inferred")}
    for quantity in points["quantities"]:
        quantity |= {name: again(quantity[name]) for name in ("codes", "spread_codes")}
    trials |= {"ids": again(trials["ids"]), "marks": again(trials["marks"])}
    trials["times"]["codes"] = again(trials["times"]["codes"], len(trials["times"]["names"]))
    return content
