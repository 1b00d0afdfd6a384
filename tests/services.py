"""Services for the tests: in this process over made-up runs, and as real processes."""

import signal
import socket
import subprocess
import sys
import time

import forks
import pytest
from conftest import SMALL, study_of
from synthetic import synthetic_run

from phasemap.diagram.tables import derive, write_tables

TOKENS = """
- {name: ann, token: ann-has-a-token-of-some-length, scopes: [read, submit]}
- {name: eve, token: eve-may-only-read-this-service, scopes: [read]}
- {name: old, token: old-had-a-token-until-last-year, scopes: [read, submit], expires: 2020-01-01}
"""
ANN, EVE, OLD = (
    {"authorization": f"Bearer {token}"}
    for token in ("ann-has-a-token-of-some-length", "eve-may-only-read-this-service", "old-had-a-token-until-last-year")
)
YAML = {"content-type": "application/yaml"}
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\u202e"
ENDINGS = {3: "failed", 8: "diverged", 9: "missing"}


def write_runs(root):
    """Write two finished runs: grid, where some trials failed, and other, on a part of its points."""
    axes = {"corruption": [0, 0.1, 0.2, 0.3], "weight_decay": [0, 5, 10, 20], "activation": ["square", "relu"]}
    for name, endings in (("grid", ENDINGS), ("other", {})):
        used = axes if name == "grid" else {**axes, "corruption": [0, 0.1, 0.2]}
        study = study_of(name=name, axes=used, seeds=3, training={"steps": 300}, question=HOSTILE)
        folder = synthetic_run(
            study, root, status=lambda n, e=endings: e.get(n, "ok"), error=f"out of memory {HOSTILE}"
        )
        write_tables(folder, derive(folder), curves=True)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A storage with two finished runs, not to be changed."""
    root = tmp_path_factory.mktemp("served")
    write_runs(root)
    return root


def write_tokens(folder):
    """Write the token file and return its path."""
    path = folder / "tokens.yaml"
    path.write_text(TOKENS)
    path.chmod(0o600)
    return path


@pytest.fixture
def serve(tmp_path, forked):
    """Return a function that opens a service over a storage in this process, and returns a client of it."""
    from fastapi.testclient import TestClient

    from phasemap.serving.server import create_app
    from phasemap.serving.service import Settings
    from phasemap.serving.tokens import TokenFile

    opened = []

    def open_service(root, *, tokens=True, **settings):
        given = Settings(root=root, tokens=TokenFile(write_tokens(tmp_path)) if tokens else None, **settings)
        app = create_app(given)
        app.state.service.supervisor.take()
        client = TestClient(app, base_url="http://127.0.0.1:8077")
        opened.append(client)
        return client.__enter__()

    yield open_service
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve, runs):
    """A client of a service over the two finished runs, with tokens."""
    return serve(runs)


FORKED = """import sys
from phasemap.cli import main
sys.executable, *sys.argv = sys.argv[1:]
main()"""


class Process:
    """A service that is a process of its own, with its runs; forked where something stands for Python."""

    def __init__(self, root, *options, shim=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.root, self.url = root, f"http://127.0.0.1:{self.port}"
        self.shim, self.options = shim, ["serve", "--storage", root, "--port", self.port, *options]
        self.log = root.parent / f"service-{self.port}.log"
        self.start()

    def start(self):
        """Start it, or start it again, and wait until it answers."""
        import httpx2 as httpx

        options = [str(option) for option in self.options]
        with self.log.open("ab") as log:
            if self.shim:
                words = ["-c", FORKED, self.shim, "phasemap", *options]
                self.process = forks.Forked(words, stdout=log, stderr=log)
            else:
                words = [sys.executable, "-m", "phasemap", *options]
                self.process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/api/v1/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError(self.log.read_text())

    def get(self, path, **options):
        """Ask the API."""
        import httpx2 as httpx

        return httpx.get(f"{self.url}/api/v1{path}", timeout=60, **options)

    def post(self, path, **options):
        """Tell the API."""
        import httpx2 as httpx

        return httpx.post(f"{self.url}/api/v1{path}", timeout=60, **options)

    def stop(self):
        """End it as systemd does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def start_service(tmp_path):
    """Return a function that starts a service as a process; it and its runs are ended afterwards."""
    started = []

    def start(*options, root=tmp_path / "storage", shim=None):
        root.mkdir(exist_ok=True)
        started.append(Process(root, *options, shim=shim))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            for run in service.get("/runs", headers=ANN).json().get("runs", []):
                if run["state"] in ("running", "queued"):
                    service.post(f"/runs/{run['name']}/cancel", headers=ANN)
            service.stop()


def small(name="small", **replaced):
    """Return the text of the small study under a name."""
    text = SMALL.replace("name: small", f"name: {name}")
    for old, new in replaced.items():
        text = text.replace(f"{old}: ", f"{old}: {new} #")
    return text
