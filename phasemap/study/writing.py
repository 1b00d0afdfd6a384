"""Write studies: the resolved file of a run, and the JSON schema for editors."""

from __future__ import annotations

import hashlib
import json
from typing import Any, get_args

import yaml

from phasemap.study.axes import Axis, AxisRange
from phasemap.study.conditions import Kind
from phasemap.study.imported import MEASURED
from phasemap.study.names import BUILT_IN_RULES
from phasemap.study.networks import INTERVENTIONS, LATER, NETWORK_SETTINGS, SECTIONS
from phasemap.study.own_parts import ROLES
from phasemap.study.own_study import OwnStudy
from phasemap.study.program_study import ProgramStudy
from phasemap.study.rule import rule_content
from phasemap.study.spec import BOUNDARY_ONLY, NetworkStudy, SearchSpec, Study
from phasemap.study.values import NAME_PATTERN
from phasemap.study.yaml_lines import CORE_SCALARS

WRITTEN_IF_SET = {
    **{(one.section, one.key): one.default for one in (NETWORK_SETTINGS[name] for name in LATER)},
    ("resources", "max_gpu_hours"): "none",
}
"""Later settings that a study's text leaves out at these defaults, so that texts and hashes of before stay."""


def study_content(study: Study) -> dict[str, Any]:
    """Return a study as plain values with every default filled in; reading them gives the same study."""
    dumped = study.model_dump(
        mode="json", exclude={"axes", "seeds", "signature", "measured", "grid", "parts", "own", "unused"}
    )
    content = {key: dumped[key] for key in study.file_keys if key in dumped}
    if isinstance(study, ProgramStudy):
        content = _program_content(study, content)
    elif isinstance(study, OwnStudy):
        content = _own_content(study, content)
    elif isinstance(study, NetworkStudy):
        content = _network_content(study, content)
    for (section, key), default in WRITTEN_IF_SET.items():
        if content.get(section, {}).get(key, ...) == default:
            content[section].pop(key)
    for section in ("schedule", "interventions"):
        if not content.get(section, True):
            content.pop(section)
    if study.phases.at_step is None:
        content["phases"].pop("at_step")
    content["search"] = _search_content(study.search)
    if study.phases.own is not None:
        at_step = {key: value for key, value in content["phases"].items() if key == "at_step"}
        own = rule_content(study.phases.own) if study.phases.labels else {}
        content["phases"] = {"rule": study.phases.rule, **own, **at_step}
    axes = {axis.name: axis.scale if study.scattered else _axis_content(axis) for axis in study.axes}
    return {**content, "axes": axes, "seeds": list(study.seeds)}


