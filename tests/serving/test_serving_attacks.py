"""Attacks that were tried, and what happens: docs/service.md has the table."""

import asyncio
import json
import os
import socket
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from conftest import SMALL
from services import ANN, EVE, HOSTILE, OLD, YAML

from phasemap.serving import server, service
from phasemap.serving.service import BODY_BYTES, Settings
from phasemap.serving.tokens import Caller, TokenFile, read_tokens
from phasemap.study.errors import UserError

API = "/api/v1"
READS = ("/runs", "/runs/grid", "/runs/grid/points", "/runs/grid/map", "/runs/grid/report", "/diff?a=grid&b=other")
CHANGES = ("/studies", "/studies/validate", "/studies/plan", "/runs/grid/cancel", "/runs/grid/resume")


# --- tokens and scopes


@pytest.mark.parametrize(
    "headers", [{}, OLD, {"authorization": "Bearer wrong"}, {"authorization": "Basic YW5uOmFubg=="}]
)
def test_nobody_gets_in_with_a_missing_wrong_or_expired_token(client, headers):
    for path in READS:
        found = client.get(API + path, headers=headers)
        assert (found.status_code, found.headers["www-authenticate"]) == (401, "Bearer")
    for path in CHANGES:
        assert client.post(API + path, headers={**headers, **YAML}, content=SMALL).status_code == 401
    assert client.get("/", headers=headers, follow_redirects=False).headers["location"] == "/login?next=%2F"


def test_who_may_only_read_can_change_nothing(client, runs):
    for path in CHANGES:
        found = client.post(API + path, headers={**EVE, **YAML}, content=SMALL)
        assert found.status_code == 403
        assert found.json()["error"] == "the token of eve has no scope submit"
    assert not (runs / "small").exists()


def test_a_token_that_is_taken_away_ends_its_sessions_too(serve, runs, tmp_path):
    client = serve(runs)
    client.post("/login", data={"token": "ann-has-a-token-of-some-length"})
    assert client.get(f"{API}/runs").status_code == 200
    path = tmp_path / "tokens.yaml"
    path.write_text(path.read_text().replace("ann-has-a-token-of-some-length", "ann-has-another-token-from-now-on"))
    assert client.get(f"{API}/runs").status_code == 401
    assert client.get(f"{API}/runs", headers=ANN).status_code == 401
    assert client.get(f"{API}/runs", headers=EVE).status_code == 200


def test_a_damaged_token_file_lets_nobody_in(serve, runs, tmp_path):
    client = serve(runs)
    path = tmp_path / "tokens.yaml"
    path.write_text("- {name: ann}")
    assert client.get(f"{API}/runs", headers=ANN).status_code == 401
    assert client.get(f"{API}/readyz").json()["problem"] == "the token file can't be used"


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("- {name: a, token: 123456789012345678901234}", 0o640, "has the mode 0640; allowed: 0600"),
        ("- {name: a, token: short-secret}", 0o600, "0.token: String should have at least 24 characters"),
        ("- {name: a, token: aaaaaaaaaaaaaaaaaaaaaaaaa, scopes: [all]}", 0o600, "0.scopes.0"),
        ("name: [", 0o600, "is not YAML"),
        ("[]", 0o600, "at least 1 item"),
        ("- &a {name: a, token: aaaaaaaaaaaaaaaaaaaaaaaaa}\n- *a", 0o600, "has a name twice"),
    ],
)
def test_a_token_file_that_is_not_allowed_says_why_and_tells_no_token(tmp_path, text, mode, message):
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(UserError, match="--token-file") as caught:
        read_tokens(path)
    assert message in str(caught.value)
    assert "short-secret" not in str(caught.value)


def test_a_token_ends_at_its_time(tmp_path):
    path = tmp_path / "tokens"
    for hours, there in ((1, True), (-1, False)):
        ends = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
        path.write_text(f"- {{name: a, token: {'a' * 30}, expires: '{ends}'}}")
        path.chmod(0o600)
        assert (TokenFile(path).bearer("a" * 30) is not None) == there


def test_without_tokens_only_this_machine_is_served(serve, tmp_path):
    with pytest.raises(UserError, match="needed: --token-file"):
        Settings(root=tmp_path, host="0.0.0.0").check()
    client = serve(tmp_path, tokens=False)
    assert client.get(f"{API}/runs").status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1:8077", ""):
        assert client.get(f"{API}/runs", headers={"host": host}).status_code == 400, host


# --- pages of other sites


