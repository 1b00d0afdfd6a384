"""The findings as one JSON document, and the folder that an audit leaves: tables, audit.json, and the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap._version import __version__
from phasemap.auditing.audit import Findings
from phasemap.auditing.decision import GAP, UNCLEAR, Decision
from phasemap.auditing.inputs import Options, read_table
from phasemap.auditing.measures import ENOUGH_TRAININGS, Decomposition, Estimate, of_draws, of_rounds
from phasemap.auditing.page import page_html
from phasemap.auditing.predictions import PredictionFindings
from phasemap.auditing.response import AS_IT_IS, LearningCurve
from phasemap.auditing.suspects import NEIGHBOURS, WRONG_FROM, write_sheet
from phasemap.auditing.trainings import STEPS, WIDTH
from phasemap.results.encoding import json_text, plain
from phasemap.results.folder import write_text
from phasemap.tasks.dataset import Ints

SCHEMA = 1
AHEAD = (1.0, 1.5, 2.0, 4.0)  # times the rows, on the learning curve
TOP_ROWS = 25  # on the page
SCORE_BINS = 20
VERIFY_ROWS = 100


def content_of(findings: Findings) -> dict[str, Any]:
    """Return what audit.json holds; numbers are plain, undefined ones null."""
    suspects = _suspects(findings, lambda row: _score_of(findings, row))
    suspects["neighbours"] = {"count": NEIGHBOURS, **asdict(findings.neighbourhood)}
    suspects["kinds"] = {str(k): int(n) for k, n in findings.suspects["kind"].value_counts().items()}
    document = {
        "schema": SCHEMA,
        "phasemap": __version__,
        "options": findings.options.as_json(),
        "data": _data(findings),
        "notices": [notice.as_json() for notice in findings.notices],
        "network": _network(findings),
        "memorization": _memorization(findings, len(findings.answers.trained)) | {"histogram": _histogram(findings)},
        "suspects": suspects,
        "self_check": _self_check(findings),
        "noise_rate": findings.noise.as_json(),
        "corruption_response": _response(findings),
        "learning_curve": {
            "points": findings.learning.points(),
            "next": _next_sizes(findings.learning),
        },
        "exposure": {"true_positive_rate_at_1_percent": findings.exposure.as_json()},
        "decision": decision_json(findings.decision),
        "model": None if findings.verdict is None else asdict(findings.verdict),
    }
    document["headlines"] = _headlines(findings, suspects["cautious_wrong_share"])
    document["stages"] = _stages(findings)
    content: dict[str, Any] = plain(document)
    return content


def _network(findings: Findings) -> dict[str, Any]:
    """Say what was trained: what the user named, or the audit's own network."""
    if findings.options.program is not None:
        return {"kind": "own", "name": findings.options.program}
    return {"kind": "mlp", "width": WIDTH, "steps": STEPS, findings.response.regularizer: findings.response.current}


def _data(findings: Findings) -> dict[str, Any]:
    return {
        "rows": len(findings.data.labels),
        "rows_used": len(findings.used),
        "features": findings.data.inputs.shape[1] - 1,
        "classes": _sizes(findings.data.labels, findings.data.classes),
        "trainings": len(findings.answers.trained),
        "effort": asdict(findings.effort),
    }


