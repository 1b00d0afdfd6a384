"""How a user's network, data, optimizer and loss may change between two executions of the same run."""

from __future__ import annotations

from collections.abc import Iterator

from phasemap.study.own_parts import Part
from phasemap.study.own_study import OwnStudy


def own_contradictions(old: OwnStudy, new: OwnStudy, *, accept_source: bool = False) -> list[str]:
    """List what makes the parts of two studies different experiments under one version."""
    before, after = _by_place(old), _by_place(new)
    found = [
        f"{place}: was {_name(before.get(place))}, is now {_name(after.get(place))}"
        for place in dict.fromkeys((*before, *after))
        if _name(before.get(place)) != _name(after.get(place))
    ]
    if found or old.parts.version != new.parts.version:
        return found
    for place, part in after.items():
        found += _parameters(place, before[place], part)
    return found if accept_source else [*found, *_sources(old, new), *_data(old, new)]


def own_changes(old: OwnStudy, new: OwnStudy) -> Iterator[str]:
    """Yield in words what a run's parts change without being another experiment."""
    if old.parts.version != new.parts.version:
        yield f"version: was {old.parts.version}, is now {new.parts.version}; all its trials are new"
        return
    before = _by_place(old)
    for place, part in _by_place(new).items():
        if before[place].source != part.source:
            yield f"the source of {place}: was {before[place].source}, is now {part.source}"


def _by_place(study: OwnStudy) -> dict[str, Part]:
    return {part.key: part for part in study.parts.parts}


def _name(part: Part | None) -> str:
    return "phasemap's own" if part is None else part.name


def _parameters(place: str, old: Part, new: Part) -> Iterator[str]:
    for name in new.names:
        if name not in old.names:
            yield f"{place}: {name} is a new parameter"
    for name in old.names:
        if name not in new.names:
            yield f"{place}: {name} is no longer a parameter"


def _sources(old: OwnStudy, new: OwnStudy) -> Iterator[str]:
    before = _by_place(old)
    for place, part in _by_place(new).items():
        if before[place].source != part.source:
            yield (
                f"the source of {place} ({part.reference}) changed ({before[place].source} to {part.source}) "
                f"under version {new.parts.version}"
            )


def _data(old: OwnStudy, new: OwnStudy) -> Iterator[str]:
    before = {size.values: size.digest for size in old.parts.data}
    for size in new.parts.data:
        if before.get(size.values, size.digest) != size.digest:
            values = ", ".join(f"{name} {value}" for name, value in size.values)
            yield f"the content of the data changed{f' for {values}' if values else ''}"
            return
