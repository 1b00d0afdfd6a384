"""Read a study file: every mistake reported together, each with its line, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from phasemap.study.checks import check_rule
from phasemap.study.errors import UserError
from phasemap.study.imported import ImportedReader, ImportedStudy
from phasemap.study.network_file import NetworkReader
from phasemap.study.own_file import OwnReader, names_code
from phasemap.study.program_file import ProgramReader
from phasemap.study.program_source import function_hash
from phasemap.study.programs import IMPORTED, IN_PYTHON, read_function
from phasemap.study.reader import Reader
from phasemap.study.signature import SignatureError
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.yaml_lines import Document, read_document, set_value


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read, check and resolve a study file.

    ``overrides`` are ``KEY=VALUE`` texts with a dotted key and a YAML value (``training.steps=500``). Data files that
    the study names are read and checked too; their paths are relative to the study file's folder.
    Raises StudyError with every mistake that was found.
    """
    document = read_document(path)
    for text in overrides:
        set_value(document, text)
    return parse_study(document)


def study_of(content: Mapping[str, Any]) -> Study:
    """Check and resolve a study that is given as a mapping with the content of a study file.

    Paths in it are relative to the working directory. Raises StudyError with every mistake that was found.
    """
    plain = _plain(content)
    if isinstance(name := plain.get("name"), int) and not isinstance(name, bool):
        plain["name"] = str(name)
    return parse_study(Document("the given mapping", plain))


def study_of_function(
    function: Callable[..., Any], code_of: Callable[[Callable[..., Any]], bytes], content: Mapping[str, Any]
) -> Study:
    """Check and resolve a study of a function that is given in Python; ``code_of`` turns it into bytes.

    ``content`` has the other keys of a study file. Raises StudyError with every mistake that was found.
    """
    name = getattr(function, "__name__", "?")
    if not name.isidentifier():
        raise UserError(f"{name} can't be run: it has no name; allowed: a function that is defined by def")
    reference = f"{IN_PYTHON}:{name}"
    try:
        read = read_function(function, reference)
    except SignatureError as error:
        raise UserError("\n".join(f"{name}: {message}" for message in error.messages)) from None
    given = replace(read, source=function_hash(function), code=code_of(function))
    document = Document("the given values", _plain({"program": reference, **content}))
    return ProgramReader(document, given=given).study()


def _plain(value: Any) -> Any:
    """Turn what Python has for lists and mappings (tuples, ranges, arrays, NumPy's numbers) into those of YAML."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def load_resolved(path: str | Path) -> Study:
    """Read the study of a run's folder, also where the data that it was trained on are not at hand.

    Nothing of a program is imported: what is known of it stands there too.
    """
    return parse_study(read_document(path), data_needed=False)


def parse_study(
    document: Document, *, data_needed: bool = True, files_allowed: bool = True, programs: Sequence[str] = ()
) -> Study:
    """Turn a document into a Study; StudyError names every mistake in it and, if needed, in the data it names.

    Without ``files_allowed`` a study from elsewhere may name no file of this machine, none is opened; and no program
    but those of ``programs``, nothing else is imported. Without ``data_needed`` nothing is imported at all.
    """
    if isinstance(document.content, dict) and document.content.get("program") == IMPORTED and not data_needed:
        return ImportedReader(document, stored=True, made=ImportedStudy).study()
    if isinstance(document.content, dict) and "program" in document.content:
        return ProgramReader(
            document, stored=not data_needed, files_allowed=files_allowed, allowed=tuple(programs)
        ).study()
    if names_code(document.content):
        return OwnReader(document, stored=not data_needed, files_allowed=files_allowed, allowed=tuple(programs)).study(
            data_needed=data_needed
        )
    return NetworkReader(document, files_allowed=files_allowed).study(data_needed=data_needed)


def load_rule(path: str | Path, study: Study | None = None) -> PhaseRule:
    """Read a labelling rule from a file with the content of a study's ``phases`` section.

    ``study`` is whose trials it is to label, without one any study of networks.
    """
    document = read_document(path)
    reader = NetworkReader(document) if study is None else Reader(document, study.declared, recorded=study.recorded)
    rule = reader.phases((), document.content, name=Path(path).stem)
    reader.stop_if_wrong(((key,), message) for key, message in check_rule(rule))
    return rule