def _sizes(labels: Ints, classes: Sequence[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def _memorization(findings: Findings | PredictionFindings, trainings: int) -> dict[str, Any]:
    errors = findings.scores.error
    return {
        **{name: getattr(findings.decomposition, name).as_json() for name in type(findings.decomposition).__slots__},
        "trainings": trainings,
        "largest_standard_error": float(np.nanmax(errors)) if np.isfinite(errors).any() else math.nan,
        "claims_about_single_rows": trainings >= ENOUGH_TRAININGS,
    }


def _histogram(findings: Findings) -> dict[str, Any]:
    score = findings.scores.score[np.isfinite(findings.scores.score)]
    counts, edges = np.histogram(score, bins=SCORE_BINS, range=(-1, 1))
    return {"edges": edges.tolist(), "rows": counts.tolist()}


def _suspects(findings: Findings | PredictionFindings, score_of: Callable[[int], float]) -> dict[str, Any]:
    # over rows that were not trained on, the mean may lie beyond the bound
    expected, cautious = (min(float(p.mean()), findings.noise.bound) for p in (findings.probability, findings.cautious))
    rows = findings.suspects.head(TOP_ROWS).to_dict(orient="records")
    return {
        "file": SUSPECTS,
        "rows": len(findings.suspects),
        "wrong": int((findings.probability >= WRONG_FROM).sum()),
        "expected_wrong_share": expected,
        "cautious_wrong_share": cautious,
        "top": [{**row, "memorization": score_of(row["row"])} for row in rows],
    }


def _score_of(findings: Findings, row: int) -> float:
    place = np.searchsorted(findings.used, row)
    used = place < len(findings.used) and findings.used[place] == row
    return float(findings.scores.score[place]) if used else math.nan


def _self_check(findings: Findings) -> dict[str, Any]:
    check = findings.self_check
    measures = {name: getattr(check, name).as_json() for name in ("auc", "found")}
    return {"planted": check.planted, **measures, "trusted": check.trusted}


def _response(findings: Findings) -> dict[str, Any]:
    response = findings.response
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


def _headlines(findings: Findings, cautious: float) -> list[dict[str, Any]]:
    """Return the first screen: three questions, each with a number, its interval and the code of a sentence."""
    decision = findings.decision
    rate = findings.noise.point.value if findings.noise.point is not None else cautious
    draws = decision.slopes.cleaned(rate)
    cost = of_draws(float(np.median(draws)), draws).within(-1.0, 1.0)  # of an accuracy
    done = [action for action in decision.net if action != "nothing"]
    best = decision.action if decision.action in done else max(done, key=lambda name: decision.net[name].value)
    return [
        _memorizing(findings.decomposition),
        {
            "question": "wrong_labels",
            "estimate": cost.as_json(),
            "sentence": _cost_sentence(findings, cost),
            "rate": rate,
            "bound": findings.noise.bound,
        },
        {
            "question": "next_step",
            "estimate": decision.gains[best].as_json(),
            "sentence": decision.action,
            "action": best,
            "spend": decision.spend,
            "verify": min(VERIFY_ROWS, len(findings.suspects)),
        },
    ]


def _memorizing(parts: Decomposition) -> dict[str, Any]:
    sentence = "memorizing" if parts.gap.low > GAP else "hardly_memorizing" if parts.gap.high <= GAP else "maybe"
    harmful = parts.harmful.value / parts.gap.value if parts.gap.value > 0 else 0.0
    return {"question": "memorizing", "estimate": parts.gap.as_json(), "sentence": sentence, "harmful_share": harmful}


def _cost_sentence(findings: Findings, cost: Estimate) -> str:
    if not findings.self_check.trusted:
        return "cost_untrusted"
    return "cost_clear" if cost.low > 0 else "cost_unclear"


def _stages(findings: Findings) -> list[dict[str, Any]]:
    """Return the way from this check to a roll-out; each stage says which answer would stop it."""
    decision, prices = findings.decision, findings.decision.prices
    gained = float(np.median(decision.slopes.cleaned(1 / len(findings.data.labels))))
    per_label = gained * prices.value_error * prices.volume
    error = prices.relabel_error
    break_even = (prices.cost_label / per_label + error) if per_label > 0 else math.inf
    top = np.sort(findings.cautious)[::-1][:30]
    return [
        {"stage": "check", "passed": decision.action not in ("nothing", UNCLEAR)},
        {
            "stage": "verify",
            "rows": min(VERIFY_ROWS, len(findings.suspects)),
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


def write_findings(findings: Findings) -> dict[str, Any]:
    """Write everything that an audit found into its folder and return what audit.json holds."""
    folder, options = findings.options.output, findings.options
    content = content_of(findings)
    _csv(folder / RESPONSE, findings.response.trials)
    _csv(folder / LEARNING, findings.learning.trials)
    if options.verify_sheet is not None:
        write_sheet(folder / SHEET, findings.suspects, options.verify_sheet)
    return _write(options, findings, findings.used, content, _rows(findings, content))


UNKNOWN = ("neighbours", "self_check", "response", "learning", "decision", "other_trainings")


def content_of_rounds(told: PredictionFindings, options: Options) -> dict[str, Any]:
    """Return what audit.json holds of an audit of predictions alone."""
    findings = told.rounds
    suspects = _suspects(told, dict(zip(findings.rows, told.scores.score, strict=True)).__getitem__)
    document = {
        "schema": SCHEMA,
        "phasemap": __version__,
        "options": options.as_json(),
        "network": {"kind": "predictions"},
        "data": {
            "rows": len(findings.rows),
            "judged": int(told.judged.sum()),
            "on_both_sides": int(told.both.sum()),
            "classes": _sizes(findings.labels, findings.classes),
            "trainings": len(findings.trained),
        },
        "notices": [],
        "memorization": _memorization(told, len(findings.trained)),
        "suspects": suspects,
        "noise_rate": told.noise.as_json(),
        "exposure": {"true_positive_rate_at_1_percent": told.exposure.as_json(), "attack": told.attack},
        "calibration": {"expected_error": told.calibration.as_json(), **_sureness(told)},
        "cannot_tell": list(UNKNOWN),
        "headlines": _headlines_of_rounds(told, suspects["cautious_wrong_share"]),
    }
    content: dict[str, Any] = plain(document)
    return content


def _sureness(told: PredictionFindings) -> dict[str, float]:
    return {"confidence": told.confidence, "accuracy": told.accuracy}


def _headlines_of_rounds(told: PredictionFindings, cautious: float) -> list[dict[str, Any]]:
    """Answer the three questions of the first screen."""
    noise = told.noise
    rate = noise.point or Estimate(value=cautious, low=0.0, high=noise.bound)
    return [
        _memorizing(told.decomposition),
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


def write_rounds(told: PredictionFindings, options: Options) -> dict[str, Any]:
    """Write what predictions alone tell into the audit's folder and return what audit.json holds."""
    return _write(options, told, told.rounds.rows, content_of_rounds(told, options), {})


def _write(
    options: Options,
    findings: Findings | PredictionFindings,
    scored: Ints,
    content: dict[str, Any],
    shown: Mapping[int, str],
) -> dict[str, Any]:
    """Write what every audit tells: suspects, the memorization scores of some rows, audit.json and the page."""
    folder = options.output
    _csv(folder / SUSPECTS, findings.suspects)
    columns = {"row": scored, "memorization": findings.scores.score, "standard_error": findings.scores.error}
    _csv(folder / SCORES, pd.DataFrame(columns))
    write_text(folder / CONTENT, json_text(content, indent=2) + "\n")
    write_text(folder / PAGE, page_html(content, options.language, shown))
    return content


def _rows(findings: Findings, content: dict[str, Any]) -> dict[int, str]:
    """Return the contents of the rows that the page lists; none unless they were asked for."""
    if not findings.options.embed_rows:
        return {}
    assert findings.options.data is not None
    features = read_table(findings.options.data, findings.options.columns, findings.options.encoding).features
    rows = [int(row["row"]) for row in content["suspects"]["top"]]
    if isinstance(features, pd.DataFrame):
        return {row: ", ".join(f"{name}: {value}" for name, value in features.iloc[row].items()) for row in rows}
    return {row: np.array2string(features[row].ravel(), threshold=20, precision=3) for row in rows}


def _csv(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.6g"))
