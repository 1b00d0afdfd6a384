"""How a study may change between two executions of the same run."""

from __future__ import annotations

from collections.abc import Iterator

from phasemap.study.changes_of_own import own_changes, own_contradictions
from phasemap.study.changes_of_programs import CHANGED_CODE, program_changes, program_contradictions
from phasemap.study.combinations import values_of
from phasemap.study.longer import STEPS, can_go_on
from phasemap.study.own_study import OwnStudy
from phasemap.study.program_study import ProgramStudy
from phasemap.study.spec import NetworkStudy, Study

FRESH = "or phasemap run --fresh (moves it aside)"


def ways_out(study: Study) -> str:
    """Say what is allowed where a storage holds another study of this name."""
    if isinstance(study, ProgramStudy):
        return f"the same program and values; {CHANGED_CODE}; another name; {FRESH}"
    if isinstance(study, OwnStudy):
        return f"the same task, model, training and fixed values; {CHANGED_CODE}; another name; {FRESH}"
    return f"the same task, model, training and fixed values; another name; {FRESH}"


def contradictions(old: Study, new: Study, *, accept_source: bool = False, longer: bool = False) -> list[str]:
    """List what makes two studies different experiments: another task, model, training or fixed value.

    An axis may get other values, and a setting may become an axis (or stop being one) as long as the single value
    is one of the axis's; that only widens or narrows the map. With ``accept_source`` a program's code may be another,
    with ``longer`` the number of steps.
    """
    found: list[str] = []
    if isinstance(old, ProgramStudy) and isinstance(new, ProgramStudy):
        found = program_contradictions(old, new, accept_source=accept_source)
        if found or old.version != new.version:
            return found
    elif isinstance(old, OwnStudy) and isinstance(new, OwnStudy):
        found = own_contradictions(old, new, accept_source=accept_source)
        if found or old.parts.version != new.parts.version:
            return found
    elif isinstance(old, NetworkStudy) and isinstance(new, NetworkStudy) and type(old) is not type(new):
        return ["task, model, optimizer or loss: code of a user in one of the two only"]
    elif type(old) is not type(new):
        return ["program: one of the two trains phasemap's own networks"]
    for name in dict.fromkeys((*old.declared, *new.declared)):
        if name not in old.declared or name not in new.declared:  # added with since, or an objective's
            continue
        before = [value for _, value in values_of(old, name)]
        after = [value for _, value in values_of(new, name)]
        if (name in old.axis_names and name in new.axis_names) or (longer and name == STEPS):
            continue
        if not set(map(repr, before)) & set(map(repr, after)):
            setting = new.declared.get(name) or old.declared[name]
            found.append(f"{setting.path}: was {_show(before)}, is now {_show(after)}")
            if name == STEPS:
                found[-1] += "; allowed: phasemap extend, where the end states are kept"
    return found


def changes(old: Study, new: Study) -> Iterator[str]:
    """Yield in words what a changed study widens or changes."""
    if isinstance(old, ProgramStudy) and isinstance(new, ProgramStudy):
        yield from program_changes(old, new)
    if isinstance(old, OwnStudy) and isinstance(new, OwnStudy):
        yield from own_changes(old, new)
    if can_go_on(old) and can_go_on(new) and old.setting(STEPS) != new.setting(STEPS):
        yield f"training.steps: was {old.setting(STEPS)}, is now {new.setting(STEPS)}"
    for name in dict.fromkeys((*old.axis_names, *new.axis_names)):
        before = [value for _, value in values_of(old, name)] if name in old.declared else []
        after = [value for _, value in values_of(new, name)] if name in new.declared else []
        if before != after:
            yield f"axes.{name}: {_difference(before, after)}"
    if old.seeds != new.seeds:
        yield f"seeds: {_difference(list(old.seeds), list(new.seeds))}"
    for key in ("question", "phases", "record", "search", "resources", "claims"):
        if getattr(old, key) != getattr(new, key):
            yield f"{key} changed"


def _show(values: list[object]) -> str:
    return ", ".join(map(_text, values[:8])) + (", ..." if len(values) > 8 else "")


def _text(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return f"a matrix of {len(value)} rows"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _difference(before: list[object], after: list[object]) -> str:
    added = [value for value in after if value not in before]
    removed = [value for value in before if value not in after]
    parts = [f"added {_show(added)}"] if added else []
    parts += [f"left out {_show(removed)}"] if removed else []
    return "; ".join(parts) or "another order"
