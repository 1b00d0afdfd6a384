"""A report's page: its content put into one HTML file that asks nothing of any other place, arrays as short text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from numpy.typing import NDArray

from phasemap.results.folder import write_text, written
from phasemap.study.conditions import Kind
from phasemap.study.errors import UnreachableError, UserError

ASSETS = Path(__file__).parent / "assets"
PAGE_SCRIPTS = (
    "data.js", "names.js", "draw.js", "words.js", "choosers.js", "legend.js", "cell.js", "table.js", "card.js",
    "page.js",
)  # fmt: skip
"""What draws a run, in the order in which they are loaded; the service loads them too."""


def report_html(content: Mapping[str, Any]) -> str:
    """Return the page: its style and scripts are allowed by their hashes, and nothing else is."""
    style = read_asset(ASSETS / "report.css")
    script = "\n".join(read_asset(ASSETS / name) for name in (*PAGE_SCRIPTS, "start.js"))
    policy = (
        f"default-src 'none'; script-src '{digest_of(script)}'; style-src '{digest_of(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    plain = {"policy": policy, "style": style, "content": script_json(content), "script": script}
    title = f"{content['name']}: phase diagram"
    return render(ASSETS / "report.html", title=title, **{k: Markup(v) for k, v in plain.items()})


def render(template: Path, **values: Any) -> str:
    """Fill in a template of Jinja, which stands beside those that it includes; what is no ``Markup`` is escaped."""
    return environment(template.parent).get_template(template.name).render(**values)


@lru_cache
def environment(folder: Path) -> Environment:
    """Return what all pages are made with, from the templates of a folder and the parts of a run's page."""
    made = Environment(
        loader=FileSystemLoader([folder, ASSETS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["at"] = "{:.1f}".format
    made.filters["code"] = lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
    made.filters["path"] = lambda points: " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return made


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


def read_asset(path: Path) -> str:
    """Return a style or a script."""
    return path.read_text(encoding="utf-8").strip()


def digest_of(text: str) -> str:
    """Return a text's hash as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


NONE, ZERO, LEVELS = 65535, 65534, 65533
"""The codes of a value that is undefined and of an exact zero on a log scale, and the highest code of a number."""

LOG_FROM = 1000.0  # ratio of the largest to the smallest number from which a scale is logarithmic


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How numbers become codes 0 .. LEVELS, which the page turns back."""

    low: float
    high: float
    log: bool = False

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.uint16]:
        """Return the codes of values, NONE where they are not finite."""
        finite = np.isfinite(values)
        zero = finite & (values <= 0) if self.log else np.zeros_like(finite)
        codes = np.round(self.shares(values) * LEVELS).astype(np.uint16)
        return np.where(finite, np.where(zero, ZERO, codes), NONE).astype(np.uint16)

    def shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far values lie between both ends, from 0 to 1; 0 where they are not on the scale."""
        there = np.isfinite(values) & ((values > 0) | (not self.log))
        inside = np.where(there, values, self.low)
        low, high = (float(np.log(end)) if self.log else end for end in (self.low, self.high))
        return np.clip(((np.log(inside) if self.log else inside) - low) / ((high - low) or 1.0), 0, 1)

    def content(self) -> dict[str, Any]:
        """Return the scale as the page reads it."""
        return {"low": self.low, "high": self.high, "log": self.log}


def scale_for(values: NDArray[np.float64]) -> Scale:
    """Choose a scale that keeps at least three digits of every value."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Scale(low=0.0, high=1.0)
    positive = finite[finite > 0]
    if (finite >= 0).all() and len(positive) and np.log(positive.max()) - np.log(positive.min()) > np.log(LOG_FROM):
        return Scale(low=float(positive.min()), high=float(positive.max()), log=True)
    return Scale(low=float(finite.min()), high=float(finite.max()))


def scale_of(kind: Kind, values: NDArray[np.float64]) -> Scale:
    """Choose the scale of a quantity: 0 to 1 for an accuracy, the logarithm for a loss, else what its values need."""
    if kind == "accuracy":
        return Scale(low=0.0, high=1.0)
    positive = values[np.isfinite(values) & (values > 0)]
    if kind == "loss" and len(positive):
        return Scale(low=float(positive.min()), high=float(positive.max()), log=True)
    return scale_for(values)


def packed(array: NDArray[Any]) -> dict[str, str]:
    """Return an array of 8 or 16 bit numbers as text; its shape is known to who reads it."""
    kind = {1: "u8", 2: "u16"}[array.dtype.itemsize]
    raw = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()
    return {"type": kind, "data": base64.b64encode(zlib.compress(raw, 6)).decode()}
