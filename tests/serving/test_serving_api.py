"""The API over finished runs: what the command line knows, a program gets."""

import json
import math
import re
import zipfile
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import SMALL, study_of
from services import ANN, EVE, HOSTILE, YAML, write_runs
from synthetic import synthetic_run
from unpacking import unpacked

import phasemap as pm
from phasemap.cli import cli
from phasemap.phases.marks import MARKS
from phasemap.study.names import QUANTITIES
from phasemap.study.writing import study_content

API = "/api/v1"


def test_runs_are_listed_with_their_counts(client, runs):
    found = client.get(f"{API}/runs", headers=EVE).json()
    assert found["n_runs"] == 2
    by_name = {run["name"]: run for run in found["runs"]}
    grid, trials = by_name["grid"], pm.open_run(runs / "grid").trials
    assert grid["n_trials"] == 96
    assert grid["n_done"] == trials["status"].isin(["ok", "diverged"]).sum() == 94
    assert (grid["n_failed"], grid["n_diverged"]) == (1, 1)
    assert grid["phase_counts"] == trials["phase"].dropna().value_counts().to_dict()
    assert grid["question"] == HOSTILE
    assert client.get(f"{API}/runs?offset=1&limit=1", headers=EVE).json()["runs"] == found["runs"][1:]


def test_a_search_counts_the_trials_that_it_may_train_and_not_its_grid(serve, tmp_path):
    axes = {"corruption": [i / 10 for i in range(8)], "weight_decay": [0, 1, 2, 4, 8]}
    study = study_of(name="searched", axes=axes, seeds=2, search={"kind": "boundary", "budget": 30})
    synthetic_run(study, tmp_path, status=lambda number: "missing" if number % 4 else "ok")
    found = serve(tmp_path).get(f"{API}/runs/searched", headers=EVE).json()["summary"]
    assert (found["n_trials"], found["n_done"], found["searched"], found["scattered"]) == (30, 20, True, False)


def test_trials_that_were_stopped_in_their_sweep_are_counted(serve, tmp_path):
    table = pd.DataFrame({"lr": [0.1, 0.2, 0.3], "accuracy": 0.5, "state": ["finished", "stopped", "failed"]})
    pm.sweeps.from_frame(table, ["lr"], run=tmp_path / "sweep", quantities={"accuracy": "accuracy"})
    found = serve(tmp_path).get(f"{API}/runs/sweep", headers=EVE).json()["summary"]
    assert (found["n_done"], found["n_stopped"], found["n_failed"], found["n_trials"]) == (1, 1, 1, 3)


def test_a_run_that_no_command_can_continue_is_not_resumed_and_stays_as_it_is(serve, tmp_path):
    table = pd.DataFrame({"lr": [0.1, 0.2], "accuracy": 0.5, "state": ["finished", "failed"]})
    pm.sweeps.from_frame(table, ["lr"], run=tmp_path / "sweep", quantities={"accuracy": "accuracy"})

    @pm.program(quantities={"accuracy": "accuracy"})
    def given(trial, *, width=1):
        trial.report(0, accuracy=0.5)

    pm.run(given, axes={"width": [1, 2]}, storage=tmp_path, in_process=True, quiet=True)
    synthetic_run(study_of(name="small"), tmp_path, status=lambda number: "missing" if number else "ok")
    (tmp_path / "small").rename(tmp_path / "copy")
    client = serve(tmp_path)
    before = {run["name"]: run for run in client.get(f"{API}/runs", headers=EVE).json()["runs"]}
    reasons = {
        "sweep": "was imported without the code that trained it; allowed: phasemap import with --program",
        "given": "was given as a function; allowed: pm.run with that function",
        "copy": "copy holds a run of the study small; allowed: give its folder that name",
    }
    for name, reason in reasons.items():
        assert not before[name]["resumable"]
        told = client.post(f"{API}/runs/{name}/resume", headers=ANN)
        assert (told.status_code, reason in told.json()["error"]) == (409, True), told.json()
        assert client.get(f"{API}/runs/{name}", headers=EVE).json()["summary"] == before[name]


