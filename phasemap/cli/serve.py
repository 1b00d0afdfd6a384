"""The command that serves a storage as a web page and an HTTP API."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from phasemap.cli.shared import guarded

NEEDED = ("fastapi", "uvicorn", "httptools", "sse_starlette", "limits", "itsdangerous", "prometheus_client")


@click.command()
@click.option("--storage", metavar="DIR", required=True, help="Where runs are kept.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; any but this machine's own needs --token-file.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The tokens of those who may use the service, in a file of mode 0600.",
)
@click.option("--max-runs", type=click.IntRange(min=1), default=1, show_default=True,
              help="Submitted runs that train at the same time; the others wait in a queue.")  # fmt: skip
@click.option("--address", metavar="ADDR", help="The Ray cluster to train on. Default: Ray on this machine.")
@click.option("--cpus", type=click.IntRange(min=1), help="CPUs of each run's embedded Ray; default all.")
@click.option(
    "--allow-program",
    "programs",
    metavar="MODULE:FUNCTION",
    multiple=True,
    help="A program of an installed package that submitted studies may name; they can run no other code.",
)
@guarded
def serve(storage: str, token_file: Path | None, **settings: Any) -> None:
    """Serve a storage: a web page and an HTTP API to see, follow and submit runs.

    \b
    http://HOST:PORT/         the page: runs, live maps, curves, comparison, a form for new studies
    http://HOST:PORT/docs     the API under /api/v1
    http://HOST:PORT/metrics  counters for Prometheus

    Without --token-file everybody on this machine may read and submit. A token file is a YAML list:

    \b
    - {name: ann, token: <at least 24 characters>, scopes: [read, submit]}
    - {name: dashboard, token: ..., scopes: [read], expires: 2027-01-31}

    Submitted runs are processes of their own: they go on when the service ends, and it finds them when it is started
    again.
    """
    from phasemap.results.folder import storage_path
    from phasemap.results.remote import is_remote
    from phasemap.study.errors import UserError

    if is_remote(storage):
        raise UserError(f"--storage {storage} is not possible for a service; allowed: a local or shared folder")

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} not installed; pip install 'phasemap[serve]'")
    from phasemap.serving.server import serve as serve_storage
    from phasemap.serving.service import Settings
    from phasemap.serving.tokens import TokenFile

    tokens = TokenFile(token_file) if token_file else None
    serve_storage(Settings(root=storage_path(storage).resolve(), tokens=tokens, **settings))
