"""Settings that change in training, and trials that begin alike: one formula, and no step taken twice."""

from functools import partial

import pytest
import torch
from conftest import CPU, trial_of
from oracle import plain_mlp
from torch.nn import functional as F

from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.kernel import make_kernel
from phasemap.training.population import steady_arithmetic, train_pack
from phasemap.training.recording import Hooks

SMALL = {"modulus": 7, "width": 16, "data_fraction": 0.6, "corruption": 0.5, "steps": 60}
HALVES = {"weight_decay": 5.0, "weight_decay_schedule": "30: 0, 45: 2"}


def small(**settings):
    return trial_of(**{**SMALL, **settings})


@pytest.mark.parametrize(
    ("kernel", "optimizer"),
    [
        *((kernel, name) for kernel in (ExplicitKernel, BatchedKernel) for name in ("adamw", "muon")),
        *((FunctionalKernel, name) for name in ("adam", "sgd")),
    ],
)
def test_a_schedule_is_the_optimizer_with_other_settings_from_its_steps_on(kernel, optimizer):
    """Against kernels that are made anew for each stage and go on from the state of the one before."""
    scheduled = small(optimizer=optimizer, **HALVES, learning_rate_to=0.002, learning_rate_at=20)
    examples = [examples_of(scheduled)]
    with steady_arithmetic():
        whole = kernel([scheduled], examples, CPU)
        whole.advance([0], 0, 60)
        state, stages = None, [(0, 20, 5, 0.01), (20, 30, 5, 0.002), (30, 45, 0, 0.002), (45, 60, 2, 0.002)]
        for after, until, decay, rate in stages:
            stage = kernel([small(optimizer=optimizer, weight_decay=float(decay), learning_rate=rate)], examples, CPU)
            if state:
                stage.load(state)
            stage.advance([0], after, until)
            state = stage.state()
    torch.testing.assert_close(whole.weights(0), stage.weights(0), rtol=0, atol=0)


def test_a_cosine_is_that_of_torch():
    trial = small(learning_rate_schedule="cosine", weight_decay=1.0)
    examples = examples_of(trial)
    parameters, forward = plain_mlp(trial, examples.dataset)
    for parameter in parameters:
        parameter.requires_grad_()
    rule = torch.optim.AdamW(parameters, lr=trial.learning_rate, betas=trial.betas, eps=trial.eps, weight_decay=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(rule, T_max=60)
    rows, targets = torch.from_numpy(examples.train), torch.from_numpy(examples.given)
    for _ in range(60):
        rule.zero_grad()
        (forward(rows, None, None) - F.one_hot(targets, 7)).square().mean().backward()
        rule.step()
        schedule.step()
    kernel = ExplicitKernel([trial], [examples], CPU)
    with steady_arithmetic():
        kernel.advance([0], 0, 60)
    for key, part in zip("UVW", parameters, strict=True):
        torch.testing.assert_close(kernel.weights(0)[key], part.detach(), rtol=2e-3, atol=2e-4)


BRANCHES = [
    {"weight_decay": 5.0},
    HALVES,
    {"weight_decay": 5.0, "weight_decay_schedule": "30: 0"},
    {"weight_decay": 5.0, "repair": 0.5, "repair_at": 40},
    {"weight_decay": 5.0, "repair": 1.0, "repair_at": 40},
    {"weight_decay": 5.0, "repair": 0.0, "repair_at": 10},  # nothing happens
    {"weight_decay": 1.0, "repair": 0.5, "repair_at": 40},  # another start
]
DISTINCT = 60 + 30 + 15 + 20 + 20 + 60
"""The steps of BRANCHES that differ: 45-60 of the second, 30-60 of the third, and so on."""


def counted(taken):
    """Return what makes kernels that count the networks' steps in a list of one number."""

    def make(*given):
        kernel = make_kernel(*given)
        advance = kernel.advance

        def count(members, after, until):
            taken[0] += len(members) * (until - after)
            advance(members, after, until)

        kernel.advance = count
        return kernel

    return make


def branches(**settings):
    return [small(**one, **settings, trial_id=f"{number}") for number, one in enumerate(BRANCHES)]


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.2}], ids=["plain", "dropout"])
def test_trials_that_begin_alike_share_their_steps_and_are_what_they_are_alone_to_the_bit(settings):
    trials, taken = branches(**settings), [0]
    record = ("state", "weights", "norms")
    found = train_pack(trials, device=CPU, record=record, kernel=counted(taken))
    assert taken == [DISTINCT]
    for trial, one in zip(trials, found, strict=True):
        (alone,) = train_pack([trial], device=CPU, record=record)
        assert (one.trial, one.steps, one.status) == (trial, alone.steps, alone.status)
        assert str(one.curves) == str(alone.curves)  # with nan
        assert one.facts == alone.facts
        assert str(one.finals) == str(alone.finals)
        assert str(one.inside) == str(alone.inside)
        assert one.state == alone.state
        assert (one.weights["W"] == alone.weights["W"]).all()


def test_a_pack_that_is_killed_in_a_branch_takes_no_finished_step_again():
    trials, kept = branches(), []
    whole = train_pack(trials, device=CPU)
    taken = [0]
    hooks = Hooks(save=lambda content: kept.append((taken[0], content)), save_seconds=0.0)
    train_pack(trials, device=CPU, kernel=counted(taken), hooks=hooks)
    for before, saved in kept[:: max(1, len(kept) // 8)]:
        taken[0] = 0
        found = train_pack(trials, device=CPU, kernel=counted(taken), hooks=Hooks(saved=saved))
        assert before + taken[0] == DISTINCT
        assert [str(one.curves) for one in found] == [str(one.curves) for one in whole]


def test_one_that_diverges_before_a_branch_is_diverged_in_all():
    runaway = partial(small, learning_rate=1e30)
    trials = [runaway(), runaway(weight_decay_schedule="30: 0")]
    assert [one.status for one in train_pack(trials, device=CPU)] == ["diverged", "diverged"]
