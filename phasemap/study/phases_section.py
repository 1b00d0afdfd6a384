"""Read the ``phases`` section of a study: a built-in rule, a rule file with its thresholds, or own labels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasemap.study.data_files import absolute
from phasemap.study.errors import KeyPath, StudyError, UserError, did_you_mean
from phasemap.study.names import BUILT_IN_RULES, NO_RULE
from phasemap.study.rule_file import own_rule, read_rule
from phasemap.study.settings import Setting
from phasemap.study.spec import PhaseRule
from phasemap.study.values import describe, is_number, rounded
from phasemap.study.yaml_lines import Document, read_document

if TYPE_CHECKING:
    from phasemap.study.reader import Reader

RULE_FILES = (".yaml", ".yml")
OWN = "own"  # the name of labels that stand in a study, where it gives them none
KNOWN = f"one of {', '.join(BUILT_IN_RULES)}, a rule file (.yaml), or a name beside labels"


@dataclass
class PhasesReader:
    """Reads one section for the reader of its study, whose mistakes it adds to."""

    study: Reader
    settings: Mapping[str, Setting]
    name: str = OWN

    def __post_init__(self) -> None:
        self.document, self.wrong, self.section = self.study.document, self.study.wrong, self.study.section

    def read(self, path: KeyPath, content: Any) -> PhaseRule:
        """Return the rule; in error a built-in one to go on with."""
        if not isinstance(content, dict):
            return self.built_in(path, content)
        named = content.get("rule")
        rest = {key: value for key, value in content.items() if key not in ("rule", "at_step")}
        if "labels" in rest:
            rule = self.own((*path, "rule"), self.document, path, rest, str(named or self.name), {})
        elif isinstance(named, str) and named.endswith(RULE_FILES):
            rule = self.file(path, named, rest)
        elif named == NO_RULE and not rest:
            rule = PhaseRule.none()
        else:
            return self.built_in(path, content)
        at_step = {key: value for key, value in content.items() if key == "at_step"}
        return rule.model_copy(update={"at_step": self.section(path, PhaseRule, at_step).at_step})

    def built_in(self, path: KeyPath, content: Any) -> PhaseRule:
        """Read a built-in rule with its thresholds."""
        rule: PhaseRule = self.section(path, PhaseRule, content)
        if rule.rule not in BUILT_IN_RULES:
            hint = did_you_mean(rule.rule, BUILT_IN_RULES)
            self.wrong((*path, "rule"), f"= {describe(rule.rule)} is not allowed; allowed: {KNOWN}{hint}")
            return PhaseRule()
        return rule

    def file(self, path: KeyPath, named: str, thresholds: Mapping[Any, Any]) -> PhaseRule:
        """Read a rule from its file, which stands beside the study's."""
        named_at = (*path, "rule")
        if not self.study.files_allowed:
            self.wrong(named_at, "names a file, which a study sent to a service can't; allowed: the labels themselves")
            return PhaseRule()
        try:
            document = read_document(absolute(Path(self.document.source).parent, named))
        except StudyError as error:
            self.study.problems.extend(error.problems)
            return PhaseRule()
        except UserError as error:
            self.wrong(named_at, f"= {describe(named)}: {error}")
            return PhaseRule()
        self.study.problems.extend(document.problems)
        values = self.thresholds(path, named, document.content, thresholds)
        return self.own(named_at, document, (), document.content, Path(named).stem, values)

    def thresholds(self, path: KeyPath, named: str, content: Any, given: Mapping[Any, Any]) -> dict[str, float]:
        """Read other values for the parameters of a rule file."""
        parameters = content.get("parameters") if isinstance(content, dict) else None
        known = list(map(str, parameters)) if isinstance(parameters, dict) else []
        values = {}
        for key, value in given.items():
            if key not in known:
                hint = did_you_mean(str(key), known)
                self.wrong((*path, key), f"is not a parameter of {named}; allowed: {', '.join(('rule', *known))}{hint}")
            elif not is_number(value) or not math.isfinite(value):
                self.wrong((*path, key), f"= {describe(value)} is not allowed; allowed: a number")
            else:
                values[str(key)] = rounded(float(value))
        return values

    def own(
        self,
        named_at: KeyPath,
        document: Document,
        path: KeyPath,
        content: Any,
        text: str,
        thresholds: Mapping[str, float],
    ) -> PhaseRule:
        """Read own labels at a path of a document; ``named_at`` is where the study names them."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:64]
        if name in (*BUILT_IN_RULES, NO_RULE):
            self.wrong(named_at, f"= {describe(text)} is the name of a built-in rule; allowed: another name")
        rule, problems = read_rule(
            document,
            content,
            name,
            path=path,
            thresholds=thresholds,
            recorded=self.study.recorded,
            settings=self.settings,
        )
        self.study.problems.extend(problems)
        return PhaseRule() if rule is None or name in (*BUILT_IN_RULES, NO_RULE) else own_rule(rule)
