"""Names of other tools made valid for tables, rules and claims; each change is told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from phasemap.study.names import FACTS, QUANTITY_KINDS
from phasemap.study.signature import RESERVED_NAMES

LONGEST = 48  # with room for an ending
SETTING, METRIC = "_setting", "_metric"
POINT_COLUMNS = (
    *("agreement", "agreement_low", "agreement_high", "n_seeds", "n_failed", "n_diverged", "n_stopped"),
    *("generalizes", "generalization_wins", "inferred", "confidence", "source_id", "source_state", "robustness"),
)
"""Columns of the table of points, and those that every import adds, which no name of a source may take."""
WORDS = ("and", "or", "not", "otherwise", "none", "true", "false")
TAKEN = frozenset({*RESERVED_NAMES, *FACTS, *POINT_COLUMNS, *WORDS})


def valid(name: str) -> str:
    """Return a name of letters, digits and _ that begins with no digit."""
    text = re.sub(r"\W", "_", str(name), flags=re.ASCII)[:LONGEST].rstrip("_") or "unnamed"
    return f"_{text}" if text[0].isdigit() else text


def setting_names(names: Iterable[str]) -> dict[str, str]:
    """Return the valid name of each setting."""
    return _named(names, TAKEN, SETTING)


def metric_names(names: Iterable[str], settings: Collection[str]) -> dict[str, str]:
    """Return the valid name of each quantity or final number, which no setting and no fixed column has."""
    given = list(names)
    spreads = {f"{valid(name)}_std" for name in given}
    lasts = {f"final_{valid(name)}" for name in given} | {name.removeprefix("final_") for name in settings}
    return _named(given, (TAKEN - QUANTITY_KINDS.keys()) | set(settings) | spreads | lasts, METRIC)


def _named(names: Iterable[str], taken: Collection[str], ending: str) -> dict[str, str]:
    found: dict[str, str] = {}
    given = list(dict.fromkeys(names))
    for name in sorted(given, key=lambda one: valid(one) != one):  # those that are valid keep their names
        made = valid(name)
        made = f"{made}{ending}" if made in taken else made
        used, number, stem = set(found.values()), 2, made
        while made in used or (made != stem and made in taken):
            made, number = f"{stem}_{number}", number + 1
        found[name] = made
    return {name: found[name] for name in given}


def changed_words(names: Mapping[str, str]) -> list[str]:
    """Tell which names were changed."""
    return [f"{name[:80]!r} is called {made} here" for name, made in names.items() if name != made]
