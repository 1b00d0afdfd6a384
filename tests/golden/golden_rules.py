"""Rules, each with a name, by which what a machine, a clock or a release decides becomes a word in a golden file.

Nothing else is left out or changed: a new value that differs from run to run needs a rule here, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasemap._version import __version__


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What becomes of text, and of the values of some keys; and why."""

    why: str
    text: Callable[[str], str] = lambda text: text
    keys: Mapping[str, str] | None = None  # key -> the word for its value


def _version(text: str) -> str:
    return text.replace(__version__, "VERSION")


def _here(text: str) -> str:
    """Name the working directory as a point; it may be written as it is, or with its links resolved."""
    for path in sorted({str(Path.cwd()), str(Path.cwd().resolve())}, key=len, reverse=True):
        text = text.replace(f"{path}/", "./").replace(path, ".")
    return text


def _time(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?", "TIME", text)


def _stamp(text: str) -> str:
    return re.sub(r"\.old-\d{8}-\d{6}", ".old-TIMESTAMP", text)


def _ray(text: str) -> str:
    return re.sub(r"(can't be reached)[:;].*", r"\1: REASON", text, flags=re.DOTALL)


def _met(text: str) -> str:
    return "met" if text in ("bit", "tolerance") else text


RULES: Mapping[str, Rule] = {
    "here": Rule(why="commands run in a temporary folder", text=_here),
    "version": Rule(why="a release changes its number only", text=_version),
    "time": Rule(why="of what is trained while the golden file is made", text=_time),
    "timestamp": Rule(why="of folders that were moved aside", text=_stamp),
    "reason": Rule(why="why a cluster can't be reached is said by its client and the system", text=_ray),
    "seconds": Rule(
        why="a plan's times are measured on the machine",
        keys={"wall_seconds": "SECONDS", "core_hours": "HOURS", "seconds": "SECONDS", "train_seconds": "SECONDS"},
    ),
    "bytes": Rule(why="pages and memory change with scripts and libraries", keys={"bytes": "BYTES"}),
    "met": Rule(
        why="a replayed curve is equal to the bit or within tolerance, and its machine is another",
        text=_met,
        keys={"quantities": "DEVIATIONS", "differences": "DIFFERENCES"},
    ),
}


def normalised(value: Any, *names: str) -> Any:
    """Apply named rules to content."""
    rules = [RULES[name] for name in names]
    keys = {key: word for rule in rules for key, word in (rule.keys or {}).items()}
    return _applied(value, rules, keys)


def _applied(value: Any, rules: list[Rule], keys: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: keys[name] if name in keys else _applied(one, rules, keys) for name, one in value.items()}
    if isinstance(value, list):
        return [_applied(one, rules, keys) for one in value]
    if isinstance(value, str):
        for rule in rules:
            value = rule.text(value)
    return value
