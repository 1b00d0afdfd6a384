"""The pages in a real browser over a real service: log in, submit, watch, open a cell, compare, cancel."""

import re
import shutil
import signal

import forks
import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from processes import alive, wait_for
from services import Process, write_runs, write_tokens

import phasemap as pm
from phasemap.serving.queue import QueueFiles

STUDY = """name: watched
task: {kind: modular_addition, modulus: 11}
model: {width: 32}
training: {steps: 3000}
axes:
  corruption: [0, 0.2, 0.4]
  weight_decay: [0, 4]
fixed: {data_fraction: 0.7}
seeds: 2
resources: {pack_size: 2, max_concurrent: 1}
"""


RIGHT_TO_LEFT = "\u202e"
CHOSEN_TEXT = "[document.activeElement].map((e) => e.value.slice(e.selectionStart, e.selectionEnd))[0]"
PHONE = {"color_scheme": "dark", "viewport": {"width": 390, "height": 800}, "has_touch": True}
PAGES = {
    "/": ".run img",
    "/runs/grid": ".cells rect",
    "/runs/strange": ".cells rect",
    "/runs/scattered": "#maps img",
    "/compare?a=grid&b=other": "#found img",
    "/submit": "main p",
}


class Visitor:
    """A browser's page on a service, with everything that it said."""

    def __init__(self, browser, service, **options):
        self.context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | options))
        self.page = self.context.new_page()
        self.url, self.heard, self.alerts = service.url, [], []
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.alerts.append(dialog.message), dialog.accept()))

    def go(self, path):
        self.page.goto(self.url + path)

    def log_in(self, token="ann-has-a-token-of-some-length"):
        self.page.fill("#token", token)
        self.page.click("main button[type=submit]")

    def until(self, condition, seconds=60, what="the page"):
        """Wait for something to be true, while the page goes on; its policy forbids Playwright's own way."""
        return wait_for(lambda: condition() or self.page.wait_for_timeout(100), seconds, what)

    def state(self):
        return self.page.inner_text("#state")

    def run(self, name):
        """The job of a run, as its file says."""
        return QueueFiles(self.service.root).read()[name]

    def check_access(self):
        """Nothing that axe knows to keep people out."""
        found = Axe().run(self.page)
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found.response["violations"]] == []


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages") / "s"
    write_runs(root)
    write_imported(root)
    return root


