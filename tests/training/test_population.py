"""A trial's result depends on its own settings and seed alone; the rest of its pack can't touch it."""

import functools
import io
import math
import random

import numpy as np
import pytest
import torch
from conftest import CPU, changed, slow, trial_of
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle

from phasemap.tasks.examples import examples_of
from phasemap.training.dropout import DropoutMasks
from phasemap.training.explicit import ExplicitKernel, block_rows
from phasemap.training.explicit_features import FeaturesKernel
from phasemap.training.explicit_fused import FusedKernel
from phasemap.training.explicit_transformer import TransformerKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.initial import initial_mlp, paper_std
from phasemap.training.kernel import make_kernel, pick_device
from phasemap.training.population import CheckpointError, train_pack
from phasemap.training.recording import Evaluation, Hooks, measure, record_steps

MIXED = [
    trial_of(
        trial_id=f"t{i}", modulus=13, width=40, steps=120, seed=i % 3,
        weight_decay=(0.0, 3.0, 10.0)[i % 3], corruption=0.1 * (i % 5), data_fraction=(0.3, 0.55, 0.8)[i % 3],
        dropout=(0.0, 0.25)[i % 2], learning_rate=(0.01, 0.02)[i // 4 % 2], init_scale=(1.0, 1.5)[i // 3 % 2],
    )
    for i in range(9)
]  # fmt: skip


def by_id(results):
    return {result.trial.trial_id: (result.status, result.steps, without_nan(result.curves)) for result in results}


def without_nan(curves):
    return {name: [None if math.isnan(v) else v for v in values] for name, values in curves.items()}


@pytest.fixture(params=[ExplicitKernel, FusedKernel], ids=lambda kernel: kernel.name)
def explicit(request):
    """Train a pack by one of the kernels of two-layer MLPs on tokens."""
    return functools.partial(train_pack, device=CPU, kernel=request.param)


def test_a_pack_of_many_equals_packs_of_one_to_the_bit(explicit):
    together = by_id(explicit(MIXED))
    for trial in MIXED:
        assert by_id(explicit([trial])) == {trial.trial_id: together[trial.trial_id]}


@functools.cache
def mixed_by(kernel):
    return by_id(train_pack(MIXED, device=CPU, kernel=kernel))


@pytest.mark.parametrize("kernel", [ExplicitKernel, FusedKernel])
@settings(max_examples=5, deadline=None)
@given(shuffler=st.randoms(use_true_random=False), size=st.integers(1, 5))
def test_order_and_size_of_packs_don_t_matter_to_the_bit(kernel, shuffler: random.Random, size):
    together = mixed_by(kernel)
    order = shuffler.sample(MIXED, len(MIXED))
    apart = {}
    for start in range(0, len(order), size):
        apart |= by_id(train_pack(order[start : start + size], device=CPU, kernel=kernel))
    assert apart == together


@pytest.mark.parametrize(("activation", "loss"), [("relu", "mse"), ("square", "cross_entropy")])
def test_the_other_explicit_variants_keep_the_law_too(explicit, activation, loss):
    trials = [changed(trial, activation=activation, loss=loss) for trial in MIXED[:4]]
    together = by_id(explicit(trials))
    assert by_id(explicit(trials[3:]))["t3"] == together["t3"]  # with dropout
    assert by_id(explicit(trials[2:3]))["t2"] == together["t2"]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_law_holds_for_networks_of_several_blocks(explicit, dropout):
    wide = {"modulus": 29, "width": 601, "steps": 6, "data_fraction": 0.6, "dropout": dropout}
    trials = [trial_of(trial_id=f"w{i}", seed=i, **wide) for i in range(3)]
    assert block_rows(601, 29) < 0.6 * 29 * 29
    together = by_id(explicit(trials))
    assert by_id(explicit(trials[1:2]))["w1"] == together["w1"]


ATTENTIVE = [
    changed(trial, model="transformer", depth=1, width=24, heads=3, activation="relu", learning_rate=0.003)
    for trial in MIXED
]


@pytest.mark.parametrize(
    ("heads", "batch_size"), [(3, 16), (1, "full"), *slow("kernels", (3, "full"), (1, 16), (2, 16), (24, 16))]
)
def test_transformers_of_one_block_keep_the_law_to_the_bit_and_continue_exactly(heads, batch_size):
    trials = [changed(trial, heads=heads, batch_size=batch_size, steps=60) for trial in ATTENTIVE]
    saved = []
    together = by_id(train_pack(trials, device=CPU, hooks=Hooks(save=saved.append, save_seconds=0.0)))
    for trial in trials[::3]:
        assert by_id(train_pack([trial], device=CPU)) == {trial.trial_id: together[trial.trial_id]}
    assert by_id(train_pack(trials, device=CPU, hooks=Hooks(saved=saved[len(saved) // 2]))) == together


def test_both_kernels_train_the_same_transformers():
    trials = [changed(trial, steps=40) for trial in ATTENTIVE]
    explicit = train_pack(trials, device=CPU, kernel=TransformerKernel)
    general = train_pack(trials, device=CPU, kernel=FunctionalKernel)
    for one, other in zip(explicit, general, strict=True):
        assert one.curves["train_loss"] == pytest.approx(other.curves["train_loss"], rel=1e-3)
        assert one.curves["weight_norm"] == pytest.approx(other.curves["weight_norm"], rel=1e-4)


def test_the_gradient_of_a_transformer_over_several_blocks_of_rows_is_autograd_s():
    trial = trial_of(
        model="transformer", depth=1, modulus=23, width=128, heads=4, mlp_factor=8, activation="square", dropout=0.2,
        data_fraction=0.8, loss="cross_entropy", weight_tying=True,
    )  # fmt: skip
    network = TransformerKernel([trial], [examples_of(trial)], CPU).groups[0]
    assert len(network._full) > 1
    with torch.no_grad():
        network.train_step(1)
    plain = Oracle(trial)
    plain.step(1)
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in plain.parameters])
    assert torch.allclose(network.gradient, expected, rtol=1e-3, atol=1e-7)


def test_the_general_kernel_agrees_with_itself_in_any_pack():
    together = train_pack([changed(t, steps=50) for t in MIXED], device=CPU, kernel=FunctionalKernel)
    for whole in together:
        (alone,) = train_pack([whole.trial], device=CPU, kernel=FunctionalKernel)
        assert alone.curves["train_loss"] == pytest.approx(whole.curves["train_loss"], rel=1e-4)


@pytest.mark.parametrize("kernel", [ExplicitKernel, FusedKernel, FunctionalKernel])
def test_a_training_continued_from_any_checkpoint_ends_the_same(kernel):
    saved = []
    hooks = Hooks(save=saved.append, save_seconds=0.0)
    undisturbed = by_id(train_pack(MIXED, device=CPU, kernel=kernel, hooks=hooks))
    assert len(saved) > 10
    for state in (saved[0], saved[len(saved) // 2], saved[-1]):
        continued = train_pack(MIXED, device=CPU, kernel=kernel, hooks=Hooks(saved=state))
        assert by_id(continued) == undisturbed


@pytest.mark.parametrize("kernel", [make_kernel, FusedKernel, FunctionalKernel])
def test_slow_steps_are_checkpointed_one_by_one_and_the_stride_changes_no_bit(kernel, monkeypatch):
    whole, saved = train_pack(MIXED[:4], device=CPU, kernel=kernel), []
    monkeypatch.setattr("phasemap.training.population.LOOK_SECONDS", 0.0)
    hooks = Hooks(save=saved.append, save_seconds=0.0)
    assert by_id(train_pack(MIXED[:4], device=CPU, kernel=kernel, hooks=hooks)) == by_id(whole)
    assert len(saved) == MIXED[0].steps


def test_a_checkpoint_of_another_pack_is_refused():
    saved = []
    train_pack(MIXED[:2], device=CPU, hooks=Hooks(save=saved.append, save_seconds=0.0))
    with pytest.raises(ValueError, match="it belongs to another pack"):
        train_pack(MIXED[:3], device=CPU, hooks=Hooks(saved=saved[0]))


def without_kernel_name(saved):
    """Return a checkpoint as releases wrote it that named no kernel."""
    state, buffer = torch.load(io.BytesIO(saved), weights_only=True), io.BytesIO()
    del state["kernel_name"]
    torch.save(state, buffer)
    return buffer.getvalue()


def test_no_training_is_continued_by_another_kernel():
    saved = {}
    for kernel in (ExplicitKernel, FusedKernel):
        states = saved[kernel] = []
        hooks = Hooks(save=states.append, save_seconds=0.0)
        train_pack(MIXED[:2], device=CPU, kernel=kernel, hooks=hooks)
    for kernel, other in ((ExplicitKernel, FusedKernel), (FusedKernel, ExplicitKernel)):
        with pytest.raises(CheckpointError, match=f"of the kernel {other.name}, not {kernel.name}"):
            train_pack(MIXED[:2], device=CPU, kernel=kernel, hooks=Hooks(saved=saved[other][5]))
    old = without_kernel_name(saved[ExplicitKernel][5])
    continued = train_pack(MIXED[:2], device=CPU, hooks=Hooks(saved=old))
    assert by_id(continued) == by_id(train_pack(MIXED[:2], device=CPU))
    with pytest.raises(CheckpointError, match="of the kernel explicit, not explicit_fused"):
        train_pack(MIXED[:2], device=CPU, kernel=FusedKernel, hooks=Hooks(saved=old))


@pytest.mark.parametrize("kernel", [ExplicitKernel, FusedKernel, FunctionalKernel])
def test_a_trial_that_diverges_stops_alone(kernel):
    bad = changed(MIXED[1], trial_id="bad", learning_rate=1e6)
    healthy = [MIXED[0], MIXED[4]]
    results = train_pack([healthy[0], bad, healthy[1]], device=CPU, kernel=kernel)
    assert [result.status for result in results] == ["ok", "diverged", "ok"]
    assert len(results[1].steps) < len(results[0].steps)
    assert all(np.isfinite(results[1].curves["train_loss"]))
    alone = by_id(train_pack(healthy, device=CPU, kernel=kernel))
    if kernel is not FunctionalKernel:
        assert {name: value for name, value in by_id(results).items() if name != "bad"} == alone
    else:
        assert {name: value[0] for name, value in by_id(results).items() if name != "bad"} == dict.fromkeys(alone, "ok")


@pytest.mark.parametrize("activation", ["square", "relu"])
def test_a_pack_whose_trials_all_diverge_ends_early(explicit, activation):
    trials = [changed(trial, learning_rate=1e30, activation=activation) for trial in MIXED[:2]]
    shares = []
    results = explicit(trials, hooks=Hooks(on_progress=shares.append))
    assert {result.status for result in results} == {"diverged"}
    assert max(shares) < 1


def test_trials_of_different_shape_don_t_make_a_pack():
    with pytest.raises(ValueError, match="must share"):
        train_pack([MIXED[0], changed(MIXED[1], width=8)], device=CPU)


def test_seconds_add_up_to_the_time_of_the_pack():
    import time

    started = time.perf_counter()
    results = train_pack(MIXED, device=CPU)
    elapsed = time.perf_counter() - started
    assert sum(result.train_seconds for result in results) == pytest.approx(elapsed, rel=0.1)


def test_initial_weights_are_equal_across_what_is_compared_and_scaled_as_the_paper_says():
    first = initial_mlp(MIXED[0], 13)
    for change in (
        {"weight_decay": 9.0}, {"dropout": 0.5}, {"corruption": 0.9}, {"data_fraction": 0.9},
        {"activation": "relu"}, {"loss": "cross_entropy"}, {"learning_rate": 1.0}, {"task": "modular_multiplication"},
    ):  # fmt: skip
        assert torch.equal(initial_mlp(changed(MIXED[0], **change), 13), first)
    assert not torch.equal(initial_mlp(changed(MIXED[0], seed=5), 13), first)
    wide = initial_mlp(trial_of(width=500, seed=0), 97)
    assert float(wide.std()) == pytest.approx(0.5 / (2 * 500) ** (1 / 3), rel=0.01)
    assert paper_std(500) ** 2 == pytest.approx((16 * 500) ** (-2 / 3))


def test_dropout_masks_are_nested_in_rate_and_rows_and_drop_the_right_share():
    low, high = (DropoutMasks(seed=3, rate=rate, width=64) for rate in (0.3, 0.6))

    def kept(masks, step, rows):
        return masks.mask(masks.numbers(step, rows)).bool()

    few, many = kept(low, 7, 100), kept(high, 7, 100)
    assert bool((few | ~many).all())
    assert torch.equal(kept(low, 7, 40), few[:40])
    assert not torch.equal(kept(low, 8, 100), few)
    assert not torch.equal(kept(DropoutMasks(seed=4, rate=0.3, width=64), 7, 100), few)
    assert np.isfinite(DropoutMasks(seed=0, rate=0.999999, width=4).scale)
    shares = torch.stack([kept(low, step, 100) for step in range(200)]).float()
    assert abs(float(shares.mean()) - 0.7) < 4 * (0.3 * 0.7 / shares.numel()) ** 0.5
    assert low.scale == pytest.approx(1 / 0.7, rel=1e-4)


def test_the_kernel_is_explicit_on_the_cpu_where_it_covers_the_network():
    examples = [examples_of(MIXED[0])]
    assert type(make_kernel(MIXED[:1], examples, CPU)) is ExplicitKernel
    assert type(make_kernel(MIXED[:1], examples, CPU, fused=True)) is FusedKernel
    assert isinstance(make_kernel(ATTENTIVE[:1], examples, CPU, fused=True), TransformerKernel)
    assert isinstance(make_kernel(ATTENTIVE[:1], examples, CPU), TransformerKernel)
    images = [changed(MIXED[0], task="images")]
    for fused in (False, True):
        assert isinstance(make_kernel(images, [examples_of(images[0])], CPU, fused=fused), FeaturesKernel)
    deep = changed(MIXED[0], depth=3)
    assert isinstance(make_kernel([deep], examples, CPU, fused=True), FunctionalKernel)
    for other in ({"depth": 3}, {"norm": "batch"}, {"batch_size": 8}, {"optimizer": "sgd"}):
        assert not changed(MIXED[0], **other).explicit
    assert not changed(ATTENTIVE[0], depth=2).explicit


def test_a_missing_gpu_is_named():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert pick_device("auto").type == "cpu"
    with pytest.raises(RuntimeError, match="no CUDA device"):
        pick_device("cuda")


@given(st.integers(1, 20_000))
def test_recorded_steps_are_geometric_with_a_window_at_the_end(horizon):
    steps = record_steps(horizon)
    assert list(steps) == sorted(set(steps))
    assert steps[0] == 1
    assert steps[-1] == horizon
    assert len(steps) <= 90
    if horizon >= 50:
        assert sum(step >= 0.9 * horizon for step in steps) >= 5
    shared = [step for step in steps if step < 0.9 * horizon]
    assert set(shared) <= set(record_steps(2 * horizon + 7))


def test_about_sixty_steps_are_recorded_at_the_papers_horizon():
    assert 55 <= len(record_steps(2000)) <= 65


def test_measures_are_shares_of_the_examples_that_they_name():
    examples = examples_of(trial_of(modulus=5, data_fraction=0.4, corruption=0.8, seed=1))
    truth, wrong = examples.dataset.labels, examples.wrong
    assert 2 <= wrong.sum() < len(wrong)
    trained = truth[examples.train].copy()
    first, *others = np.flatnonzero(wrong)
    trained[first] = examples.given[first]
    trained[others[1:]] = (truth[examples.train][others[1:]] + 1) % 5
    neither = trained[others[1:]] != examples.given[others[1:]]
    held_out = truth[examples.test].copy()
    held_out[:3] = (held_out[:3] + 1) % 5
    answers = np.concatenate([trained, held_out])
    found = measure(examples, Evaluation(predicted=answers, train_loss=0.5, test_loss=0.25, norms={"weight_norm": 2.0}))
    n_wrong = wrong.sum()
    assert found["memorized_accuracy"] == pytest.approx((1 + (~neither).sum()) / n_wrong)
    assert found["recovered_accuracy"] == pytest.approx(1 / n_wrong)
    assert found["clean_accuracy"] == 1.0
    assert found["test_accuracy"] == pytest.approx(1 - 3 / len(held_out))
    assert found["train_accuracy"] == pytest.approx(((~wrong).sum() + 1 + (~neither).sum()) / len(wrong))
    assert (found["train_loss"], found["test_loss"], found["weight_norm"]) == (0.5, 0.25, 2.0)
    assert math.isnan(found["weight_norm_u"])


@pytest.mark.parametrize(
    ("train", "test", "finite"), [(1.0, 1.0, True), (math.inf, 1.0, False), (1.0, math.nan, False)]
)
def test_a_network_has_diverged_if_either_loss_is_not_finite(train, test, finite):
    evaluation = Evaluation(predicted=np.zeros(1, dtype=int), train_loss=train, test_loss=test, norms={})
    assert evaluation.finite == finite


@pytest.mark.parametrize("kernel", [ExplicitKernel, FusedKernel, FunctionalKernel])
def test_norms_are_those_of_the_weights(kernel):
    made = kernel(MIXED[:1], [examples_of(MIXED[0])], CPU)
    weights = made.weights(0)
    norms = made.evaluate([0])[0].norms
    for name in ("U", "V", "W"):
        assert norms[f"weight_norm_{name.lower()}"] == pytest.approx(float(weights[name].norm()), rel=1e-5)
    assert norms["weight_norm"] == pytest.approx(
        float(torch.cat([w.reshape(-1) for w in weights.values()]).norm()), rel=1e-5
    )


def test_a_single_training_example_is_enough():
    trials = [trial_of(trial_id=str(p), modulus=p, width=8, steps=10, data_fraction=1.1 / p**2) for p in (2, 3)]
    assert [train_pack([trial], device=CPU)[0].status for trial in trials] == ["ok", "ok"]


def test_seconds_of_a_continued_training_include_those_before():
    saved = []
    first = train_pack(MIXED, device=CPU, hooks=Hooks(save=saved.append, save_seconds=0.0))
    again = train_pack(MIXED, device=CPU, hooks=Hooks(saved=saved[-1]))
    assert sum(r.train_seconds for r in again) > 0.5 * sum(r.train_seconds for r in first)
    assert first[2].train_seconds / first[0].train_seconds == pytest.approx(
        first[2].facts["n_train"] / first[0].facts["n_train"]
    )


def test_a_damaged_checkpoint_is_told_as_such():
    with pytest.raises(CheckpointError, match="can't be used"):
        train_pack(MIXED[:1], device=CPU, hooks=Hooks(saved=b"garbage"))


def test_networks_on_features_keep_the_law_to_the_bit_and_continue_exactly():
    small = {"task": "images", "depth": 2, "width": 16, "loss": "cross_entropy", "activation": "relu", "steps": 30}
    trials = [changed(t, data_fraction=0.3 * t.data_fraction, **small) for t in MIXED[:4]]
    saved = []
    together = by_id(train_pack(trials, device=CPU, hooks=Hooks(save=saved.append, save_seconds=0.0)))
    for trial in trials[::3]:
        assert by_id(train_pack([trial], device=CPU)) == {trial.trial_id: together[trial.trial_id]}
    assert by_id(train_pack(trials, device=CPU, hooks=Hooks(saved=saved[len(saved) // 2]))) == together
