"""The findings as one JSON document, and the folder that an audit leaves: tables, audit.json, and the page."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap._version import __version__
from phasemap.auditing.audit import Findings
from phasemap.auditing.decision import GAP, UNCLEAR, Decision
from phasemap.auditing.estimates import Estimate, Floats, of_draws, of_rounds
from phasemap.auditing.memorization import ENOUGH_TRAININGS
from phasemap.auditing.noise import write_sheet
from phasemap.auditing.options import Options
from phasemap.auditing.page import page_html
from phasemap.auditing.predictions import PredictionFindings
from phasemap.auditing.reading import read_table
from phasemap.auditing.response import AS_IT_IS, LearningCurve
from phasemap.auditing.suspects import NEIGHBOURS, WRONG_FROM
from phasemap.auditing.trainings import STEPS, WIDTH
from phasemap.results.encoding import json_text, plain
from phasemap.results.folder import write_text

SCHEMA = 1
AHEAD = (1.0, 1.5, 2.0, 4.0)  # times the rows, on the learning curve
TOP_ROWS = 25  # on the page
SCORE_BINS = 20
VERIFY_ROWS = 100


def content_of(found: Findings) -> dict[str, Any]:
    """Return what audit.json holds; numbers are plain, undefined ones null."""
    # Over rows that were not trained on, the mean may lie beyond the bound.
    expected, cautious = (min(float(p.mean()), found.noise.bound) for p in (found.probability, found.cautious))
    document = {
        "schema": SCHEMA,
        "phasemap": __version__,
        "options": found.options.as_json(),
        "data": _data(found),
        "notices": [notice.as_json() for notice in found.notices],
        "network": _network(found),
        "memorization": _memorization(found),
        "suspects": {
            "file": "suspects.csv",
            "rows": len(found.suspects),
            "wrong": int((found.probability >= WRONG_FROM).sum()),
            "expected_wrong_share": expected,
            "cautious_wrong_share": cautious,
            "neighbours": {"count": NEIGHBOURS, **asdict(found.neighbourhood)},
            "kinds": {str(k): int(n) for k, n in found.suspects["kind"].value_counts().items()},
            "top": _top(found),
        },
        "self_check": _self_check(found),
        "noise_rate": found.noise.as_json(),
        "corruption_response": _response(found),
        "learning_curve": {
            "points": found.learning.points(),
            "next": _next_sizes(found.learning),
        },
        "exposure": {"true_positive_rate_at_1_percent": found.exposure.as_json()},
        "decision": decision_json(found.decision),
        "model": None if found.verdict is None else asdict(found.verdict),
    }
    document["headlines"] = _headlines(found, cautious)
    document["stages"] = _stages(found)
    content: dict[str, Any] = plain(document)
    return content


def _network(found: Findings) -> dict[str, Any]:
    """Say what was trained: what the user named, or the audit's own network."""
    if found.options.program is not None:
        return {"kind": "own", "name": found.options.program}
    return {"kind": "mlp", "width": WIDTH, "steps": STEPS, found.response.regularizer: found.response.current}


def _data(found: Findings) -> dict[str, Any]:
    sizes = np.bincount(found.data.labels, minlength=found.data.n_classes)
    return {
        "rows": len(found.data.labels),
        "rows_used": len(found.used),
        "features": found.data.inputs.shape[1] - 1,
        "classes": {name: int(size) for name, size in zip(found.data.classes, sizes, strict=True)},
        "trainings": len(found.answers.trained),
        "effort": asdict(found.effort),
    }


def _memorization(found: Findings) -> dict[str, Any]:
    parts = {name: getattr(found.decomposition, name).as_json() for name in type(found.decomposition).__slots__}
    score = found.scores.score[np.isfinite(found.scores.score)]
    counts, edges = np.histogram(score, bins=SCORE_BINS, range=(-1, 1))
    trainings = len(found.answers.trained)
    return {
        **parts,
        "trainings": trainings,
        "largest_standard_error": float(np.nanmax(found.scores.error)),
        "claims_about_single_rows": trainings >= ENOUGH_TRAININGS,
        "histogram": {"edges": edges.tolist(), "rows": counts.tolist()},
    }


def _top(found: Findings) -> list[dict[str, Any]]:
    return [
        {**row, "memorization": _score_of(found, row["row"])}
        for row in found.suspects.head(TOP_ROWS).to_dict(orient="records")
    ]


def _score_of(found: Findings, row: int) -> float:
    place = np.searchsorted(found.used, row)
    used = place < len(found.used) and found.used[place] == row
    return float(found.scores.score[place]) if used else math.nan


def _self_check(found: Findings) -> dict[str, Any]:
    check = found.self_check
    measures = {name: getattr(check, name).as_json() for name in ("auc", "found")}
    return {"planted": check.planted, **measures, "trusted": check.trusted}