def write_imported(root):
    """Write two sweeps made elsewhere: one of values that no page may obey, one whose points lie on no grid."""
    strange = ["<img src=x onerror=alert(1)>", f"a{RIGHT_TO_LEFT}b", "שלום", "日本語の正規化", "🧪" * 60]
    rows = [{"lr": lr, "norm": norm, "accuracy": 0.5} for lr in (0.01, 0.1) for norm in strange]
    kinds = {"quantities": {"accuracy": "accuracy"}}
    pm.sweeps.from_frame(pd.DataFrame(rows), ["lr", "norm"], run=root / "strange", **kinds)
    scattered = pd.DataFrame({"lr": np.geomspace(0.001, 1, 9), "wd": np.linspace(0, 1, 9) ** 2, "accuracy": 0.5})
    pm.sweeps.from_frame(scattered, ["lr", "wd"], run=root / "scattered", **kinds)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """What stands for Python where services and their runs are forked: the pages are tested, not their start."""
    return forks.write_shim(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def service(storage, shim):
    """A service for those who only look; started after the tests that start and kill one of their own."""
    started = Process(storage, "--token-file", write_tokens(storage.parent), shim=shim)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def ann(browser, service):
    """A visitor who has logged in once for several tests, as logins of one address are limited."""
    found = Visitor(browser, service)
    found.go("/login")
    found.log_in()
    found.page.wait_for_selector(".run img")
    yield found
    found.context.close()


@pytest.fixture
def visitor(browser, start_service, storage, shim):
    tokens = write_tokens(storage.parent)
    service = start_service("--token-file", tokens, "--cpus", "1", root=storage, shim=shim)
    found = Visitor(browser, service)
    found.service = service
    yield found
    found.context.close()
    assert [text for text in found.heard if not re.search(r"ERR_(CONNECTION|INCOMPLETE|NETWORK|EMPTY)", text)] == []
    assert [text for text in found.alerts if not text.startswith("Cancel long?")] == []


def test_a_study_is_submitted_watched_opened_compared_and_cancelled(visitor, storage):
    page = visitor.page
    visitor.go("/runs/grid")
    visitor.check_access()
    visitor.log_in()
    page.wait_for_selector(".cells rect")
    assert page.url.endswith("/runs/grid")
    assert page.inner_text("#state") == "interrupted"
    visitor.check_access()

    visitor.go("/submit")
    page.fill("#study", STUDY.replace("num", "x").replace("seeds: 2", "seeds: many"))
    page.wait_for_selector("#problems li")
    assert page.inner_text("#checked") == "1 mistake"
    assert page.is_disabled("#send")
    page.click("#problems button")
    assert page.evaluate(CHOSEN_TEXT) == "seeds: many"
    page.fill("#study", STUDY)
    page.wait_for_selector("#send:not([disabled])")
    assert page.inner_text("#checked") == "The study is valid: 6 points, 12 trials."
    visitor.check_access()
    page.click("#send")

    page.wait_for_url("**/runs/watched")
    page.wait_for_selector("#waiting:visible")
    assert page.is_hidden("#controls")  # nothing empty is shown before there is a map
    page.wait_for_selector(".cells rect", timeout=90_000)
    seen = set()

    def missing():
        page.wait_for_timeout(200)
        seen.add(page.locator('.cells rect[data-mark="missing"]').count())
        return min(seen)

    assert page.is_hidden("#waiting")
    wait_for(lambda: 0 < missing() < 6, what="the first cells")
    run = visitor.run("watched")
    visitor.service.process.send_signal(signal.SIGKILL)
    visitor.service.process.wait()
    page.wait_for_selector("#lost:visible")
    assert alive(run.pid)  # it goes on without the service
    visitor.service.start()
    page.wait_for_selector("#lost", state="hidden", timeout=20_000)
    wait_for(lambda: missing() == 0, seconds=120, what="the map to fill")
    assert len(seen) > 2  # it filled while one looked
    visitor.until(lambda: visitor.state() == "done")
    assert page.inner_text("#progress-words").startswith("12 of 12 trials; ")
    page.locator(".cells rect[data-point]").nth(3).click()
    page.wait_for_selector("#curves path.curve")
    page.click("#log summary")
    visitor.until(lambda: "12 trained, 0 reused" in page.inner_text("#log pre"))
    assert visitor.run("watched").attempts == 1
    visitor.check_access()

    visitor.go("/")
    page.wait_for_selector('[data-run="watched"] img')
    visitor.check_access()
    page.fill("#find", "grid")
    assert page.locator(".run:visible").count() == 1
    page.fill("#find", "")
    for name in ("grid", "other"):
        page.check(f'[data-run="{name}"] input')
    page.click("#compare")
    page.wait_for_selector("#found img")
    visitor.until(lambda: page.evaluate("document.querySelector('#found img').naturalWidth") > 300)
    assert re.match(r"(equal|changed|undecided)", page.inner_text("#verdict"))
    visitor.check_access()

    visitor.go("/submit")
    assert "my_study" in page.input_value("#study")  # what was sent is not offered again
    page.fill("#study", STUDY.replace("watched", "long").replace("steps: 3000", "steps: 400000"))
    page.wait_for_selector("#send:not([disabled])")
    page.click("#send")
    page.wait_for_selector("#cancel:not([hidden])")
    visitor.until(lambda: visitor.state() == "running")
    visitor.until((storage / "long" / "run.log").exists, 90)  # within the import of a library an interrupt may be lost
    page.click("#cancel")
    visitor.until(lambda: visitor.state() == "interrupted", 90)
    assert page.is_visible("#resume")
    assert not (storage / "long/lock.json").exists()


def test_pages_fit_a_phone_and_the_dark(browser, service):
    """By day and on a wide screen they are looked at above."""
    found = Visitor(browser, service, **PHONE)
    found.go("/login")
    found.log_in("eve-may-only-read-this-service")
    for path, there in PAGES.items():
        found.go(path)
        found.page.wait_for_selector(there)
        assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        found.check_access()
        assert found.page.evaluate("[...document.images].filter((i) => i.complete && !i.naturalWidth).length") == 0
    assert "lets you read, but not submit" in found.page.inner_text("main")
    found.context.close()
    assert found.heard == found.alerts == []


def test_a_run_s_page_has_its_name_before_any_script_ran_and_above_the_log(browser, service):
    found = Visitor(browser, service)
    found.go("/login")
    found.log_in()
    path = next(path for path in PAGES if path.startswith("/runs/"))
    page = found.page.request.get(found.url + path).text()
    name = path.removeprefix("/runs/")
    assert 0 < page.index(f'<h1 id="name">{name}</h1>') < page.index('id="status"') < page.index('id="log"')
    found.context.close()


def test_failed_trials_are_named_once_and_a_run_that_leaves_says_so(ann, storage):
    shutil.copytree(storage / "grid", storage / "leaving")
    ann.go("/")
    ann.page.wait_for_selector('[data-run="leaving"]')
    ann.go("/runs/leaving")
    ann.page.wait_for_selector("#log")
    ann.page.wait_for_selector(".cells rect")
    ann.page.wait_for_timeout(1000)
    assert ann.page.locator("text=Failed trials").filter(visible=True).count() == 1
    assert ann.page.is_hidden("#resume")  # its folder has another name than its study
    shutil.rmtree(storage / "leaving")
    ann.page.wait_for_selector("#lost:visible")
    assert ann.page.inner_text("#lost") == "There is no run leaving any more: its folder was moved or deleted."
    ann.check_access()
    ann.go("/runs/leaving")
    assert "there is no run leaving" in ann.page.inner_text("main")
    ann.check_access()
    assert ann.alerts == []


def test_what_was_typed_outlives_a_session_that_ends_and_a_reload(ann):
    ann.go("/submit")
    ann.page.wait_for_selector("#send:not([disabled])")
    ann.context.clear_cookies()
    ann.page.fill("#study", STUDY)
    ann.page.wait_for_url("**/login?next=%2Fsubmit")
    ann.log_in()
    ann.page.wait_for_selector("#send:not([disabled])")
    assert ann.page.input_value("#study") == STUDY
    ann.page.reload()
    assert ann.page.input_value("#study") == STUDY


def test_a_list_loses_a_run_that_leaves_and_a_damaged_one_says_once_why(ann, storage):
    for name in ("leaving", "damaged"):
        shutil.copytree(storage / "other", storage / name)
    (storage / "damaged/study.yaml").write_text("name: [")
    ann.go("/")
    ann.page.wait_for_selector('[data-run="leaving"]')
    shutil.rmtree(storage / "leaving")
    ann.page.wait_for_selector('[data-run="leaving"]', state="detached")
    ann.go("/runs/damaged")
    ann.page.wait_for_selector("#state:text('failed')")
    assert ann.page.locator("text=not valid YAML").filter(visible=True).count() == 1
    assert ann.page.is_hidden("#waiting")
    shutil.rmtree(storage / "damaged")


def test_values_of_any_letters_are_text_that_is_cut_between_letters_and_turns_nothing_round(browser, service):
    found = Visitor(browser, service)
    found.go("/login")
    found.log_in()
    found.page.wait_for_selector(".run img")
    found.go("/runs/strange")
    found.page.wait_for_selector(".cells rect")
    found.page.click("#table summary")
    found.page.wait_for_selector("#table td")
    words = found.page.evaluate("document.body.textContent")
    assert "<img src=x onerror=alert(1)>" in words
    assert "\\u202e" in words
    assert RIGHT_TO_LEFT not in words
    assert "🧪…" in words
    assert "\ufffd" not in found.page.evaluate(
        "new TextDecoder().decode(new TextEncoder().encode(document.body.textContent))"
    )
    assert found.page.inner_text("#diagram-title") == "Map"
    assert "unlabelled" not in found.page.inner_text("#legend")
    found.context.close()
    assert found.heard == found.alerts == []


def test_a_comparison_has_its_maps_below_one_another_on_a_phone_and_no_empty_columns(browser, service):
    shapes = []
    for width in (1200, 390):
        found = Visitor(browser, service, viewport={"width": width, "height": 800})
        found.go("/login")
        found.log_in()
        found.page.wait_for_selector(".run img")
        found.go("/compare?a=grid&b=other")
        found.page.wait_for_selector("#found img")
        found.until(lambda page=found.page: page.evaluate("document.querySelector('#found img').naturalWidth"))
        wide, high = found.page.evaluate(
            "(({naturalWidth: w, naturalHeight: h}) => [w, h])(document.querySelector('#found img'))"
        )
        shapes.append(wide / high)
        columns = found.page.evaluate(
            "[...document.querySelectorAll('#found table')].map((t) => [...t.rows[0].cells].map((_, i) => "
            "[...t.tBodies[0].rows].every((r) => r.cells[i].textContent === '–'))).flat()"
        )
        assert not any(columns)
        found.context.close()
    assert shapes[1] < shapes[0] / 2


def test_a_comparison_with_no_run_says_so(ann):
    ann.go("/compare?a=grid&b=nothing")
    ann.page.wait_for_selector("#problem:visible")
    assert ann.page.inner_text("#problem") == "There is no run nothing."


def test_the_api_is_described_without_asking_another_site_and_in_the_dark(browser, service):
    found = Visitor(browser, service, color_scheme="dark")
    found.go("/login")
    found.log_in()
    found.page.wait_for_selector(".run img")
    asked = []
    found.page.on("request", lambda request: asked.append(request.url))
    found.go("/docs")
    found.page.wait_for_selector('.opblock:has-text("/points")')
    assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(25, 25, 25)"
    assert "invert" in found.page.evaluate("getComputedStyle(document.querySelector('#swagger')).filter")
    ill = [v["id"] for v in Axe().run(found.page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert ill in ([], ["nested-interactive"])  # Swagger UI's own buttons
    found.context.close()
    assert all(url.startswith((found.url, "data:")) for url in asked)
    assert found.heard == []
