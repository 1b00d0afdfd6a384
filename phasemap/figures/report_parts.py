"""The parts of a report: the study card, the curves of trials, and the lines of its maps."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from phasemap.diagram.bands import drawn_bands, ribbons
from phasemap.diagram.claim_links import link_words
from phasemap.diagram.claims import ClaimResult
from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import Diagram, Panel, make_diagram
from phasemap.diagram.frontier import Floats, map_frontiers
from phasemap.diagram.tables import Tables
from phasemap.figures.page import NONE, Scale, packed, scale_for, scale_of
from phasemap.phases.built_in import CITATION, WINS_COLUMN, built_in_words
from phasemap.phases.curves import Curves
from phasemap.phases.labelling import rules_differ
from phasemap.phases.marks import marks_of
from phasemap.phases.strokes import readable
from phasemap.results.merge import curves_of
from phasemap.results.provenance import Execution
from phasemap.search.completed import map_words
from phasemap.study.conditions import Kind
from phasemap.study.imported import ImportedStudy
from phasemap.study.rule import OTHERWISE, Rule
from phasemap.study.spec import NetworkStudy, PhaseRule, Study
from phasemap.study.trials import trials_of_run
from phasemap.study.writing import dump_study

MOST_LISTED = 24  # values of an axis that are all written

Row = tuple[str, str]


def study_card(tables: Tables, executions: Sequence[Execution], claims: Sequence[ClaimResult]) -> dict[str, Any]:
    """Return the card: sections of named texts, the claims, and the study file."""
    study = tables.study
    sections = (
        ("What was asked", [("question", study.question or "none given"), *_axes(study)]),
        ("Setting", _settings(study)),
        (
            "Labels",
            [
                ("rule", ", ".join(filter(None, [readable(study.phases.rule), study.phases.horizon_words]))),
                ("meaning", rule_words(study.phases)),
                *_agreement(tables),
            ]
            if study.phases.labels
            else [("rule", "none: the run is a map of its quantities")],
        ),
        ("Trials", _trials(tables)),
        ("Executions", _executions(executions)),
    )
    return {
        "sections": [{"title": title, "rows": rows} for title, rows in sections if rows],
        "claims": [_claim(result) for result in claims],
        "study_file": dump_study(study),
        "study_name": f"{study.name}.yaml",
        **_again(study, executions),
        "replay": f"phasemap replay runs/{study.name}",
        "citation": CITATION if study.phases.own is None or isinstance(study, NetworkStudy) else "",
    }


def _again(study: Study, executions: Sequence[Execution]) -> dict[str, Any]:
    """Return how a run is made again: by its study file; of an imported sweep by what brought it in."""
    report = f"phasemap report runs/{study.name}"
    if not isinstance(study, ImportedStudy):
        how = "Save the study file below, then run these commands; they make the diagram and this page again."
        return {"again": how, "commands": [f"phasemap run {study.name}.yaml", report]}
    told = [execution.content.get("command") or [] for execution in executions]
    commands = [shlex.join(map(str, command)) for command in told if "import" in command]
    return {
        "again": "The trials were trained elsewhere; this is how they were imported.",
        "commands": [*commands, report],
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
    rows = [(readable(axis.name), _listed(list(map(show_value, Coordinates(axis).values)))) for axis in study.axes]
    return [*rows, ("seeds", _listed(list(map(str, study.seeds))))]


def _listed(values: Sequence[str]) -> str:
    if len(values) <= MOST_LISTED:
        return ", ".join(values)
    return f"{len(values)} values from {values[0]} to {values[-1]}"


def _settings(study: Study) -> list[Row]:
    """Name the task and the network, and every setting that is not at its default; of other programs all settings."""
    settings = study.settings()
    if not isinstance(study, NetworkStudy):
        return [(readable(name), readable(show_value(value))) for name, value in settings.items()]
    shown = ("task", "model", "modulus", "width", "depth", "activation", "steps", "optimizer", "learning_rate", "loss")
    names = [name for name in shown if name in settings and (name != "modulus" or "modular" in settings["task"])]
    names += [n for n, value in settings.items() if n not in shown and value != study.declared[n].default]
    return [(readable(name), readable(show_value(settings[name]))) for name in names]


def _agreement(tables: Tables) -> list[Row]:
    differ, known = rules_differ(tables.trials) or (0, 0)
    return [("the two built-in rules", f"differ on {differ} of {known} trials")] if known else []


def _trials(tables: Tables) -> list[Row]:
    total, counts = trials_of_run(tables.study, len(tables.trials)), tables.trials["status"].value_counts()
    known = {"ok": "labelled" if tables.study.phases.labels else "finished", "diverged": "diverged", "failed": "failed"}
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
        ("last training", f"{_when(told.started)} to {_when(told.ended)}, {told.outcome or 'outcome not recorded'}"),
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


def _when(moment: str | None) -> str:
    """Write a moment as people read it, in UTC; what is none stays as it is."""
    try:
        return f"{datetime.fromisoformat(moment or '?').astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return moment or "?"


def _claim(result: ClaimResult) -> dict[str, Any]:
    return {
        "text": result.text,
        "verdict": result.verdict,
        "numbers": [link_words(link, result.n_seeds) for link in result.links],
        "reason": result.reason,
    }


LEVELS = 1000  # a quantity is kept to three digits of its range
RECORDS = (48, 32, 24, 16, 12, 8, 5)  # numbers of records that are tried where all are too many
MOST_TEXTS, LONGEST_TEXT = 100, 500

SAMPLE = 1000  # trials from which the size of all curves is estimated

Integers = NDArray[np.int64]
Group = tuple[Integers, Curves]


def trial_rows(tables: Tables, ids: Sequence[str], step_times: Sequence[str]) -> dict[str, Any]:
    """Return what is known of the trials of the given ids."""
    trials = tables.trials.set_index("trial_id").reindex(ids)
    names = list(marks_of(tables.study.phases))
    status = trials["status"].replace("stopped", "missing")  # elsewhere, before its end
    labels = trials["subphase"].fillna("unlabelled").where(trials["status"] == "ok", status).fillna("missing")
    times = trials[list(step_times)].to_numpy(dtype=float).T  # (step times, trials)
    scale = scale_for(times)
    return {
        "ids": packed(np.frombuffer(bytes.fromhex("".join(ids)), dtype=np.uint8)),
        "marks": packed(labels.map(names.index).to_numpy(dtype=np.uint8)),
        "times": {"names": list(step_times), "scale": scale.content(), "codes": packed(scale.encode(times))},
        **_errors(trials["error"]),
    }


def trial_curves(
    rows: pa.Table | None, kinds: Mapping[str, Kind], ids: Sequence[str], most_bytes: int
) -> dict[str, Any]:
    """Return quantities of some kinds over the steps, at all records or at fewer, so that they fit into ``most_bytes``.

    Without ``rows`` there are no curves.
    """
    slots = {trial_id: number for number, trial_id in enumerate(ids)}
    groups = [] if rows is None else _groups(rows, tuple(kinds), slots)
    values = {name: [curves.values[name].ravel() for _, curves in groups] for name in kinds}
    scales = {name: scale_of(kind, np.concatenate([np.zeros(0), *values[name]])) for name, kind in kinds.items()}
    most = max((len(curves.steps) for _, curves in groups), default=0)
    for records in (most, *(number for number in RECORDS if number < most)):
        if _sampled_bytes(groups, scales, records) <= most_bytes:
            content = _packed_curves(groups, scales, records, len(ids))
            if len(content["codes"]["data"]) <= most_bytes:
                return content | {"records": records, "recorded": most}
    return _packed_curves([], scales, 0, len(ids)) | {"records": 0, "recorded": most}


def _errors(errors: pd.Series) -> dict[str, Any]:
    """Return the distinct error messages, cut, and which trial has which."""
    texts: dict[str, int] = {}
    pairs = []
    for slot, error in enumerate(errors):
        if isinstance(error, str):
            text = error if len(error) <= LONGEST_TEXT else error[:LONGEST_TEXT] + "..."
            if text in texts or len(texts) < MOST_TEXTS:
                pairs.append([slot, texts.setdefault(text, len(texts))])
    return {"errors": list(texts), "error_of": pairs}


def _groups(rows: pa.Table, names: Sequence[str], slot_of: Mapping[str, int]) -> list[Group]:
    """Return (slots, curves) for each group of trials that were recorded at the same steps, slots rising."""
    slots = np.asarray([slot_of[trial_id] for trial_id in rows["trial_id"].to_pylist()], dtype=np.int64)
    by_slot = np.argsort(slots)
    groups = curves_of(rows.take(pa.array(by_slot)), names)
    return [(slots[by_slot][members], curves) for members, curves in groups if len(curves.steps)]


def _sampled_bytes(groups: Sequence[Group], scales: Mapping[str, Scale], records: int) -> float:
    """Estimate the size of packed curves from every n-th trial, a little low: the size itself is tested after it."""
    total = 0.0
    for slots, curves in groups:
        every = -(-len(slots) // SAMPLE)
        changes = _changes(curves, scales, _kept(curves, records), every)
        total += len(_planes(changes)["data"]) * len(slots) / -(-len(slots) // every)
    return 0.97 * total


def _packed_curves(groups: Sequence[Group], scales: Mapping[str, Scale], records: int, n_slots: int) -> dict[str, Any]:
    """Pack the number of each slot's group (NONE without a curve), and the groups' curves one after the other."""
    grid_of = np.full(n_slots, NONE, dtype=np.uint16)
    grids, parts = [], [np.zeros(0, dtype=np.uint16)]
    for number, (slots, curves) in enumerate(groups):
        grid_of[slots] = number
        kept = _kept(curves, records)
        grids.append(curves.steps[kept].tolist())
        parts.append(_changes(curves, scales, kept))
    return {
        "names": list(scales),
        "scales": {name: scale.content() for name, scale in scales.items()},
        "levels": LEVELS,
        "grids": grids,
        "grid_of": packed(grid_of),
        "codes": _planes(np.concatenate(parts)),
    }


def _kept(curves: Curves, records: int) -> Integers:
    """Choose at most so many records, the first and the last among them."""
    return np.unique(np.linspace(0, len(curves.steps) - 1, records).round().astype(np.int64))


def _changes(curves: Curves, scales: Mapping[str, Scale], kept: Integers, every: int = 1) -> NDArray[np.uint16]:
    """Return the changes of the codes from record to record (modulo 65536), by trial and quantity, flat.

    Changes deflate well: most curves are flat most of the time.
    """
    codes = []
    for name, scale in scales.items():
        values = curves.values[name][::every][:, kept]
        codes.append(np.where(np.isfinite(values), np.round(scale.shares(values) * LEVELS), NONE).astype(np.uint16))
    stacked = np.stack(codes, axis=1)  # (n, quantities, R)
    return np.asarray(np.diff(stacked, axis=2, prepend=np.uint16(0)).ravel(), dtype=np.uint16)


def _planes(codes: NDArray[np.uint16]) -> dict[str, str]:
    """Pack the low bytes of all codes, then the high ones, which are nearly all equal."""
    return packed(codes.astype("<u2").view("u1").reshape(-1, 2).T)


MOST_PANELS = 4000  # over all pairs of axes and steps; beyond, only the last step has lines
GRID = 10_000  # positions are whole numbers from 0 to this across a panel


def axis_pairs(study: Study) -> list[tuple[str, str | None]]:
    """Return the pairs of axes that a map can have; one axis has no second."""
    names = study.axis_names
    return list(itertools.combinations(names, 2)) if len(names) > 1 else [(names[0], None)]


def all_maps(study: Study, points: pd.DataFrame) -> list[Diagram]:
    """Return the map over each pair of axes, with the others as facets."""
    pairs = axis_pairs(study)
    others = [[name for name in study.axis_names if name not in pair] for pair in pairs]
    return [make_diagram(study, points, x=x, y=y, facet=facet) for (x, y), facet in zip(pairs, others, strict=True)]


def n_panels(study: Study) -> int:
    """Count the panels of all maps."""
    return sum(math.prod(len(a.values) for a in study.axes if a.name not in pair) for pair in axis_pairs(study))


def frontier_lines(study: Study, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return the frontiers of the points at each step (``frames``, the last step last), packed.

    ``lines`` has a row (pair, step, kind, panel, n) for each line; ``vertices`` has their x and y, one after the other.
    Panels are numbered over the other axes in the study's order, values as in the picture.
    """
    first = 0 if n_panels(study) * len(frames) <= MOST_PANELS else len(frames) - 1
    frontiers = map_frontiers(study)
    columns = list(dict.fromkeys(name for frontier in frontiers for name in frontier.drawn_columns))
    texts = {name: object for name in columns if name == WINS_COLUMN}  # cheaper to cut into panels than strings
    lines = (
        ((number, step, code), diagram, panel, line)
        for step, frame in list(enumerate(frames))[first:]
        for number, diagram in enumerate(all_maps(study, frame[columns].astype(texts)))
        for panel, (code, frontier) in itertools.product(diagram.panels, enumerate(frontiers))
        for line in diagram.frontier_positions(panel, frontier, to_frame=True)
    )
    return packed_lines(axis_pairs(study), first, lines)