def _response(found: Findings) -> dict[str, Any]:
    response = found.response
    columns = ["corruption", response.regularizer, "phase", "subphase"]
    accuracies = ["test_accuracy", "memorized_accuracy", "recovered_accuracy"]
    return {
        "regularizer": None if response.regularizer == AS_IT_IS else response.regularizer,
        "current": response.current,
        "recommended": response.recommended,
        "gain": response.gain.as_json(),
        "loss_per_noise": of_rounds(response.losses()).as_json(),
        "generalized_from": response.generalized,
        "curve": response.curve(response.current),
        "map": response.points[columns + accuracies].to_dict(orient="records"),
        "run": f"trainings/{response.run}",
    }


def _next_sizes(learning: LearningCurve) -> list[dict[str, Any]]:
    """Return the accuracy expected at all rows, and at more of them."""
    sizes = [round(times * learning.n) for times in AHEAD]
    return [
        {"n_train": size, "accuracy": of_draws(1 - float(np.median(errors)), 1 - errors).as_json()}
        for size, errors in zip(sizes, learning.draws(sizes).T, strict=True)
    ]


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as plain values."""
    return {
        "action": decision.action,
        "spend": decision.spend,
        "visibility": decision.visibility,
        "prices": asdict(decision.prices),
        "actions": {
            name: {"gain": gain.as_json(), "net_value": decision.net[name].as_json()}
            for name, gain in decision.gains.items()
        },
        "map": list(decision.flips),
    }


def _headlines(found: Findings, cautious: float) -> list[dict[str, Any]]:
    """Return the first screen: three questions, each with a number, its interval and the code of a sentence."""
    parts, decision = found.decomposition, found.decision
    rate = found.noise.point.value if found.noise.point is not None else cautious
    cost = of_rounds(found.response.losses() * rate / decision.visibility**2).within(-1.0, 1.0)  # of an accuracy
    memorizes = "memorizing" if parts.gap.low > GAP else "hardly_memorizing" if parts.gap.high <= GAP else "maybe"
    harmful = parts.harmful.value / parts.gap.value if parts.gap.value > 0 else 0.0
    done = [action for action in decision.net if action != "nothing"]
    best = decision.action if decision.action in done else max(done, key=lambda name: decision.net[name].value)
    return [
        {"question": "memorizing", "estimate": parts.gap.as_json(), "sentence": memorizes, "harmful_share": harmful},
        {
            "question": "wrong_labels",
            "estimate": cost.as_json(),
            "sentence": _cost_sentence(found, cost),
            "rate": rate,
            "bound": found.noise.bound,
        },
        {
            "question": "next_step",
            "estimate": decision.gains[best].as_json(),
            "sentence": decision.action,
            "action": best,
            "spend": decision.spend,
            "verify": min(VERIFY_ROWS, len(found.suspects)),
        },
    ]


def _cost_sentence(found: Findings, cost: Estimate) -> str:
    if not found.self_check.trusted:
        return "cost_untrusted"
    return "cost_clear" if cost.low > 0 else "cost_unclear"


def _stages(found: Findings) -> list[dict[str, Any]]:
    """Return the way from this check to a roll-out; each stage says which answer would stop it."""
    decision, prices = found.decision, found.decision.prices
    loss = of_rounds(found.response.losses()).value / decision.visibility**2
    per_label = loss / len(found.data.labels) * prices.value_error * prices.volume
    error = prices.relabel_error
    break_even = (prices.cost_label / per_label + error) if per_label > 0 else math.inf
    top = np.sort(found.cautious)[::-1][:30]
    return [
        {"stage": "check", "passed": decision.action not in ("nothing", UNCLEAR)},
        {
            "stage": "verify",
            "rows": min(VERIFY_ROWS, len(found.suspects)),
            "break_even": break_even,
            "expected": float(top.mean()),
        },
        {"stage": "pilot", "spend": 0.1 * decision.spend},
        {"stage": "roll_out", "spend": decision.spend, "break_even": break_even},
    ]


SUSPECTS, SCORES, RESPONSE, LEARNING, CONTENT, PAGE, SHEET = (
    "suspects.csv", "scores.csv", "corruption_response.csv", "learning_curve.csv", "audit.json", "audit.html",
    "verify_sheet.csv",
)  # fmt: skip


def write_findings(found: Findings) -> dict[str, Any]:
    """Write everything that an audit found into its folder and return what audit.json holds."""
    folder, options = found.options.output, found.options
    content = content_of(found)
    _csv(folder / SUSPECTS, found.suspects)
    _csv(folder / SCORES, _scores(found))
    _csv(folder / RESPONSE, found.response.trials)
    _csv(folder / LEARNING, found.learning.trials)
    if options.verify_sheet is not None:
        write_sheet(folder / SHEET, found.suspects, options.verify_sheet)
    write_text(folder / CONTENT, json_text(content, indent=2) + "\n")
    write_text(folder / PAGE, page_html(content, options.language, _rows(found, content)))
    return content


UNKNOWN = ("neighbours", "self_check", "response", "learning", "decision", "other_trainings")


def content_of_rounds(told: PredictionFindings, options: Options) -> dict[str, Any]:
    """Return what audit.json holds of an audit of predictions alone."""
    found = told.rounds
    sizes = np.bincount(found.labels, minlength=len(found.classes))
    expected, cautious = (min(float(p.mean()), told.noise.bound) for p in (told.probability, told.cautious))
    document = {
        "schema": SCHEMA,
        "phasemap": __version__,
        "options": options.as_json(),
        "network": {"kind": "predictions"},
        "data": {
            "rows": len(found.rows),
            "judged": int(told.judged.sum()),
            "on_both_sides": int(told.both.sum()),
            "classes": {name: int(size) for name, size in zip(found.classes, sizes, strict=True)},
            "trainings": len(found.trained),
        },
        "notices": [],
        "memorization": {
            **{name: getattr(told.decomposition, name).as_json() for name in type(told.decomposition).__slots__},
            "trainings": len(found.trained),
            "largest_standard_error": _largest(told.scores.error),
            "claims_about_single_rows": len(found.trained) >= ENOUGH_TRAININGS,
        },
        "suspects": {
            "file": "suspects.csv",
            "rows": len(told.suspects),
            "wrong": int((told.probability >= WRONG_FROM).sum()),
            "expected_wrong_share": expected,
            "cautious_wrong_share": cautious,
            "top": _top_of_rounds(told),
        },
        "noise_rate": told.noise.as_json(),
        "exposure": {"true_positive_rate_at_1_percent": told.exposure.as_json(), "attack": told.attack},
        "calibration": {"expected_error": told.calibration.as_json(), **_sureness(told)},
        "cannot_tell": list(UNKNOWN),
        "headlines": _headlines_of_rounds(told, cautious),
    }
    content: dict[str, Any] = plain(document)
    return content


def _top_of_rounds(told: PredictionFindings) -> list[dict[str, Any]]:
    score = dict(zip(told.rounds.rows, told.scores.score, strict=True))
    rows = told.suspects.head(TOP_ROWS).to_dict(orient="records")
    return [{**row, "memorization": score[row["row"]]} for row in rows]


def _sureness(told: PredictionFindings) -> dict[str, float]:
    return {"confidence": told.confidence, "accuracy": told.accuracy}


def _headlines_of_rounds(told: PredictionFindings, cautious: float) -> list[dict[str, Any]]:
    """Answer the three questions of the first screen."""
    parts, noise = told.decomposition, told.noise
    rate = noise.point or Estimate(value=cautious, low=0.0, high=noise.bound)
    memorizes = "memorizing" if parts.gap.low > GAP else "hardly_memorizing" if parts.gap.high <= GAP else "maybe"
    return [
        {
            "question": "memorizing",
            "estimate": parts.gap.as_json(),
            "sentence": memorizes,
            "harmful_share": parts.harmful.value / parts.gap.value if parts.gap.value > 0 else 0.0,
        },
        {
            "question": "wrong_share",
            "estimate": rate.as_json(),
            "sentence": "wrong_share" if noise.point is None else "wrong_share_declared",
            "bound": noise.bound,
            "rate": rate.value,
            "unit": "percent",
        },
        {
            "question": "calibrated",
            "estimate": told.calibration.as_json(),
            "sentence": "calibrated",
            **_sureness(told),
        },
    ]


def _largest(errors: Floats) -> float:
    return float(np.nanmax(errors)) if np.isfinite(errors).any() else math.nan


def write_rounds(told: PredictionFindings, options: Options) -> dict[str, Any]:
    """Write what predictions alone tell into the audit's folder and return what audit.json holds."""
    folder, content = options.output, content_of_rounds(told, options)
    _csv(folder / SUSPECTS, told.suspects)
    columns = {"row": told.rounds.rows, "memorization": told.scores.score, "standard_error": told.scores.error}
    _csv(folder / SCORES, pd.DataFrame(columns))
    write_text(folder / CONTENT, json_text(content, indent=2) + "\n")
    write_text(folder / PAGE, page_html(content, options.language, {}))
    return content


def _scores(found: Findings) -> pd.DataFrame:
    """Return the memorization score of each row that was used, with its standard error."""
    columns = {"row": found.used, "memorization": found.scores.score, "standard_error": found.scores.error}
    return pd.DataFrame(columns)


def _rows(found: Findings, content: dict[str, Any]) -> dict[int, str]:
    """Return the contents of the rows that the page lists; none unless they were asked for."""
    if not found.options.embed_rows:
        return {}
    assert found.options.data is not None
    features = read_table(found.options.data, found.options.columns, found.options.encoding).features
    rows = [int(row["row"]) for row in content["suspects"]["top"]]
    if isinstance(features, pd.DataFrame):
        return {row: ", ".join(f"{name}: {value}" for name, value in features.iloc[row].items()) for row in rows}
    return {row: np.array2string(features[row].ravel(), threshold=20, precision=3) for row in rows}


def _csv(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.6g"))
