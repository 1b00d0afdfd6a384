"""The service's OpenAPI document, the data in a report, the messages of bad studies, and the counts of plans."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from bad_studies import BAD
from golden_files import DERIVED, Golden
from golden_process import phasemap
from golden_rules import normalised
from golden_runs import copied
from unpacking import unpacked

import phasemap as pm
from phasemap.planning.calibration import Calibration
from phasemap.planning.estimate import estimate
from phasemap.planning.plan import make_plan
from phasemap.study.file import load_study
from phasemap.study.trials import count_trials

STUDIES = Path(__file__).parent.parent.parent / "studies"
CONTENT = '<script type="application/json" id="content">'
MOST_NUMBERS = 64  # of a packed array, that are written; of longer ones a hash
CPUS = 2


def openapi() -> dict[str, Any]:
    """Return what the service says of itself."""
    from phasemap.serving.server import create_app
    from phasemap.serving.service import Settings

    return normalised(create_app(Settings(root=Path("runs"))).openapi(), "version")


def report() -> dict[str, Any]:
    """Return the data of a report's page, as they stand in it."""
    (folder,) = copied("plane")
    page = pm.open_run(folder.path).report("plane.html").read_text(encoding="utf-8")
    content = json.loads(page.partition(CONTENT)[2].partition("</script>")[0])
    return {DERIVED: normalised(_unpacked(content), "version")}


def _unpacked(value: Any) -> Any:
    """Put numbers in place of packed text, which depends on the version of zlib."""
    if isinstance(value, dict) and set(value) == {"type", "data"}:
        found = unpacked(value)
        return {
            "type": value["type"],
            "numbers": len(found),
            **(
                {"values": found.tolist()}
                if len(found) <= MOST_NUMBERS
                else {"sha256": hashlib.sha256(found.tobytes()).hexdigest()}
            ),
        }
    if isinstance(value, dict):
        return {name: _unpacked(one) for name, one in value.items()}
    return [_unpacked(one) for one in value] if isinstance(value, list) else value


def bad_studies() -> dict[str, Any]:
    """Return the whole message of each bad study."""
    found = {}
    for name, (text, _) in BAD.items():
        Path("s.yaml").write_text(text)
        done = phasemap("run", "s.yaml", "--in-process", "--json")
        message = json.loads(done.stdout)["error"]
        assert done.stderr == f"phasemap: {message}\n"
        found[name] = {"study": text, "exit_code": done.exit_code, "error": normalised(message, "here").splitlines()}
    return found


def plans() -> dict[str, Any]:
    """Return what each shipped study would take on two cores, but for its time."""
    return {path.relative_to(STUDIES).as_posix(): plan_of(path) for path in sorted(STUDIES.rglob("*.yaml"))}


def plan_of(path: Path) -> dict[str, Any]:
    study = load_study(path)
    plan = make_plan(study, None)
    sizes = Counter(len(pack.trials) for pack in plan.packs)
    cost = estimate(plan, study.resources, CPUS, Calibration())
    ids = hashlib.sha256("\n".join(pack.pack_id for pack in plan.packs).encode()).hexdigest()
    return {
        "points": count_trials(study) // len(study.seeds),
        "seeds": len(study.seeds),
        "trials": plan.n_trials,
        "to train": plan.n_missing,
        "packs": len(plan.packs),
        "sizes": {f"{size} trials": sizes[size] for size in sorted(sizes)},
        "packs_sha256": ids,
        DERIVED: {"memory_bytes": cost["memory_bytes"]},
    }


GOLDEN = (
    Golden(name="openapi", make=openapi),
    Golden(name="report", make=report),
    Golden(name="bad_studies", make=bad_studies),
    Golden(name="plans", make=plans),
)
