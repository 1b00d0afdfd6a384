"""The study card of a report: what was asked, how it was run and labelled, what it cost, and how to do it again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from phasemap.diagram.claim_links import link_words
from phasemap.diagram.claims import ClaimResult
from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.tables import Tables
from phasemap.phases.built_in import CITATION, built_in_words
from phasemap.phases.labelling import rules_differ
from phasemap.phases.strokes import readable
from phasemap.results.provenance import Execution
from phasemap.search.completed import map_words
from phasemap.study.rule import OTHERWISE, Rule
from phasemap.study.spec import NetworkStudy, PhaseRule, Study
from phasemap.study.trials import count_trials
from phasemap.study.writing import dump_study

Row = tuple[str, str]


def study_card(tables: Tables, executions: Sequence[Execution], claims: Sequence[ClaimResult]) -> dict[str, Any]:
    """Return the card: sections of named texts, the claims, and the study file."""
    study = tables.study
    sections = (
        ("What was asked", [("question", study.question or "none given"), *_axes(study), *_seeds(study)]),
        ("Setting", _settings(study)),
        (
            "Labels",
            [
                ("rule", ", ".join(filter(None, [readable(study.phases.rule), study.phases.horizon_words]))),
                ("meaning", rule_words(study.phases)),
                *_agreement(tables),
            ],
        ),
        ("Trials", _trials(tables)),
        ("Executions", _executions(executions)),
    )
    return {
        "sections": [{"title": title, "rows": rows} for title, rows in sections],
        "claims": [_claim(result) for result in claims],
        "study_file": dump_study(study),
        "study_name": f"{study.name}.yaml",
        "commands": [f"phasemap run {study.name}.yaml", f"phasemap report runs/{study.name}"],
        "replay": f"phasemap replay runs/{study.name}",
        "citation": CITATION if study.phases.own is None or isinstance(study, NetworkStudy) else "",
    }


def rule_words(rule: PhaseRule) -> str:
    """Say in words how a rule labels; of own labels, by their conditions."""
    words = _own_words(rule.own) if rule.own is not None else built_in_words(rule)
    if rule.at_step is None:
        return words
    return f"As if the training had ended at step {rule.at_step}, or the last record before it. {words}"


def _own_words(rule: Rule) -> str:
    """Write own labels in their order, with the thresholds and the window that they are judged by."""
    labels = [f"{readable(label.name)}: {OTHERWISE if label.when is None else label.when}" for label in rule.labels]
    where = [f"{name} = {value:g}" for name, value in rule.parameters]
    window = f"medians over the last {100 * rule.window:g} % of the steps" if rule.window else "at the last record"
    return ". ".join(["; ".join(labels), *([", ".join(where)] if where else []), f"Tried in this order, {window}."])


def _axes(study: Study) -> list[Row]:
    found = []
    for axis in study.axes:
        values = [show_value(value) for value in Coordinates(axis).values]
        found.append((readable(axis.name), ", ".join(values) if len(values) <= 24 else _ends(values)))
    return found


def _ends(values: Sequence[str]) -> str:
    return f"{len(values)} values from {values[0]} to {values[-1]}"


def _seeds(study: Study) -> list[Row]:
    seeds = list(map(str, study.seeds))
    return [("seeds", ", ".join(seeds) if len(seeds) <= 24 else _ends(seeds))]


def _settings(study: Study) -> list[Row]:
    """Name the task and the network, and every setting that is not at its default; of other programs all settings."""
    settings = study.settings()
    if not isinstance(study, NetworkStudy):
        return [(readable(name), readable(show_value(value))) for name, value in settings.items()]
    shown = ("task", "model", "modulus", "width", "depth", "activation", "steps", "optimizer", "learning_rate", "loss")
    names = [
        name for name in shown if name in settings and not (name == "modulus" and "modular" not in settings["task"])
    ]
    names += [n for n, value in settings.items() if n not in shown and value != study.declared[n].default]
    return [(readable(name), readable(show_value(settings[name]))) for name in names]


def _agreement(tables: Tables) -> list[Row]:
    differ, known = rules_differ(tables.trials) or (0, 0)
    return [("the two rules", f"differ on {differ} of {known} trials")] if known else []


def _trials(tables: Tables) -> list[Row]:
    total, counts = count_trials(tables.study), tables.trials["status"].value_counts()
    known = {"ok": "labelled", "diverged": "diverged", "failed": "failed"}
    known |= {"stopped": "stopped"} if "stopped" in counts else {}
    rows = [(words, f"{counts.get(status, 0)} of {total}") for status, words in known.items()]
    rows.append(("not trained", f"{total - int(counts.sum())} of {total}"))
    if tables.study.search.kind == "grid":
        return rows
    return [*rows, ("map", map_words(tables))]


def _executions(executions: Sequence[Execution]) -> list[Row]:
    """Say what made the run: the cost of all executions, and where and with what the last one trained."""
    if not executions:
        return [("provenance", "not recorded")]
    trained = [execution for execution in executions if execution.trained]
    told = (trained or executions)[-1]
    last = told.content
    git = last.get("git") or {}
    state = f"{git['commit'][:12]}{' with changes' if git.get('changed') else ''}" if git else "none"
    hours = math.fsum(execution.core_hours for execution in executions)
    rows = [
        ("cost", f"{hours:.3g} core-hours in {len(executions)} execution{'s' if len(executions) > 1 else ''}"),
        (
            "last that trained",
            f"{told.started or '?'} to {told.ended or 'not ended'}, {told.outcome or '?'}",
        ),
        ("command", shlex.join(map(str, last.get("command", [])))),
        ("runner", str(last.get("runner", "?"))),
        ("machine", ", ".join(filter(None, (told.machine("processor"), told.machine("platform"))))),
        ("devices", ", ".join(last.get("devices") or ["not recorded"])),
        ("versions", ", ".join(f"{name} {number}" for name, number in told.versions.items())),
        ("git commit of the working folder", state),
        ("hash of the study", told.study_hash or "?"),
    ]
    if labels := executions[-1].labels:
        at_step = f" at step {labels['rule']['at_step']}" if "at_step" in labels["rule"] else ""
        rows.append(("labelled again", f"{labels['since']}: {labels['rule']['rule']}{at_step}"))
    hashes = [execution.study_hash for execution in executions]
    return rows if len(set(hashes)) == 1 else [*rows, ("study changed", f"{len(set(hashes))} versions of it were run")]


def _claim(result: ClaimResult) -> dict[str, Any]:
    return {
        "text": result.text,
        "verdict": result.verdict,
        "numbers": [link_words(link, result.n_seeds) for link in result.links],
        "reason": result.reason,
    }
