"""Read labelling rules from files of conditions: every mistake is reported together, each with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from phasemap.study.conditions import Kind
from phasemap.study.errors import KeyPath, Problem, stop_if_wrong
from phasemap.study.names import QUANTITY_KINDS
from phasemap.study.networks import NETWORK_RECORDED, NETWORK_SETTINGS
from phasemap.study.rule import Rule
from phasemap.study.rule_reader import RuleReader
from phasemap.study.settings import Recorded, Setting
from phasemap.study.spec import PhaseRule
from phasemap.study.yaml_lines import Document, parse_document


@cache
def packaged_rule(name: str) -> Rule:
    """Return a built-in rule from its file in the package."""
    source = files("phasemap") / "phases" / f"{name}.yaml"
    return parse_rule(parse_document(source.read_text(encoding="utf-8"), f"{name}.yaml"), name)


@cache
def rule_of(phases: PhaseRule, *, windowed: bool = True) -> Rule:
    """Return the rule that a study labels by, with its thresholds; or one that judges the last record alone."""
    rule = phases.own
    if rule is None:
        thresholds = {"generalized": phases.generalized, "memorized": phases.memorized}
        rule = packaged_rule(phases.rule).with_parameters(thresholds)
    return rule if windowed else replace(rule, window=0.0)


def own_rule(rule: Rule) -> PhaseRule:
    """Return own labels as what a study labels by."""
    level = rule.level("generalization")
    phases = PhaseRule(rule=rule.name, own=rule)
    return phases if level is None or not 0 < level <= 1 else phases.model_copy(update={"generalized": level})


def read_rule(
    document: Document,
    content: Any,
    name: str,
    *,
    path: KeyPath = (),
    thresholds: Mapping[str, float] = MappingProxyType({}),
    recorded: Recorded = NETWORK_RECORDED,
    settings: Mapping[str, Setting] = NETWORK_SETTINGS,
) -> tuple[Rule | None, list[Problem]]:
    """Read a rule that stands at a path of a document: the rule, or None and the mistakes.

    ``thresholds`` are other values for its parameters. ``recorded`` is what there is of every trial, and ``settings``
    are what its trials are told.
    """
    problems: list[Problem] = []
    reader = RuleReader(
        lambda at, message: problems.append(document.problem(at, message)),
        recorded.quantities,
        thresholds,
        settings,
        recorded.facts,
        QUANTITY_KINDS if settings.items() <= NETWORK_SETTINGS.items() else {},
    )
    return reader.read(path, content, name), problems


def parse_rule(document: Document, name: str, recorded: Mapping[str, Kind] = QUANTITY_KINDS) -> Rule:
    """Turn a document into a rule; StudyError names every mistake in it."""
    rule, problems = read_rule(
        document, document.content, name, recorded=replace(NETWORK_RECORDED, quantities=recorded)
    )
    stop_if_wrong([*document.problems, *problems])
    assert rule is not None
    return rule
