"""A program's packs take some seconds, whatever its trials take: the trials that ended tell."""

import math

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from phasemap.cli import cli
from phasemap.planning.packs import TARGET_SECONDS
from phasemap.running.measured_packs import SHORTEST_SECONDS, MeasuredPacks
from phasemap.running.worker import PackReport
from phasemap.runs import open_run
from phasemap.study.trials import expand

CODE = """import phasemap as pm


@pm.program(quantities={"test_loss": "loss"})
def train(trial: pm.TrialContext, *, lr: float):
    trial.report(1, test_loss=lr)
"""


def trials_of(n):
    from conftest import study_of

    return list(expand(study_of(axes={"weight_decay": {"start": 0.0, "stop": 1.0, "num": n}}, seeds=1)))


def stored(pack, seconds):
    return PackReport(
        pack_id=pack.pack_id, shard="", n_ok=len(pack.trials), n_diverged=0, n_failed=0, phase_counts={},
        trial_seconds=seconds,
    )  # fmt: skip


def drained(source, seconds):
    """Return the packs that a source gives where each ends before the next is asked for."""
    packs = []
    while found := source.more():
        packs += found
        source.take(stored(found[0], seconds))
    return packs


TRIALS = trials_of(300)


@given(n=st.integers(1, 300), slots=st.integers(1, 40), seconds=st.floats(1e-4, 100))
def test_every_trial_is_given_once_in_order_in_packs_of_some_seconds(n, slots, seconds):
    packs = drained(MeasuredPacks(TRIALS[:n], slots), seconds)
    assert [trial for pack in packs for trial in pack.trials] == TRIALS[:n]
    sizes = [len(pack.trials) for pack in packs]
    assert sizes[0] == 1
    assert all(size == 1 or size * seconds <= TARGET_SECONDS + seconds for size in sizes)
    enough = SHORTEST_SECONDS / seconds
    assert all(size >= min(math.floor(enough), 256) for size in sizes[1:-1])


def test_packs_shrink_to_the_end_and_a_failed_first_trial_tells_nothing():
    source = MeasuredPacks(TRIALS, 2)
    source.take(stored(source.more()[0], math.nan))
    assert len(source.more()[0].trials) == 1
    source.take(stored(source.more()[0], 0.1))
    sizes = [len(pack.trials) for pack in drained(source, 0.1)]
    assert sizes[0] == 74  # a quarter of the 297 that are left
    assert sizes == sorted(sizes, reverse=True)


def test_a_run_of_quick_trials_has_few_packs(tmp_path):
    (tmp_path / "train.py").write_text(CODE)
    path = tmp_path / "quick.yaml"
    path.write_text("name: quick\nprogram: train.py:train\naxes: {lr: {start: 0.1, stop: 1.0, num: 60}}\n")
    done = CliRunner().invoke(cli, ["run", str(path), "--storage", str(tmp_path), "--in-process"])
    assert done.exit_code == 0, done.output
    trials = open_run(tmp_path / "quick").trials
    assert len(trials) == 60
    assert trials["pack_id"].nunique() <= 4


def test_a_plan_of_a_program_that_never_ran_counts_no_packs_that_nobody_knows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    study = "name: a\nprogram: train.py:train\naxes: {lr: {start: 0, stop: 1, num: 40}}\n"
    (tmp_path / "a.yaml").write_text(study)
    assert "to train: 40 one by one until one has ended" in CliRunner().invoke(cli, ["plan", "a.yaml"]).output
    (tmp_path / "a.yaml").write_text(study + "resources: {pack_size: 20}\n")
    assert "to train: 40 in 2 packs" in CliRunner().invoke(cli, ["plan", "a.yaml"]).output