def _network_content(study: Study, content: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a network's sections the axes, what belongs to others, and what is not set."""
    kept = {(one.section, one.key) for name, one in study.declared.items() if name not in study.axis_names}
    kept.add(("task", "kind"))
    for section, model in SECTIONS.items():
        unset = {key for key, one in model.model_fields.items() if one.default is None}
        items = content[section].items()
        content[section] = {k: v for k, v in items if (section, k) in kept and not (k in unset and v is None)}
    return content


def _own_content(study: OwnStudy, content: dict[str, Any]) -> dict[str, Any]:
    """Put a user's parts and their settings into the sections, and beside them what is known without their code."""
    content = {"version": study.parts.version, "signature": study.parts.content(), **_network_content(study, content)}
    for part in study.parts.parts:
        section, key = ROLES[part.role]
        content[section][key] = part.reference
    for name, value in study.own:
        content[study.declared[name].section][name] = list(value) if isinstance(value, tuple) else value
    return {key: content[key] for key in study.file_keys if key in content}


def _program_content(study: ProgramStudy, content: dict[str, Any]) -> dict[str, Any]:
    """Put what is known of a program beside its values, so that looking at its run never needs its code."""
    fixed = {name: list(value) if isinstance(value, tuple) else value for name, value in study.fixed}
    content |= {"program": study.program, "signature": study.signature.content(), "fixed": fixed}
    if study.scattered:
        content["measured"] = MEASURED
    if study.inferred_grid:
        content["grid"] = dict(study.inferred_grid)
    return {key: content[key] for key in study.file_keys if key in content}


def _search_content(search: SearchSpec) -> dict[str, Any]:
    """Return the keys of a search that its kind knows; a budget that was left out stays so."""
    content = search.model_dump(mode="json", exclude_none=True, exclude={"coverage"} if not search.coverage else None)
    if search.kind == "grid":
        return {"kind": "grid"}
    return content if search.kind == "boundary" else {k: v for k, v in content.items() if k not in BOUNDARY_ONLY}


def _axis_content(axis: Axis) -> Any:
    if axis.source is not None:
        return axis.source.model_dump(mode="json")
    return list(axis.values)


class _Dumper(yaml.SafeDumper):
    """Block style for sections, one line for lists; text that looks like a number is quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)
for _scalar in CORE_SCALARS:  # PyYAML's own are those of YAML 1.1, in which 1e3 is text
    _Dumper.add_implicit_resolver(*_scalar)


def dump_study(study: Study) -> str:
    """Write a study as YAML; ``load_study`` of it gives an equal study."""
    return yaml.dump(study_content(study), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def study_hash(study: Study) -> str:
    """Hash a resolved study into 16 hexadecimal digits."""
    content = study_content(study)
    if isinstance(study, NetworkStudy):
        for name, one in study.possible.items():  # as in the texts of releases that wrote the settings of others
            if name not in study.declared and name not in LATER and one.default is not None:
                content[one.section][one.key] = one.default
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def json_schema() -> Any:
    """Return the JSON schema of study files, of networks and of programs, for editors and other programs."""
    networks, programs = _study_schema(NetworkStudy), _study_schema(ProgramStudy)
    axes = {name: _axis_schema(name) for name in NETWORK_SETTINGS}
    networks["properties"]["axes"] |= {"properties": axes, "additionalProperties": False}
    one = {
        "type": "object",
        "properties": {"at": {"type": "integer"}, **{key: {"type": "number"} for key in INTERVENTIONS}},
    }
    listed = {"anyOf": [networks["properties"]["interventions"], {"type": "array", "items": one}]}
    networks["properties"]["interventions"] = listed
    networks["allOf"] = _belonging()
    scalar = {"type": ["number", "string", "boolean", "null"]}
    values = {"type": "array", "items": scalar, "minItems": 1, "uniqueItems": True}
    programs["properties"] |= {
        "program": {"type": "string", "pattern": "^[^:]+:[^:]+$", "description": "file.py:name or package.module:name"},
        "quantities": {"type": "object", "additionalProperties": {"enum": list(get_args(Kind))}},
        "fixed": {"type": "object", "additionalProperties": {"anyOf": [scalar, {"type": "array", "items": scalar}]}},
    }
    axis = {"anyOf": [values, {"$ref": "#/$defs/AxisRange"}]}
    programs["properties"]["axes"]["additionalProperties"] = axis
    programs["required"] = ["name", "program", "axes"]
    definitions = networks.pop("$defs") | programs.pop("$defs")
    definitions.pop("Axis", None)
    definitions |= {"AxisRange": AxisRange.model_json_schema(), "NetworkStudy": networks, "ProgramStudy": programs}
    definitions["OwnStudy"] = _own_schema(networks, axis)
    definitions["PhaseRule"] = _phases_schema(definitions["PhaseRule"])
    return _with_standard_bounds(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "phasemap study",
            "description": "One study: everything that decides which trials there are and what each of them is.",
            "if": {"required": ["program"]},
            "then": {"$ref": "#/$defs/ProgramStudy"},
            "else": {
                "if": {"anyOf": [_names_code(section, key) for section, key in ROLES.values()]},
                "then": {"$ref": "#/$defs/OwnStudy"},
                "else": {"$ref": "#/$defs/NetworkStudy"},
            },
            "$defs": definitions,
        }
    )


def _study_schema(study: type[NetworkStudy] | type[ProgramStudy]) -> dict[str, Any]:
    """Return the schema of one kind of study, but for what its axes may be."""
    schema = study.model_json_schema()
    known = schema["properties"]
    properties = schema["properties"] = {key: known[key] for key in study.file_keys if key in known}
    schema["required"] = [key for key in properties if key in schema["required"]]
    properties["axes"] = {"type": "object", "minProperties": 1}
    properties["name"] = {"anyOf": [properties["name"], {"type": "integer", "minimum": 0}]}
    seed_list = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True}
    properties["seeds"] = {"anyOf": [{"type": "integer", "minimum": 1}, seed_list], "default": 1}
    return schema


def _belonging() -> list[dict[str, Any]]:
    """Return the schema's conditions on settings that belong to some tasks, networks or trainings only."""
    conditions = []
    for owner in dict.fromkeys(one.belongs_to for one in NETWORK_SETTINGS.values() if one.belongs_to):
        of = NETWORK_SETTINGS[owner.setting]
        chosen = {"properties": {of.key: {"enum": list(owner.values)}}, "required": [of.key]}
        there = [{"properties": {of.section: chosen}, "required": [of.section]}]
        there.append({"properties": {"axes": {"required": [of.name]}}})
        if of.default in owner.values:
            there.append({"properties": {of.section: {"not": {"required": [of.key]}}}})
        theirs = [one for one in NETWORK_SETTINGS.values() if one.belongs_to == owner]
        sections = {section: {one.key: False for one in theirs} for section in (theirs[0].section,)}
        sections["axes"] = {one.name: False for one in theirs}
        conditions.append(
            {
                "if": {"not": {"anyOf": there}},
                "then": {"properties": {name: {"properties": keys} for name, keys in sections.items()}},
            }
        )
    return conditions


def _own_schema(networks: dict[str, Any], axis: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of studies with parts of a user, whose settings no schema knows."""
    anything = {"type": "object"}
    axes = {"type": "object", "minProperties": 1, "additionalProperties": axis}
    sections = {"task": anything, "model": anything, "training": anything, "fixed": anything, "axes": axes}
    bare = {key: value for key, value in networks.items() if key != "allOf"}  # what belongs to built-in parts
    return {**bare, "properties": {**networks["properties"], **sections}}


def _names_code(section: str, key: str) -> dict[str, Any]:
    """Return the schema of studies whose part under a key is a user's, as file.py:name or package.module:name."""
    code = {"properties": {key: {"type": "string", "pattern": ":"}}, "required": [key]}
    return {"properties": {section: code}, "required": [section]}


BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _phases_schema(built_in: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what a study labels by: a built-in rule, a rule file with its thresholds, or own labels."""
    text = {"type": "string"}
    texts = {"type": "object", "additionalProperties": text}
    number = {"type": "number"}
    mark = {"type": "object", "properties": dict.fromkeys(("when", "letter", "colour"), text)}
    line = {"type": "object", "properties": dict.fromkeys(("line", "where"), text), "required": ["line"]}
    own = {
        "rule": {"type": "string", "pattern": NAME_PATTERN},
        "quantities": {"type": "object", "additionalProperties": {"enum": ["accuracy", "loss", "number"]}},
        "parameters": {"type": "object", "additionalProperties": number},
        "labels": {"type": "object", "additionalProperties": {"anyOf": [text, mark]}, "minProperties": 1},
        "groups": {"type": "object", "additionalProperties": {"type": "array", "items": text, "minItems": 1}},
        "times": texts,
        "columns": texts,
        "window": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "frontiers": {"type": "object", "additionalProperties": {"anyOf": [text, line]}},
    }
    file = {"rule": {"type": "string", "pattern": r"\.ya?ml$"}}
    rules = {"enum": list(BUILT_IN_RULES), "default": BUILT_IN_RULES[0], "type": "string"}
    return {
        "description": built_in["description"],
        "anyOf": [
            {**built_in, "properties": {**built_in["properties"], "rule": rules}},
            {"type": "object", "properties": file, "required": ["rule"], "additionalProperties": number},
            {"type": "object", "properties": own, "required": ["labels"], "additionalProperties": False},
        ],
    }


def _with_standard_bounds(part: Any) -> Any:
    """Give bounds their names of JSON schema; pydantic leaves its own where a validator runs before them."""
    if isinstance(part, dict):
        return {BOUNDS.get(key, key): _with_standard_bounds(value) for key, value in part.items()}
    return [_with_standard_bounds(item) for item in part] if isinstance(part, list) else part


def _axis_schema(name: str) -> dict[str, Any]:
    item = NETWORK_SETTINGS[name].adapter.json_schema()
    values = {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}
    return {"anyOf": [values, {"$ref": "#/$defs/AxisRange"}]} if NETWORK_SETTINGS[name].numeric else values
