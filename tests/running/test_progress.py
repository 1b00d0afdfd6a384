"""What progress says of the time left."""

import io
import re

import pytest
from conftest import study_of

from phasemap.planning.packs import make_pack
from phasemap.planning.plan import make_plan
from phasemap.running import progress as module
from phasemap.running.progress import Progress, rate_words
from phasemap.running.runner import Advanced, Finished
from phasemap.running.worker import PackReport
from phasemap.study.trials import expand


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def finished(pack):
    report = PackReport(
        pack_id=pack.pack_id, shard="", n_ok=len(pack.trials), n_diverged=0, n_failed=0,
        phase_counts={}, single=None,
    )  # fmt: skip
    return Finished(report=report)


def time_left(progress):
    """Return the words before the time left and its seconds."""
    words, hours, minutes, seconds = re.fullmatch(
        r"(.*) (\d+):(\d\d):(\d\d)", progress.line().split(" | ")[-1]
    ).groups()
    return words, 3600 * int(hours) + 60 * int(minutes) + int(seconds)


SEARCH = {"kind": "boundary", "budget": 40}
AXES = {"data_fraction": {"start": 0.1, "stop": 0.9, "num": 9}, "weight_decay": [0, 1, 2, 3, 4], "modulus": [7, 97]}


def searched(**search):
    study = study_of(axes=AXES, fixed={}, task={"kind": "modular_addition"}, seeds=1, search=SEARCH | search)
    plan = make_plan(study, None)
    assert plan.n_missing == 40
    return study, plan


def test_the_time_left_of_a_search_is_that_of_the_trials_its_budget_has_left(clock):
    study, plan = searched()
    dear = [trial for trial in expand(study) if trial.modulus == 97][:40]  # a search may choose the dear ones first
    packs = [make_pack(dear[i : i + 4]) for i in range(0, 40, 4)]
    progress = Progress(plan.packs, reused={}, search=study.search, stream=io.StringIO(), quiet=True)
    assert progress.line().endswith("ETA not known yet")
    for number, pack in enumerate(packs, 1):
        progress.expect([pack])
        clock.now += 20
        progress.tell(Advanced(pack_id=pack.pack_id, share=0.5))
        assert time_left(progress)[1] == pytest.approx(clock.now * (40 - 4 * number + 2) / (4 * number - 2), abs=1)
        clock.now += 20
        progress.tell(finished(pack))
        assert time_left(progress) == ("ETA up to", 40 * (10 - number))


def test_a_search_without_tolerance_trains_its_whole_budget(clock):
    study, plan = searched(tolerance=0)
    progress = Progress(plan.packs, reused={}, search=study.search, stream=io.StringIO(), quiet=True)
    clock.now = 10
    progress.tell(finished(plan.packs[0]))
    assert time_left(progress)[0] == "ETA"


def test_the_time_left_of_a_grid_goes_by_what_its_trials_cost(clock):
    trials = {modulus: [t for t in expand(searched()[0]) if t.modulus == modulus][:8] for modulus in (7, 97)}
    cheap, dear = make_pack(trials[7]), make_pack(trials[97])
    progress = Progress([cheap, dear], reused={}, stream=io.StringIO(), quiet=True)
    clock.now = 10
    progress.tell(finished(dear))
    assert time_left(progress)[1] < 5


@pytest.mark.parametrize(
    ("rate", "words"),
    [(14.82, "14.8 trials/s"), (1.0, "1 trials/s"), (0.5, "30 trials/min"), (0.003, "10.8 trials/h")],
)
def test_a_rate_is_told_in_a_unit_in_which_it_can_be_read(rate, words):
    assert rate_words(rate) == words
