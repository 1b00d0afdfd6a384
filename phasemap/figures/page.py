"""Put a report's content into one HTML file that asks nothing of any other place."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasemap.results.folder import write_text, written
from phasemap.study.errors import UnreachableError, UserError

ASSETS = Path(__file__).parent / "assets"
PAGE_SCRIPTS = (
    "data.js", "draw.js", "words.js", "choosers.js", "legend.js", "cell.js", "table.js", "card.js", "page.js",
)  # fmt: skip
"""What draws a run, in the order in which they are loaded; the service loads them too."""


def report_html(content: Mapping[str, Any]) -> str:
    """Return the page: its style and scripts are allowed by their hashes, and nothing else is."""
    style = _asset("report.css")
    script = "\n".join(map(_asset, (*PAGE_SCRIPTS, "start.js")))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(f"{content['name']}: phase diagram"),
        "style": style,
        "body": body_html(),
        "content": script_json(content),
        "script": script,
    }
    before, *rest = _asset("report.html").split("{{")
    pieces = [before]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [parts[name], after]
    return "".join(pieces)


def body_html() -> str:
    """Return the places that the scripts fill, for every page that shows a run."""
    return _asset("body.html")


def check_page(path: Path) -> None:
    """UserError unless a page can be written under this name."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path} has the ending '{path.suffix}'; allowed: .html, .htm")
    if not path.parent.is_dir():
        raise UnreachableError(f"the folder {path.parent} does not exist")


def write_report(content: Mapping[str, Any], path: Path) -> None:
    """Write the page, whole or not at all."""
    with written(path):
        write_text(path, report_html(content))


def script_json(content: Mapping[str, Any]) -> str:
    """Write JSON that can stand in a script element: nothing in it can end that element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    """Return a text's hash as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