def frontier_bands(study: Study, points: pd.DataFrame, trials: pd.DataFrame, last_step: int) -> dict[str, Any]:
    """Return the outlines of the bands at the last step, in the form of ``frontier_lines``; of a grid none."""
    if study.search.kind == "grid" or n_panels(study) > MOST_PANELS:
        return packed_lines([], 0, ())
    names = [frontier.name for frontier in map_frontiers(study)]
    lines = (
        ((number, last_step, names.index(band.kind)), diagram, diagram.panels[at], outline)
        for number, diagram in enumerate(all_maps(study, points))
        for at, bands in enumerate(drawn_bands(diagram, trials))
        for band in bands
        for outline in ribbons(diagram, at, band)
    )
    return packed_lines(axis_pairs(study), last_step, lines)


def packed_lines(
    pairs: Sequence[tuple[str, str | None]],
    first_step: int,
    lines: Iterable[tuple[tuple[int, int, int], Diagram, Panel, Floats]],
) -> dict[str, Any]:
    """Return lines as the page reads them: five numbers each, and the vertices (n, 2) of all."""
    rows: list[tuple[int, ...]] = []
    parts: list[Floats] = [np.zeros((0, 2))]
    for numbers, diagram, panel, line in lines:
        rows.append((*numbers, panel_number(diagram, panel), len(line)))
        parts.append(shares(diagram, line))
    return {
        "pairs": pairs,
        "first_step": first_step,
        "lines": packed(np.asarray(rows, dtype=np.uint16).reshape(-1, 5)),
        "vertices": packed(np.round(np.concatenate(parts) * GRID).astype(np.uint16)),
    }


def panel_number(diagram: Diagram, panel: Panel) -> int:
    """Return a panel's number over the other axes, in the study's order with values as in the picture."""
    number = 0
    for axis in diagram.facets:
        values = Coordinates(axis).values
        number = number * len(values) + values.index(panel.facet[axis.name])
    return number


def shares(diagram: Diagram, line: Floats) -> Floats:
    """Return a line's places as shares of the panel, from the left and from below."""
    ends = [(axis.edges[0], axis.edges[-1]) for axis in (diagram.x, diagram.y)]
    shares = [(line[:, i] - low) / (high - low) for i, (low, high) in enumerate(ends)]
    return np.clip(np.stack(shares, axis=1), 0, 1)
