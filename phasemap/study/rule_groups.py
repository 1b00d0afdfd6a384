"""The groups of a rule's labels: what may be in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phasemap.study.errors import Mistake, did_you_mean
from phasemap.study.expressions import KEYWORDS
from phasemap.study.names import UNLABELLED
from phasemap.study.rule import OTHERWISE
from phasemap.study.values import describe

RESERVED_LABELS = (*UNLABELLED, "generalizes", OTHERWISE, *KEYWORDS)
TAKEN = f"is taken; allowed: any name but {', '.join(RESERVED_LABELS)}"


def group_mistakes(groups: Mapping[str, Any], labels: Sequence[str]) -> Iterator[Mistake]:
    """Yield (path inside the groups, message) for everything that is wrong with the groups of some labels."""
    group_of: dict[str, str] = {}
    for group, members in groups.items():
        if not isinstance(members, list) or not members:
            yield (group,), f"= {describe(members)} is not allowed; allowed: a list of labels"
            continue
        if group in RESERVED_LABELS:
            yield (group,), TAKEN
        if group in labels and group not in members:
            hint = f"allowed: another name, or with {group} in it"
            yield (group,), f"has the name of a label outside it; {hint}"
        for number, member in enumerate(members):
            if message := _not_a_member(group, member, labels, groups, group_of):
                yield (group, number), message
            else:
                group_of[member] = group


def _not_a_member(
    group: str, member: Any, labels: Sequence[str], groups: Mapping[str, Any], group_of: Mapping[str, str]
) -> str | None:
    """Say why something can't be in a group; None where it can."""
    if not isinstance(member, str) or (member not in labels and member not in groups):
        hint = did_you_mean(str(member), labels)
        return f"= {describe(member)} is not a label of the rule; allowed: {', '.join(labels)}{hint}"
    if member in labels:
        first = group_of.get(member)
        return None if first is None else f"= {member} is in {first} already; allowed: each label once"
    circle = _circle(group, member, groups)
    if circle:
        return f"= {member} makes the groups circular ({' in '.join(circle)}); allowed: labels"
    return f"= {member} is a group; allowed: labels, as groups don't nest"


def _circle(group: str, member: str, groups: Mapping[str, Any]) -> list[str]:
    """Return the groups that lead from a group through one of its members back to it; nothing where none do."""
    todo, seen = [[group, member]], {member}
    while todo:
        way = todo.pop()
        if way[-1] == group:
            return way
        inner = groups.get(way[-1])
        for name in inner if isinstance(inner, list) else []:
            if isinstance(name, str) and name in groups and (name not in seen or name == group):
                seen.add(name)
                todo.append([*way, name])
    return []
