"""How a program may change between two executions of the same run."""

from __future__ import annotations

from collections.abc import Iterator

from phasemap.study.parameters import Parameter
from phasemap.study.program_study import ProgramStudy

CHANGED_CODE = "of changed code: another version (its trials are new) or --accept-source (trained trials count as its)"


def program_contradictions(old: ProgramStudy, new: ProgramStudy, *, accept_source: bool = False) -> list[str]:
    """List what makes two programs different experiments under one version."""
    if old.signature.name != new.signature.name:
        return [f"program: was {old.signature.name}, is now {new.signature.name}"]
    if old.version != new.version:
        return []
    found = [] if accept_source else list(_source(old, new))
    before, after = _by_name(old), _by_name(new)
    for name, parameter in after.items():
        if name not in before and parameter.since is None:
            found.append(f"{name} is a new parameter; allowed: since={{'{name}': {new.version}}} in pm.program")
    found += [f"{name} is no longer a parameter" for name, one in before.items() if name not in after and not one.since]
    return found


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
