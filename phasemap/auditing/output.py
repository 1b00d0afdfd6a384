"""The folder that an audit leaves: tables, audit.json, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap.auditing.audit import Findings
from phasemap.auditing.content import content_of
from phasemap.auditing.page import page_html
from phasemap.auditing.reading import read_table
from phasemap.auditing.verification import write_sheet
from phasemap.results.folder import write_text

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
    write_text(folder / CONTENT, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / PAGE, page_html(content, options.language, _rows(found, content)))
    return content


def _scores(found: Findings) -> pd.DataFrame:
    """Return the memorization score of each row that was used, with its standard error."""
    columns = {"row": found.used, "memorization": found.scores.score, "standard_error": found.scores.error}
    return pd.DataFrame(columns)


def _rows(found: Findings, content: dict[str, Any]) -> dict[int, str]:
    """Return the contents of the rows that the page lists; none unless they were asked for."""
    if not found.options.embed_rows:
        return {}
    features = read_table(found.options.data, found.options.columns, found.options.encoding).features
    rows = [int(row["row"]) for row in content["suspects"]["top"]]
    if isinstance(features, pd.DataFrame):
        return {row: ", ".join(f"{name}: {value}" for name, value in features.iloc[row].items()) for row in rows}
    return {row: np.array2string(features[row].ravel(), threshold=20, precision=3) for row in rows}


def _csv(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.6g"))