def log_in(client, token="ann-has-a-token-of-some-length"):
    done = client.post("/login", data={"token": token, "next": "/runs/grid"}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/runs/grid")
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    page = client.get("/submit").text
    return page.partition('name="csrf" content="')[2].partition('"')[0]


def test_another_sites_page_can_change_nothing(client, runs):
    csrf = log_in(client)
    path = f"{API}/runs/grid/resume"
    assert client.post(path).status_code == 403  # the cookie alone is not enough
    assert client.post(path, headers={"x-csrf-token": "x" * len(csrf)}).status_code == 403
    for header in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        found = client.post(path, headers={"x-csrf-token": csrf, **header})
        assert (found.status_code, found.json()["error"]) == (403, "the request came from a page of another site")
        assert client.post("/login", data={"token": "x"}, headers=header).status_code == 403
    ours = {"x-csrf-token": csrf, "origin": "http://127.0.0.1:8077", "sec-fetch-site": "same-origin", **YAML}
    assert client.post(f"{API}/studies/validate", content=SMALL, headers=ours).status_code == 200


def test_without_tokens_another_sites_page_can_change_nothing_either(serve, tmp_path):
    client = serve(tmp_path, tokens=False)
    evil = {"origin": "https://evil.example", **YAML}
    assert client.post(f"{API}/studies", content=SMALL, headers=evil).status_code == 403
    assert client.get(f"{API}/runs").json()["n_runs"] == 0


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_a_login_leads_to_pages_of_this_service_only(client, there):
    done = client.post(
        "/login", data={"token": "eve-may-only-read-this-service", "next": there}, follow_redirects=False
    )
    assert done.headers["location"] == "/"


def test_logins_are_slow_to_guess(client):
    codes = [client.post("/login", data={"token": f"guess-{i}"}).status_code for i in range(12)]
    assert codes == [401] * 10 + [429] * 2


def test_a_forged_session_is_none(client, runs, tmp_path):
    mine = TokenFile(tmp_path / "tokens.yaml").start_session(Caller(name="eve", scopes=frozenset()))
    for forged in ("ann", mine.replace("eve", "ann"), mine[:-1], "ann::", "\x00"):
        assert client.get(f"{API}/runs", headers={"cookie": f"phasemap_session={forged}"}).status_code == 401


# --- names and paths


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "..%2f..%2fetc",
        "%2fetc%2fpasswd",
        ".serve",
        "grid%00",
        "grid%0a",
        "a" * 65,
        "grid.old-1",
        "~",
        "grid/../.serve",
    ],
)
def test_no_name_leads_out_of_the_storage(client, runs, name):
    for ending in ("", "/points", "/map", "/log", "/diagram.png", "/report", "/bundle"):
        found = client.get(f"{API}/runs/{name}{ending}", headers=EVE)
        assert found.status_code in (404, 422), (name, ending)
    assert client.post(f"{API}/runs/{name}/resume", headers=ANN).status_code in (404, 405, 422)


@pytest.mark.parametrize("name", ["..", "../x", "/tmp/x", ".serve", "a b", "a\nb", ""])
def test_a_study_can_not_be_named_like_a_path(client, runs, name):
    before = sorted(runs.parent.rglob("*"))
    text = SMALL.replace("name: small", f"name: {json.dumps(name)}")
    assert client.post(f"{API}/studies", content=text, headers={**ANN, **YAML}).status_code == 422
    assert sorted(runs.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: modular_addition, modulus: 7", "kind: arrays, path: /etc/passwd"),
        ("modulus: 7", "modulus: 7, corruption_kind: asymmetric, matrix: /etc/passwd"),
        ("corruption: [0, 0.3]", "matrix: [/etc/passwd, /etc/shadow]"),
        ("{kind: modular_addition, modulus: 7}", "{kind: arrays}\nfixed: {}"),
        ("corruption: [0, 0.3]", "path: [/proc/self/environ]"),
    ],
)  # fmt: skip
def test_a_study_can_name_no_file_of_the_machine(client, old, new):
    text = SMALL.replace(old, new)
    assert text != SMALL
    found = client.post(f"{API}/studies/validate", content=text, headers={**ANN, **YAML}).json()
    assert found["valid"] is False
    assert "root:" not in json.dumps(found)
    if "/" in new:
        assert any("names a file, which a study sent to a service can't" in p["message"] for p in found["problems"])
        ways = {p["path"].split(".")[-1]: p["message"].partition("allowed: ")[2] for p in found["problems"]}
        assert ways.get("path", "another kind of task") == "another kind of task"


@pytest.mark.parametrize("address", ["validate", "plan", ""])
@pytest.mark.parametrize(
    "code",
    [
        "program: /tmp/mine.py:train",
        "program: train.py:train",
        "program: os:system",
        "task: {kind: load.py:rows}",
        "task: {kind: modular_addition}\nmodel: {kind: nets.py:Net}",
        "task: {kind: modular_addition}\ntraining: {optimizer: torch.optim:NAdam}",
        "task: {kind: modular_addition}\ntraining: {loss: losses.py:mine}",
    ],
)
def test_a_study_can_bring_no_code_and_name_no_module_that_the_service_was_not_given(client, runs, address, code):
    text = f"name: brought\n{code}\naxes: {{corruption: [0, 0.3]}}\n"
    found = client.post(f"{API}/studies/{address}".rstrip("/"), content=text, headers={**ANN, **YAML})
    assert found.status_code == (200 if address == "validate" else 422)
    assert "would run code of a study that was sent; allowed: a module that the service was started with" in found.text
    assert not (runs / "brought").exists()


