"""What a trial is estimated to cost: against the real networks, and by what must make it cost more."""

import pytest
import torch
from conftest import study_of, trial_of
from torch.utils.flop_counter import FlopCounterMode

from phasemap.planning.calibration import Calibration
from phasemap.planning.packs import PACK_BYTES, TARGET_SECONDS, plan_packs
from phasemap.planning.plan import make_plan
from phasemap.study.sizes import trial_size
from phasemap.study.trials import expand
from phasemap.tasks.load import dataset_of
from phasemap.training.costs import (
    BLOCKS_BYTES,
    OPERATIONS_PER_SECOND,
    answer_operations,
    estimated_bytes,
    estimated_seconds,
    looking_bytes,
    weight_count,
)
from phasemap.training.networks import build_network

NETWORKS = [
    {},
    {"depth": 4, "activation": "relu"},
    {"task": "images", "dataset": "digits", "depth": 3},
    {"model": "transformer", "depth": 1},
    {"model": "transformer", "depth": 3, "mlp_factor": 2},
]


@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_weights_and_operations_are_those_of_the_network_itself(settings):
    trial = trial_of(modulus=7, width=16, **settings)
    data, size = dataset_of(trial), trial_size(trial)
    network = build_network(trial, data)
    assert weight_count(trial, size) == sum(part.numel() for part in network.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.from_numpy(data.inputs))
    table = 3 * 2 * 7 * 16**2 if trial.model == "transformer" else 0  # the projections of the tokens, once
    assert answer_operations(trial, size) * len(data.labels) == counter.get_total_flops() - table


def test_the_cost_of_modular_trials_is_that_of_their_pairs():
    trial = trial_of(modulus=97, width=500, steps=2000, data_fraction=0.5, dropout=0.0)
    assert estimated_seconds(trial) == pytest.approx(2 * 500 * 97 * 97**2 * 3060 / OPERATIONS_PER_SECOND + 0.16)
    kept = 4 * 5 * 500 * 291 + 8 * (8 * 4704.5 + 6 * 9409)
    assert estimated_bytes([trial]) == int(kept) + BLOCKS_BYTES
    assert estimated_bytes([trial] * 8) == 8 * int(kept) + BLOCKS_BYTES


def test_a_trial_that_is_scaled_to_a_batch_costs_the_steps_that_it_takes():
    settings = {"modulus": 31, "width": 128, "steps": 1000, "data_fraction": 0.75}
    small, large = (trial_of(**settings, batch_size=size, scale_to_batch=256) for size in (16, 256))
    assert small.horizon == 16 * large.horizon
    assert 8 * estimated_seconds(large) < estimated_seconds(small) < 16 * estimated_seconds(large)
    unscaled = trial_of(**settings | {"steps": small.horizon}, batch_size=16)
    assert estimated_seconds(small) == estimated_seconds(unscaled)
    assert estimated_bytes([small]) == estimated_bytes([unscaled])


MORE = [{"depth": 3}, {"dropout": 0.3}, {"batch_size": 64}, {"steps": 400}]


@pytest.mark.parametrize(
    ("plain", "more"),
    [
        *(({"model": model}, more) for model in ("mlp", "transformer") for more in MORE),
        ({"model": "mlp"}, {"norm": "layer"}),
        ({"model": "mlp", "batch_size": "full"}, {"data_fraction": 0.9}),
        ({"model": "mlp"}, {"model": "transformer"}),
    ],
    ids=str,
)
def test_what_takes_more_work_is_estimated_higher(plain, more):
    plain = {"modulus": 31, "width": 64, "depth": 2, "steps": 200, "data_fraction": 0.5, "batch_size": 32} | plain
    assert 0 < estimated_seconds(trial_of(**plain)) < estimated_seconds(trial_of(**plain | more))


def test_very_many_tiny_trials_are_cut_by_their_memory():
    study = study_of(
        task={"kind": "modular_addition", "modulus": 31}, model={"width": 4}, training={"steps": 1},
        axes={"corruption": {"start": 0, "stop": 0.5, "num": 100}}, seeds=130,
    )  # fmt: skip
    trials = list(expand(study))
    assert sum(map(estimated_seconds, trials)) < TARGET_SECONDS
    packs = plan_packs(trials)
    assert len(packs) == 2
    assert all(estimated_bytes(pack.trials) < PACK_BYTES + BLOCKS_BYTES for pack in packs)


def test_images_take_the_memory_of_their_pixels():
    assert estimated_bytes([trial_of(task="images", dataset="mnist5k", width=100)]) > 4 * 5000 * 784


def test_records_from_inside_take_the_memory_of_one_networks_units_and_of_all_rows():
    trial = trial_of(modulus=97, width=500, corruption=0.0)
    units = 4 * 500 * 97**2
    assert looking_bytes([trial], ()) == 0
    assert 5 * units < looking_bytes([trial], ("pruning", "logits")) < 5.1 * units
    rows = looking_bytes([trial], ("ipr", "norms"))
    assert looking_bytes([trial] * 8, ("ipr", "norms")) == 8 * rows
    assert looking_bytes([trial] * 8, ("ipr", "norms", "extracted")) < 8 * rows + 5.1 * units


def test_steps_that_several_trials_begin_with_are_planned_once():
    axes = {"weight_decay_schedule": [{20: 0}, {40: 0}, {40: 1}]}  # of 60 steps
    plan = make_plan(study_of(axes=axes, fixed={"weight_decay": 5.0}, seeds=2), None)
    (pack,) = plan.packs
    alone = estimated_seconds(pack.trials[0])
    assert plan.core_seconds(Calibration()) == pytest.approx(2 * alone * (20 + 40 + 20 + 20 + 20) / 60)
