"""YAML with line numbers: plain values, where each of them stands, and the mistakes that YAML itself hides.

PyYAML follows YAML 1.1, silently keeps the last of duplicate keys, reads ``no`` as False and ``1e-3`` as text. Here
scalars follow the core schema of YAML 1.2, and duplicate keys are mistakes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from phasemap.study.errors import KeyPath, Problem, StudyError, UserError

MAX_BYTES = 1_000_000
MAX_NODES = 200_000
PLAIN_TEXT = {("name",)}
"""Where a number is meant as it is written: ``name: 2024`` needs no quotes."""

TRUTH_WORDS = ("yes", "no", "on", "off", "y", "n")
"""What YAML 1.1 takes for true and false."""

CORE_SCALARS = tuple(
    (f"tag:yaml.org,2002:{kind}", re.compile(pattern), first)
    for kind, pattern, first in (
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
        ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
        ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
        ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    )
)  # tag, what is read so, and its first characters


class _CoreLoader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2 only."""


_CoreLoader.yaml_implicit_resolvers = {}
for _scalar in CORE_SCALARS:
    _CoreLoader.add_implicit_resolver(*_scalar)


@dataclass
class Document:
    """A parsed file: its plain content and the line of every path in it."""

    source: str
    content: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    ambiguous: dict[KeyPath, str] = field(default_factory=dict)  # unquoted text that YAML 1.1 takes for true or false

    def problem(self, path: KeyPath, message: str, *, also: KeyPath = ()) -> Problem:
        """Describe a mistake at a path: with the override that made it, or the line of the nearest part in the file.

        Of a part of the file, overrides of the other part (``also``) and those that the message names are told too.
        """
        causes = [text for key, text in self.overrides.items() if _speaks_of(message, key) or also[: len(key)] == key]
        cause = ", ".join(f"--set {text}" for text in causes)
        for cut in range(len(path), -1, -1):
            inner = [text for key, text in self.overrides.items() if cut and key[:cut] == path[:cut]]
            if path[:cut] in self.overrides:
                return Problem(f"--set {self.overrides[path[:cut]]}", None, dotted(path), message)
            if path[:cut] in self.lines:
                return Problem(self.source, self.lines[path[:cut]], dotted(path), message, cause)
            if inner:  # a section that the file lacks
                return Problem(f"--set {inner[0]}", None, dotted(path), message)
        return Problem(self.source, None, dotted(path), message, cause)


def _speaks_of(message: str, key: KeyPath) -> bool:
    """Whether a message names a key in full, or what it found names the setting."""
    found = message.partition("; allowed")[0]
    return dotted(key) in message or (len(key) > 1 and bool(re.search(rf"\b{re.escape(key[-1])}\b", found)))


def dotted(path: KeyPath) -> str:
    """Write a path as a person would: ``axes.dropout[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def read_document(path: str | Path) -> Document:
    """Read a YAML file; UserError when it can't be read, StudyError when it is not YAML."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES} bytes: not a study file")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except IsADirectoryError:
        study = path / "study.yaml"  # of a run
        hint = f", such as {study}" if study.is_file() else ""
        raise UserError(f"{path} is a folder; allowed: a file{hint}") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from None
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> Document:
    """Parse YAML text; duplicate keys are kept as mistakes of the document."""
    document = _parse(text, source)
    if document.content is None and () not in document.lines:
        raise StudyError([Problem(source, None, "", "the file is empty; name, task and axes are required")])
    return document


def _parse(text: str, source: str, path: KeyPath = ()) -> Document:
    """Parse YAML text that stands at a path; of text without a value, a comment say, the content is None."""
    document = Document(source)
    try:
        node = _CoreLoader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise StudyError([Problem(source, line, "", f"not valid YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise StudyError([Problem(source, None, "", f"not valid YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise StudyError([Problem(source, None, "", "not valid YAML: nested too deep")]) from None
    if node is not None:
        document.content = _Builder(document).build(node, path, ())
    return document


@dataclass
class _Builder:
    document: Document
    built: int = 0

    def build(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        self.built += 1
        if self.built > MAX_NODES or id(node) in parents or len(path) > 50:
            raise StudyError(
                [self._problem(node, path, "has anchors that expand without bound, or is nested too deep")]
            )
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        inside = (*parents, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), inside) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, inside: tuple[int, ...]) -> dict[Any, Any]:
        content: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.problems.append(self._problem(key_node, path, "has a key that is not plain text"))
                continue
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in content:
                first = self.document.lines[(*path, key)]
                message = f"is given twice (first in line {first}); allowed: each key once"
                self.document.problems.append(Problem(self.document.source, line, dotted((*path, key)), message))
                continue
            self.document.lines[(*path, key)] = line
            content[key] = self.build(value_node, (*path, key), inside)
        return content

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if path in PLAIN_TEXT:
            return node.value
        if kind == "bool":
            return node.value.lower() == "true"
        try:
            if kind == "int" and len(node.value) <= 18:
                return int(node.value)
            if kind in ("int", "float"):
                return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:  # an explicit tag on something else
            return node.value
        if node.style is None and node.value.lower() in TRUTH_WORDS:
            self.document.ambiguous[path] = node.value
        if node.tag != "tag:yaml.org,2002:str":
            self.document.problems.append(self._problem(node, path, f"has the tag {node.tag}; allowed: plain values"))
        return node.value

    def _problem(self, node: yaml.Node, path: KeyPath, message: str) -> Problem:
        return Problem(self.document.source, node.start_mark.line + 1, dotted(path), message)


def read_assignment(text: str, option: str) -> tuple[str, Any]:
    """Read AXIS=VALUE, with the value as YAML; UserError, naming the option, where it is none."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{option} {text}: allowed: AXIS=VALUE")
    try:
        return name.strip(), _parse(value, f"{option} {text}").content
    except StudyError as error:
        raise StudyError([replace(problem, line=None) for problem in error.problems]) from None


def set_value(document: Document, text: str) -> None:
    """Apply one ``KEY=VALUE`` override to a document, creating sections that the file leaves out.

    What can't be applied is kept among the document's problems.
    """
    key, equals, value = text.partition("=")
    parts = tuple(key.strip().split("."))
    wrong = partial(Problem, f"--set {text}", None, "")  # no path: what stands there is checked all the same
    if not equals or not all(parts):
        document.problems.append(wrong("is not an override; allowed: KEY=VALUE, e.g. training.steps=500"))
        return
    try:
        parsed = _parse(value, f"--set {text}", parts)
    except StudyError as error:
        document.problems.extend(replace(problem, line=None) for problem in error.problems)
        return
    document.problems.extend(replace(problem, line=None) for problem in parsed.problems)
    document.ambiguous = {path: text for path, text in document.ambiguous.items() if path[: len(parts)] != parts}
    document.ambiguous |= parsed.ambiguous
    if not isinstance(document.content, dict):
        return
    section = document.content
    for number, part in enumerate(parts[:-1], 1):
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            document.problems.append(wrong(f"{'.'.join(parts[:number])} is not a section"))
            return
    section[parts[-1]] = parsed.content
    for path in [path for path in document.lines if path[: len(parts)] == parts]:
        del document.lines[path]
    document.overrides[parts] = text