# --- bodies


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BODIES = {
    "aliases": (ALIASES, 422),
    "a list in itself": ("a: &a [*a]", 422),
    "nested flow": ("[" * 5000, 422),
    "nested JSON": ("[" * 5000, 422),
    "a Python object": ("!!python/object/apply:os.system ['touch /tmp/phasemap-was-here']", 422),
    "not text": (b"\xff\xfe\x00", 422),
    "nothing": ("", 422),
    "very many trials": (SMALL.replace("seeds: 2", "seeds: 99999"), 422),
    "a range without end": (SMALL.replace("[0, 2]", "{start: 0, stop: 1, num: 1000000000}"), 422),
    "too large": ("#" * (BODY_BYTES + 1), 413),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_hostile_study_is_refused(client, what):
    """Unfolded, or expanded to its trials, some would fill the memory."""
    body, status = BODIES[what]
    kind = {"content-type": "application/json"} if "JSON" in what else YAML
    found = client.post(f"{API}/studies", content=body, headers={**ANN, **kind})
    assert found.status_code == status
    assert found.json()["error"]
    assert not os.path.exists("/tmp/phasemap-was-here")  # noqa: PTH110


def test_a_key_given_twice_in_json_is_a_mistake(client):
    found = client.post(
        f"{API}/studies", content='{"name": "a", "name": "b"}', headers={**ANN, "content-type": "application/json"}
    )
    assert "the key 'name' is given twice" in found.json()["error"]


def test_only_yaml_and_json_are_read(client):
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/html", "application/x-pickle", ""):
        assert client.post(f"{API}/studies", content=SMALL, headers={**ANN, "content-type": kind}).status_code == 415


def test_who_asks_too_often_waits(serve, runs, monkeypatch):
    monkeypatch.setitem(service.LIMITS, "read", "5/minute")
    client = serve(runs)
    codes = [client.get(f"{API}/runs", headers=EVE).status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    assert client.get(f"{API}/runs", headers=ANN).status_code == 200  # another caller has a count of its own


# --- answers


def test_every_answer_carries_its_headers(client):
    page = client.get("/login")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    for path in (
        "/login",
        f"{API}/runs",
        f"{API}/healthz",
        "/nowhere",
        "/static/page/api.js",
        f"{API}/runs/grid/diagram.svg",
    ):
        headers = client.get(path, headers=EVE).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    assert "sandbox" in client.get(f"{API}/runs/grid/report", headers=EVE).headers["content-security-policy"]


def test_pages_hold_no_inline_script_and_no_free_text(client):
    log_in(client)
    for path in ("/", "/runs/grid", "/compare", "/submit", "/docs"):
        text = client.get(path).text
        assert HOSTILE[:10] not in text
        assert all(" src=" in tag.partition(">")[0] for tag in text.split("<script")[1:]), path
        assert "onclick" not in text
        assert "style=" not in text


def test_who_did_what_is_written_down(serve, tmp_path):
    client = serve(tmp_path / "s")
    client.post(f"{API}/studies", content=SMALL, headers={**ANN, **YAML})
    client.post(f"{API}/runs/small/cancel", headers=ANN)
    client.post("/login", data={"token": "wrong"})
    lines = [json.loads(line) for line in (tmp_path / "s/.serve/audit.jsonl").read_text().splitlines()]
    assert [(line["who"], line["action"], line.get("run")) for line in lines] == [
        ("ann", "submit", "small"), ("ann", "cancel", "small"), (None, "login", None),
    ]  # fmt: skip
    assert all(datetime.fromisoformat(line["at"]) for line in lines)
    assert "wrong" not in json.dumps(lines)


# --- connections


@pytest.fixture
def hasty(serve, runs, monkeypatch):
    """A real server whose patience is short, as (host, port)."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr("phasemap.serving.middleware.BODY_SECONDS", 0.5)
    app = serve(runs).app
    listener = socket.create_server(("127.0.0.1", 0))
    config = server.config_of(app)
    config.lifespan = "off"
    running = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])), daemon=True)
    thread.start()
    yield listener.getsockname()
    running.should_exit = True
    thread.join(10)


@pytest.fixture
def talk(hasty):
    """Return a function that opens a connection and sends something on it."""
    with ExitStack() as stack:

        def talk(text):
            talking = stack.enter_context(socket.create_connection(hasty, timeout=5))
            talking.sendall(text)
            return talking

        yield talk


def test_slow_clients_are_let_go_and_keep_nobody_out(talk):
    silent = [talk(b"") for _ in range(40)]
    slow_heads = [talk(b"GET /api/v1/healthz HTTP/1.1\r\nhost: 127") for _ in range(40)]
    slow_body = talk(b"POST /api/v1/studies HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\nname:")
    endless = talk(b"GET /api/v1/healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n")
    polite = talk(b"GET /api/v1/healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    assert polite.recv(100).startswith(b"HTTP/1.1 200")
    with pytest.raises(OSError, match=r"reset|pipe"):
        endless.sendall((b"x: " + b"y" * 1000 + b"\r\n") * 20_000)
    assert slow_body.recv(100).startswith(b"HTTP/1.1 408")
    assert all(map(is_closed, silent + slow_heads))


def is_closed(connection):
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True
