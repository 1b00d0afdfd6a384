"""How a study, its program and a user's parts may change between two executions of the same run."""

from __future__ import annotations

from collections.abc import Iterator

from phasemap.study.own_parts import Part
from phasemap.study.own_study import OwnStudy
from phasemap.study.parameters import Parameter
from phasemap.study.prefixes import STEPS, can_go_on
from phasemap.study.program_study import ProgramStudy
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import values_of

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
    differences: list[str] = []
    if isinstance(old, ProgramStudy) and isinstance(new, ProgramStudy):
        differences = program_contradictions(old, new, accept_source=accept_source)
        if differences or old.version != new.version:
            return differences
    elif isinstance(old, OwnStudy) and isinstance(new, OwnStudy):
        differences = own_contradictions(old, new, accept_source=accept_source)
        if differences or old.parts.version != new.parts.version:
            return differences
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
            differences.append(f"{setting.path}: was {_show(before)}, is now {_show(after)}")
            if name == STEPS:
                differences[-1] += "; allowed: phasemap extend, where the end states are kept"
    return differences


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


def own_contradictions(old: OwnStudy, new: OwnStudy, *, accept_source: bool = False) -> list[str]:
    """List what makes the parts of two studies different experiments under one version."""
    before, after = _by_key(old), _by_key(new)
    differences = [
        f"{key}: was {_name(before.get(key))}, is now {_name(after.get(key))}"
        for key in dict.fromkeys((*before, *after))
        if _name(before.get(key)) != _name(after.get(key))
    ]
    if differences or old.parts.version != new.parts.version:
        return differences
    for key, part in after.items():
        differences += _parameters(key, before[key], part)
    return differences if accept_source else [*differences, *_sources(old, new), *_data(old, new)]


def own_changes(old: OwnStudy, new: OwnStudy) -> Iterator[str]:
    """Yield in words what a run's parts change without being another experiment."""
    if old.parts.version != new.parts.version:
        yield f"version: was {old.parts.version}, is now {new.parts.version}; all its trials are new"
        return
    for before, after in _changed_parts(old, new):
        yield f"the source of {after.key}: was {before.source}, is now {after.source}"


def _by_key(study: OwnStudy) -> dict[str, Part]:
    return {part.key: part for part in study.parts.parts}


def _name(part: Part | None) -> str:
    return "phasemap's own" if part is None else part.name


def _parameters(key: str, old: Part, new: Part) -> Iterator[str]:
    for name in new.names:
        if name not in old.names:
            yield f"{key}: {name} is a new parameter"
    for name in old.names:
        if name not in new.names:
            yield f"{key}: {name} is no longer a parameter"


def _changed_parts(old: OwnStudy, new: OwnStudy) -> Iterator[tuple[Part, Part]]:
    before = _by_key(old)
    return ((before[part.key], part) for part in new.parts.parts if before[part.key].source != part.source)


def _sources(old: OwnStudy, new: OwnStudy) -> Iterator[str]:
    for before, after in _changed_parts(old, new):
        yield (
            f"the source of {after.key} ({after.reference}) changed ({before.source} to {after.source}) "
            f"under version {new.parts.version}"
        )


def _data(old: OwnStudy, new: OwnStudy) -> Iterator[str]:
    before = {size.values: size.digest for size in old.parts.data}
    for size in new.parts.data:
        if before.get(size.values, size.digest) != size.digest:
            values = ", ".join(f"{name} {value}" for name, value in size.values)
            yield f"the content of the data changed{f' for {values}' if values else ''}"
            return


CHANGED_CODE = "of changed code: another version (its trials are new) or --accept-source (trained trials count as its)"


def program_contradictions(old: ProgramStudy, new: ProgramStudy, *, accept_source: bool = False) -> list[str]:
    """List what makes two programs different experiments under one version."""
    if old.signature.name != new.signature.name:
        return [f"program: was {old.signature.name}, is now {new.signature.name}"]
    if old.version != new.version:
        return []
    differences = [] if accept_source else list(_source(old, new))
    before, after = _by_name(old), _by_name(new)
    for name, parameter in after.items():
        if name not in before and parameter.since is None:
            differences.append(f"{name} is a new parameter; allowed: since={{'{name}': {new.version}}} in pm.program")
    differences += [
        f"{name} is no longer a parameter" for name, one in before.items() if name not in after and not one.since
    ]
    return differences


def program_changes(old: ProgramStudy, new: ProgramStudy) -> Iterator[str]:
    """Yield in words what a run's program changes without being another experiment."""
    if old.version != new.version:
        yield f"version: was {old.version}, is now {new.version}; all its trials are new"
    elif old.signature.source != new.signature.source:
        yield f"the program's source: was {old.signature.source}, is now {new.signature.source}"


def _source(old: ProgramStudy, new: ProgramStudy) -> Iterator[str]:
    before, after = _by_name(old), _by_name(new)
    for name in (name for name in after if name in before and not new.signature.open):
        if before[name].default != after[name].default:
            yield f"the default of {name}: was {before[name].default}, is now {after[name].default}"
    if old.signature.source != new.signature.source:
        yield (
            f"the program's source changed ({old.signature.source} to {new.signature.source}) "
            f"under version {new.version}"
        )


def _by_name(study: ProgramStudy) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in study.parameters}
