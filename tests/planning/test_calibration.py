"""What is measured on this machine is what trials of that kind take: counted in calls, as others load the machine."""

import dataclasses
import json
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import CPU, slow, study_of

from phasemap.cli import cli
from phasemap.planning.calibration import Calibration, calibrate, cost_key
from phasemap.planning.kernels import KernelChoice
from phasemap.planning.packs import make_pack
from phasemap.planning.plan import make_plan
from phasemap.study.trials import expand
from phasemap.training.costs import estimated_seconds
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.explicit_fused import FusedKernel
from phasemap.training.population import make_kernel, train_pack

MODELS = {
    "two layers": {"model": {"width": 64}, "axes": {"corruption": [0, 0.3], "weight_decay": [0, 1]}},
    "dropout": {"model": {"width": 64}, "axes": {"corruption": [0, 0.3]}, "fixed": {"dropout": 0.2}},
    "transformer": {
        "model": {"kind": "transformer", "width": 16},
        "axes": {"corruption": [0, 0.3]},
        "training": {"steps": 100},
    },
}


@pytest.fixture
def counted(monkeypatch):
    """Let the process's time be the calls that it makes, of Python and of C: a tenth of a millisecond each."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    monkeypatch.setattr(time, "process_time", lambda: calls * 1e-4)
    sys.setprofile(count)
    yield
    sys.setprofile(None)


@pytest.mark.parametrize("name", MODELS)
def test_trials_take_the_seconds_that_were_measured(name, counted):
    parts = {"task": {"kind": "modular_addition", "modulus": 17}, "training": {"steps": 400}, "fixed": {}}
    trials = list(expand(study_of(**{**parts, **MODELS[name], "seeds": 2})))
    calibration = calibrate([make_pack(trials)])
    started = time.process_time()
    train_pack(trials, device=CPU)
    taken = time.process_time() - started
    assert sum(map(calibration.seconds, trials)) == pytest.approx(taken, rel=0.35)


def test_a_plan_measures_the_kernel_that_its_run_will_use(monkeypatch):
    measured = []

    def seen(*arguments, **options):
        measured.append(make_kernel(*arguments, **options))
        return measured[-1]

    monkeypatch.setattr("phasemap.training.timing.make_kernel", seen)
    parts = {
        "task": {"kind": "modular_addition", "modulus": 31},
        "model": {"width": 128},
        "axes": {"corruption": [0.1]},
    }
    study = study_of(**parts, fixed={"dropout": 0.3}, seeds=1)
    plan = make_plan(study, None)
    assert plan.kernel.fused
    plain = dataclasses.replace(plan, kernel=KernelChoice())
    assert min(plan.core_seconds(plan.calibration()), plain.core_seconds(plain.calibration())) > 0
    assert [type(kernel) for kernel in measured] == [FusedKernel, ExplicitKernel]


def test_what_is_recorded_inside_the_networks_counts_too(counted):
    record = ("ipr", "extracted", "pruning", "logits")
    parts = {"task": {"kind": "modular_addition", "modulus": 17}, "model": {"width": 64}, "training": {"steps": 60}}
    trials = list(expand(study_of(**parts, axes={"corruption": [0.1, 0.3]}, fixed={}, seeds=2, record=list(record))))
    packs = [make_pack(trials)]
    started = time.process_time()
    train_pack(trials, device=CPU, record=record)
    taken = time.process_time() - started
    assert sum(map(calibrate(packs, record).seconds, trials)) == pytest.approx(taken, rel=0.35)
    assert sum(map(calibrate(packs).seconds, trials)) < taken / 2


def test_kinds_that_were_not_measured_are_as_far_off_as_the_others():
    trials = list(expand(study_of(model={}, axes={"width": [8, 16, 24]}, seeds=1)))
    assert [Calibration().seconds(trial) for trial in trials] == [estimated_seconds(trial) for trial in trials]
    factors = {cost_key(trial): factor for trial, factor in zip(trials[:2], (2.0, 4.0), strict=True)}
    found = [Calibration(factors=factors).seconds(trial) / estimated_seconds(trial) for trial in trials]
    assert found == pytest.approx([2.0, 4.0, 3.0])


def test_nothing_to_train_needs_no_measurement():
    assert calibrate([]) == Calibration()


@pytest.mark.parametrize(
    ("name", "smaller"),
    [
        ("adaptive_quickstart", ["model.width=32"]),
        *slow(
            "kernels",
            ("paper/fig05_batchnorm", ["model.width=32", "task.modulus=23"]),
            ("paper/fig16_images_dropout", ["model.width=32", "axes.data_fraction=[0.2]"]),
        ),
    ],
)
def test_plan_measures_networks_of_every_kind(name, smaller, tmp_path):
    study = Path(__file__).parents[2] / "studies" / f"{name}.yaml"
    options = [word for setting in smaller for word in ("--set", setting)]
    done = CliRunner().invoke(cli, ["plan", str(study), "--storage", str(tmp_path), "--json", *options])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["core_hours"] > 0
