"""Studies that are sent: parsed and checked as the command line does it, but with nothing in them that names a file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phasemap.results.folder import RunFolder
from phasemap.running.planning import OtherStudyError, check_folder
from phasemap.serving.answers import PlanAnswer, Validation, mistake
from phasemap.serving.settings import MOST_TRIALS, Settings
from phasemap.study.file import parse_study
from phasemap.study.problems import Problem, StudyError, UnreachableError, UserError
from phasemap.study.spec import Study
from phasemap.study.trials import count_trials
from phasemap.study.writing import dump_study
from phasemap.study.yaml_lines import Document, parse_document

SOURCE = "study"
JSON_TYPES, YAML_TYPES = ("application/json",), ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
PLAN_SECONDS = 90.0
PLANS = threading.BoundedSemaphore(2)  # each is a process of its own


class BusyError(UserError):
    """Too many ask for the same at once."""


def read_study(body: bytes, media_type: str) -> Study:
    """Turn a request's body into a study; StudyError names every mistake in it."""
    study = parse_study(_document(body, media_type), files_allowed=False)
    if count_trials(study) > MOST_TRIALS:
        message = f"make {count_trials(study)} trials; allowed in a service: at most {MOST_TRIALS}"
        raise StudyError([Problem(SOURCE, None, "axes", message)])
    return study


def _document(body: bytes, media_type: str) -> Document:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"is not UTF-8 text (byte {error.start})") from None
    if media_type not in JSON_TYPES:
        return parse_document(text, SOURCE)
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise _wrong("not valid JSON: nested too deep") from None
    except ValueError as error:
        raise _wrong(f"not valid JSON: {error}") from None
    return parse_document(json.dumps(content, ensure_ascii=False), SOURCE)


def _wrong(message: str) -> StudyError:
    return StudyError([Problem(SOURCE, None, "", message)])


def _once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    keys = [key for key, _ in pairs]
    twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} is given twice; allowed: each key once")
    return dict(pairs)


def validate(body: bytes, media_type: str, root: Path) -> Validation:
    """Check a study, also against the run of its name."""
    try:
        study = read_study(body, media_type)
    except StudyError as error:
        return Validation(valid=False, problems=[mistake(problem) for problem in error.problems])
    n_trials = count_trials(study)
    found = Validation(valid=True, name=study.name, n_points=n_trials // len(study.seeds), n_trials=n_trials)
    try:
        found.changes = check_folder(study, RunFolder(root / study.name))
    except OtherStudyError as error:
        found.conflict = f"{study.name} is another study already: {'; '.join(error.differences)}"
    return found


def plan(study: Study, settings: Settings) -> PlanAnswer:
    """Say what running a study would take: measured by ``phasemap plan`` in a process of its own, for it needs torch.

    UserError with its message where it refuses; BusyError while too many plans are made.
    """
    if not PLANS.acquire(blocking=False):
        raise BusyError("other plans are being made; try again in some seconds")
    try:
        with tempfile.TemporaryDirectory(prefix="phasemap-") as folder:
            path = Path(folder) / f"{study.name}.yaml"
            path.write_text(dump_study(study), encoding="utf-8")
            options = ["--cpus", str(settings.cpus)] if settings.cpus else []
            command = [sys.executable, "-P", "-m", "phasemap", "plan", str(path), "--storage", str(settings.root)]
            done = subprocess.run(
                [*command, "--json", *options], capture_output=True, text=True, timeout=PLAN_SECONDS, cwd=folder
            )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"the plan took longer than {PLAN_SECONDS:g} s") from None
    except ValueError:
        raise UnreachableError("the plan could not be made") from None
    finally:
        PLANS.release()
    if done.returncode:
        raise UserError(answer.get("error", "the plan could not be made"))
    return PlanAnswer(**answer)
