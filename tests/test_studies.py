"""The studies that ship: they load, say what must be seen, and the small ones are cheap."""

from pathlib import Path

import pytest

import phasemap as pm
from phasemap.planning.calibration import Calibration
from phasemap.planning.estimate import estimate
from phasemap.planning.plan import make_plan

STUDIES = Path(__file__).parent.parent / "studies"
FILES = sorted(STUDIES.rglob("*.yaml"))
SMALL = sorted((STUDIES / "paper" / "small").glob("*.yaml"))
PARTS = ("Must show:", "Costs:", "Seen:", "    phasemap plot runs/")
PARTS_OF_LAWS = ("Claim", "Settings", "    phasemap plot runs/")  # what was seen is in docs/laws.md


def head_of(path):
    """Return the comment at the top of a study file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(STUDIES)))
def test_a_study_that_ships_loads_and_says_what_must_be_seen(path):
    study = pm.load_study(path)
    assert study.claims
    assert study.question
    head = head_of(path)
    for part in PARTS_OF_LAWS if path.parent.name == "laws" else PARTS:
        assert part in head
    for line in head.splitlines():
        if "phasemap plot" in line:
            assert f"runs/{study.name}" in line.split()
    assert study.name == f"{'small_' if path in SMALL else ''}{path.stem}"


def test_every_study_of_the_paper_has_a_small_version():
    to_judge_searches = {"fig03a_subgrid.yaml", "fig31_in_full.yaml"}
    full = {path.name for path in (STUDIES / "paper").glob("*.yaml")} - to_judge_searches
    assert {path.name for path in SMALL} == full


def test_no_two_studies_have_one_name():
    names = [pm.load_study(path).name for path in FILES]
    assert len(set(names)) == len(names)


def test_the_small_studies_together_are_planned_at_under_twenty_minutes_on_two_cores():
    studies = [pm.load_study(path) for path in SMALL]
    seconds = [estimate(make_plan(study, None), study.resources, 2, Calibration())["wall_seconds"] for study in studies]
    assert sum(seconds) < 20 * 60