def test_a_page_of_no_run_says_so_to_people_and_programs_and_only_to_those_who_may_read(client):
    browser = {"accept": "text/html,*/*"}
    for path in ("/runs/nothing", "/nothing"):
        assert set(client.get(path, headers=EVE).json()) == {"error", "problems"}
        page = client.get(path, headers={**EVE, **browser})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert '<a href="/">All runs</a>' in page.text
    assert "there is no run nothing" in client.get("/runs/nothing", headers={**EVE, **browser}).text
    asked = client.get("/runs/nothing", headers=browser, follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fruns%2Fnothing")


def test_points_on_no_grid_have_a_picture_and_a_thumbnail_with_a_dot_each(serve, tmp_path):
    table = pd.DataFrame(
        {"lr": np.geomspace(1e-3, 1, 7), "wd": [1, 3, 2, 5, 4, 7, 6], "accuracy": np.linspace(0, 1, 7)}
    )
    pm.sweeps.from_frame(table, ["lr", "wd"], run=tmp_path / "sweep", quantities={"accuracy": "accuracy"})
    client = serve(tmp_path)
    assert client.get(f"{API}/runs/sweep", headers=EVE).json()["summary"]["scattered"] is True
    thumbnail = client.get(f"{API}/runs/sweep/thumbnail.svg", headers=EVE)
    assert thumbnail.text.count("<circle") == 7
    across = [float(x) for x in re.findall(r'cx="([0-9.]+)"', thumbnail.text)]
    assert np.ptp(np.diff(sorted(across))) < 0.2  # evenly spaced on a logarithmic axis
    assert client.get(f"{API}/runs/sweep/diagram.svg", headers=EVE).status_code == 200


def test_a_run_has_its_study_and_failures(client):
    found = client.get(f"{API}/runs/grid", headers=EVE).json()
    assert found["study"]["axes"]["weight_decay"] == [0, 5, 10, 20]
    assert "weight_decay: [0.0, 5.0, 10.0, 20.0]" in found["study_file"]
    assert [failure["error"] for failure in found["failures"]] == [f"out of memory {HOSTILE}"]


@pytest.mark.parametrize("table", ["points", "trials"])
def test_pages_of_a_table_put_together_are_the_table(client, runs, table):
    frame = getattr(pm.open_run(runs / "grid"), table)
    rows = []
    for offset in range(0, len(frame) + 20, 20):
        page = client.get(f"{API}/runs/grid/{table}?offset={offset}&limit=20", headers=EVE).json()
        assert page["n_rows"] == len(frame)
        rows += page["rows"]
    assert rows == json.loads(frame.to_json(orient="records", double_precision=15))


def test_trials_are_chosen_by_status_and_label(client, runs):
    trials = pm.open_run(runs / "grid").trials
    for query, wanted in (
        ("status=failed", trials["status"] == "failed"),
        ("phase=memorization", trials["phase"] == "memorization"),
        ("phase=coexistence", trials["subphase"] == "coexistence"),
    ):
        page = client.get(f"{API}/runs/grid/trials?limit=1000&{query}", headers=EVE).json()
        assert [row["trial_id"] for row in page["rows"]] == trials.loc[wanted, "trial_id"].tolist()


def test_a_trials_curve_is_the_runs_curve(client, runs):
    run = pm.open_run(runs / "grid")
    trial_id = run.trials.loc[run.trials["status"] == "ok", "trial_id"].iloc[7]
    found = client.get(f"{API}/runs/grid/trials/{trial_id}/curve", headers=EVE).json()
    rows = run.curves[run.curves["trial_id"] == trial_id]
    assert found["step"] == rows["step"].tolist()
    for name in QUANTITIES:
        sent = [math.nan if value is None else value for value in found["quantities"][name]]
        np.testing.assert_array_equal(sent, rows[name].to_numpy(dtype=float))


def test_a_client_that_has_the_newest_table_gets_no_other(client):
    first = client.get(f"{API}/runs/grid/points", headers=EVE)
    again = client.get(f"{API}/runs/grid/points", headers={**EVE, "if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_pictures_come_in_every_format_and_say_what_is_allowed(client):
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for ending, start in starts.items():
        found = client.get(f"{API}/runs/grid/diagram.{ending}?fix=activation=relu", headers=EVE)
        assert found.status_code == 200
        assert found.content.startswith(start)
    data = client.get(
        f"{API}/runs/grid/diagram.json?x=weight_decay&y=corruption&metric=test_accuracy", headers=EVE
    ).json()
    assert [panel["title"] for panel in data["panels"]] == ["activation square", "activation relu"]
    assert np.shape(data["panels"][0]["values"]) == (4, 4)
    wrong = client.get(f"{API}/runs/grid/diagram.png?fix=activation=tanh", headers=EVE)
    assert wrong.status_code == 422
    assert "tanh" in wrong.json()["error"]
    wrong = client.get(f"{API}/runs/grid/diagram.png?metric=beauty", headers=EVE)
    assert "--metric beauty is unknown; allowed:" in wrong.json()["error"]


def test_the_small_picture_has_the_colours_of_the_first_panel(client, runs):
    text = client.get(f"{API}/runs/grid/thumbnail.svg", headers=EVE).text
    points = pm.open_run(runs / "grid").points
    labels = points.loc[points["activation"] == "square", "subphase"].dropna().unique()
    for label in labels:
        assert MARKS[label].colour in text
    assert len(text) < 3000


def test_report_and_bundle_are_downloads(client, runs, tmp_path):
    report = client.get(f"{API}/runs/grid/report", headers=EVE)
    assert report.headers["content-disposition"] == 'attachment; filename="grid.html"'
    assert report.text == pm.open_run(runs / "grid").report(tmp_path / "r.html").read_text()
    bundle = client.get(f"{API}/runs/grid/bundle", headers=EVE)
    assert {"study.yaml", "points.parquet", "report.html", "SHA256SUMS"} <= set(
        zipfile.ZipFile(BytesIO(bundle.content)).namelist()
    )


def test_a_comparison_is_the_command_lines(client, runs):
    found = client.get(f"{API}/diff?a=grid&b=other", headers=EVE).json()
    done = CliRunner().invoke(cli, ["diff", "grid", "other", "--storage", str(runs), "--json"])
    printed = json.loads(done.stdout)
    assert found == {key: value for key, value in printed.items() if key != "file"}
    assert client.get(f"{API}/diff.svg?a=grid&b=other", headers=EVE).content.startswith(b"<?xml")


def test_the_pages_map_is_a_reports_content(client, runs):
    found = client.get(f"{API}/runs/grid/map", headers=EVE).json()
    assert len(unpacked(found["labels"])) == 32 * len(found["steps"])
    assert found["curves"]["grids"]


def test_mistakes_in_a_study_are_those_of_the_command_line(client, tmp_path):
    bad = SMALL.replace("width: 16", "width: -1, widht: 3").replace("seeds: 2", "seeds: none")
    (tmp_path / "study").write_text(bad)
    printed = CliRunner().invoke(cli, ["plan", str(tmp_path / "study")]).stderr
    for path in ("/studies", "/studies/plan"):
        found = client.post(f"{API}{path}", content=bad, headers={**ANN, **YAML})
        assert found.status_code == 422
        problems = found.json()["problems"]
        assert "\n".join(problem["text"] for problem in problems).replace("(study:", f"({tmp_path}/study:") in printed
        assert [problem["line"] for problem in problems] == [4, 4, 10]
    checked = client.post(f"{API}/studies/validate", content=bad, headers={**ANN, **YAML}).json()
    assert (checked["valid"], checked["problems"]) == (False, problems)


def test_a_valid_study_is_told_its_size_and_what_it_changes(client, runs):
    wider = pm.open_run(runs / "grid").study.model_copy(update={"seeds": (0, 1, 2, 3)})
    text = json.dumps(study_content(wider))
    found = client.post(
        f"{API}/studies/validate", content=text, headers={**ANN, "content-type": "application/json"}
    ).json()
    assert (found["valid"], found["n_points"], found["n_trials"]) == (True, 32, 128)
    assert found["changes"] == ["seeds: added 3"]
    another = study_content(wider)
    another["training"]["steps"] = 500
    found = client.post(f"{API}/studies/validate", json=another, headers=ANN).json()
    assert "training.steps: was 300, is now 500" in found["conflict"]
    assert client.post(f"{API}/studies", json=another, headers=ANN).status_code == 409


def test_a_plan_is_measured(client):
    found = client.post(f"{API}/studies/plan", content=SMALL, headers={**ANN, **YAML}).json()
    assert (found["n_trials"], found["n_reused"]) == (8, 0)
    assert found["wall_seconds"] > 0


def test_unknown_runs_and_trials_are_not_found(client):
    for path in ("/runs/nothing", "/runs/nothing/points", "/runs/nothing/events", "/runs/grid/trials/abcdef/curve"):
        found = client.get(f"{API}{path}", headers=EVE)
        assert found.status_code == 404, path
        assert found.json()["error"]


def test_health_readiness_and_metrics(client):
    assert client.get(f"{API}/healthz").json()["status"] == "ok"
    assert client.get(f"{API}/readyz").json() == {"status": "ok", "version": pm.__version__, "problem": None}
    client.get(f"{API}/runs/grid/points", headers=EVE)
    text = client.get("/metrics", headers=EVE).text
    assert 'phasemap_requests_total{method="GET",route="/api/v1/runs/{name}/points",status="200"} 1.0' in text
    assert 'phasemap_runs{state="interrupted"} 2.0' in text
    assert client.get("/metrics").status_code == 401


def test_a_damaged_table_is_made_again_from_the_shards_and_hides_nothing(serve, tmp_path):
    write_runs(tmp_path / "s")
    for name in ("trials", "points"):
        path = tmp_path / "s/other" / f"{name}.parquet"
        path.write_bytes(path.read_bytes()[:1000])
    client = serve(tmp_path / "s")
    found = client.get(f"{API}/runs", headers=EVE).json()["runs"]
    assert {run["name"]: run["n_done"] for run in found} == {"grid": 94, "other": 72}
    assert client.get(f"{API}/runs/other/points", headers=EVE).json()["n_rows"] == 24


def test_one_damaged_run_does_not_hide_the_others(serve, tmp_path):
    write_runs(tmp_path / "s")
    (tmp_path / "s/other/study.yaml").write_text("name: [")
    found = serve(tmp_path / "s").get(f"{API}/runs", headers=EVE).json()["runs"]
    assert {run["name"]: run["state"] for run in found} == {"grid": "interrupted", "other": "failed"}
