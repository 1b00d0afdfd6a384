"""Products that round by a setting: part of a trial's identity, near the full ones, and refused where they can't be."""

import dataclasses

import pytest
import torch
from conftest import CPU, changed, study_of, trial_of
from launches import META, Launches

from phasemap.study.errors import StudyError, UserError
from phasemap.study.trials import expand
from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.cards import Card, lacking
from phasemap.training.cuda import rounding
from phasemap.training.functional import FunctionalKernel
from phasemap.training.kernel import make_kernel
from phasemap.training.population import train_pack

SIZE = {"modulus": 23, "width": 48, "steps": 20, "data_fraction": 0.6, "corruption": 0.2}
H100 = Card(name="a card of 80 GB", memory=80 << 30, capability=(9, 0))
V100 = dataclasses.replace(H100, name="an older card", capability=(7, 0))


def test_it_is_part_of_a_trials_identity_only_where_it_is_not_full():
    plain, full, rounded = (
        next(iter(expand(study_of(training={"steps": 60} | more))))
        for more in ({}, {"precision": "full"}, {"precision": "tf32"})
    )
    assert plain.trial_id == full.trial_id != rounded.trial_id
    assert plain.shape == full.shape != rounded.shape  # no pack has both


@pytest.mark.parametrize("kernel", [BatchedKernel, FunctionalKernel])
def test_bf16_rounds_and_stays_near(kernel):
    trials = [trial_of(trial_id=str(i), seed=i, **SIZE) for i in range(2)]
    rounded = [changed(trial, precision="bf16") for trial in trials]
    full, less = (train_pack(group, device=CPU, kernel=kernel) for group in (trials, rounded))
    for one, other in zip(full, less, strict=True):
        assert one.curves["train_loss"][1:] != other.curves["train_loss"][1:]
        assert other.curves["train_loss"] == pytest.approx(one.curves["train_loss"], rel=0.02)
        assert one.curves["train_loss"][0] == pytest.approx(other.curves["train_loss"][0], rel=1e-3)


def test_bf16_takes_few_launches_more():
    trials = [trial_of(trial_id=str(i), seed=i, precision="bf16", **SIZE) for i in range(8)]
    with Launches():
        kernel = make_kernel(trials, [examples_of(trial) for trial in trials], META)
    kernel.advance(range(8), 0, 1)
    with Launches() as seen:
        kernel.advance(range(8), 1, 2)
    assert seen.launches <= 25
    assert (seen.uploads, seen.downloads, seen.waits) == (0, 0, 0)


def test_the_cards_own_rounding_is_switched_for_the_steps_of_such_trials_only():
    switch = torch.backends.cuda.matmul
    assert not switch.allow_tf32
    with rounding("tf32"):
        assert switch.allow_tf32
        with rounding("full"):
            assert not switch.allow_tf32
    assert not switch.allow_tf32


def test_what_a_device_lacks_is_named_with_what_it_has():
    assert lacking(["full", "tf32", "bf16"], H100) is None
    assert lacking(["full"], None) is None
    assert "bf16, which an older card (85.9 GB), of compute capability 7.0, lacks; allowed there: full" in lacking(
        ["full", "bf16"], V100
    )
    trial = trial_of(precision="tf32")
    with pytest.raises(UserError, match=r"training\.precision = tf32, which a CPU lacks; allowed there: full"):
        make_kernel([trial], [examples_of(trial)], CPU)


@pytest.mark.parametrize("device", ["cpu", "any"])
def test_a_study_that_gives_packs_to_cpus_is_refused(device):
    with pytest.raises(StudyError, match=f"training.precision = bf16 needs a GPU.*device is {device}; allowed: full"):
        study_of(training={"precision": "bf16"}, resources={"device": device})
    with pytest.raises(StudyError, match=r"axes.precision\[1\] = tf32 needs a GPU"):
        study_of(axes={"precision": ["full", "tf32"], "weight_decay": [0, 1]}, resources={"device": device})
