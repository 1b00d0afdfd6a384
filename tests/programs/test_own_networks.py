"""Networks, data, optimizers and losses of a user, trained in packs: against one plain loop for each network."""

import importlib.util
import re
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import run_in_process
from own_tools import own_trials, write_own

import phasemap as pm
from phasemap.study.errors import StudyError, UnreachableError, UserError
from phasemap.study.file import load_study
from phasemap.tasks.examples import examples_of
from phasemap.tasks.streams import stream_key
from phasemap.training.kernel import make_kernel
from phasemap.training.own_network import OwnMasks
from phasemap.training.own_probe import probe
from phasemap.training.population import network_of, train_pack
from phasemap.training.recording import Hooks, record_steps

pytestmark = pytest.mark.usefixtures("forked")

CPU = torch.device("cpu")
STEPS = 50


def module_of(folder, name):
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_test", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain_loop(trial, build, make_optimizer, loss, before_step=lambda _: None):
    """Train one network by a loop as a user would write it, and return the losses on training data at records."""
    examples = examples_of(trial)
    data = examples.dataset
    torch.manual_seed(stream_key("own_initial_weights", trial.seed) % 2**63)
    net = build(data.example_shape, data.n_classes)
    optimizer = make_optimizer(net.parameters())
    x = torch.from_numpy(data.inputs[examples.train]).reshape(-1, *data.example_shape)
    y, found = torch.from_numpy(examples.given), []
    for step in range(1, trial.horizon + 1):
        before_step(step)
        net.train()
        optimizer.zero_grad()
        loss(net(x), y).mean().backward()
        optimizer.step()
        if step in record_steps(trial.horizon):
            net.eval()
            with torch.no_grad():
                found.append(float(loss(net(x), y).mean()))
    return found


def results_of(trials, **options):
    return train_pack(trials, device=CPU, **options)


def test_a_pack_is_equal_to_one_network_after_the_other(tmp_path):
    axes = {"corruption": [0, 0.2], "weight_decay": [0, 0.1]}
    _, trials = own_trials(tmp_path, axes=axes, seeds=2)
    nets, optim, losses = (module_of(tmp_path, name) for name in ("nets", "optim", "losses"))
    results = results_of(trials)
    assert {result.kernel for result in results} == {"functional"}
    for trial, result in zip(trials, results, strict=True):
        expected = plain_loop(
            trial,
            lambda features, classes: nets.ConvNet(features, classes, width=4),
            lambda ps, decay=trial.weight_decay: optim.Lion(ps, lr=0.003, weight_decay=decay),
            losses.stable,
        )
        assert result.curves["train_loss"] == pytest.approx(expected, rel=1e-4)
        assert result.texts["source"].count("+") == 3
    assert {result.facts["n_corrupted"] for result in results} >= {0}
    assert any(result.facts["n_corrupted"] for result in results)


def test_a_loss_and_an_optimizer_of_a_user_train_phasemap_s_networks(tmp_path):
    training = {"optimizer": "optim.py:Layers", "loss": "losses.py:stable", "steps": 20, "last": 0.05}
    axes = {"first": [0.01, 0.1], "temperature": [1.0, 2.0]}
    task, model = {"kind": "modular_addition", "modulus": 7}, {"width": 8}
    study, trials = own_trials(tmp_path, task=task, model=model, training=training, axes=axes)
    assert "learning_rate" not in study.declared
    assert "weight_decay" not in study.declared
    packs = {trial.shape for trial in trials}
    assert len(packs) == 2  # the temperature is of the loss, which a pack shares; learning rates are of each network
    for shape in packs:
        pack = [trial for trial in trials if trial.shape == shape]
        first, second = results_of(pack)
        assert first.status == second.status == "ok"
        assert first.curves["train_loss"] != second.curves["train_loss"]
        (alone,) = results_of(pack[1:])
        assert alone.curves["train_loss"] == pytest.approx(second.curves["train_loss"], rel=1e-5)


@pytest.mark.parametrize("axis", ["width", "depth"])
def test_own_data_go_with_phasemap_s_networks(tmp_path, axis):
    model = {"kind": "mlp", "activation": "relu"}
    axes = {axis: {"width": [8], "depth": [3]}[axis], "n": [30, 60]}
    _, trials = own_trials(tmp_path, model=model, training={"steps": 10}, axes=axes, fixed={"corruption": 0.2})
    for trial in trials:
        (result,) = results_of([trial])
        assert result.status == "ok"
        assert result.facts["n_train"] == dict(trial.own)["n"] // 2
        assert result.texts["source"] == trial.parts.source


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_own_tokens_go_with_phasemap_s_networks(tmp_path, kind):
    task = {"kind": "shapes.py:pairs", "split": "balanced", "corruption_kind": "region"}
    model = {"kind": kind, "width": 8}
    _, (trial,) = own_trials(tmp_path, task=task, model=model, training={"steps": 10}, axes={"corruption": [0.2]})
    examples = examples_of(trial)
    assert examples.dataset.tokens
    assert examples.dataset.n_classes == 7
    groups = examples.dataset.groups
    assert not set(groups[examples.train]) & set(groups[examples.test])
    assert results_of([trial])[0].status == "ok"


@pytest.mark.parametrize("kind", ["symmetric", "pair_flip", "shift", "region", "instance", "asymmetric"])
def test_own_data_have_every_kind_of_corruption_nested_within_a_seed(tmp_path, kind):
    matrix = {"matrix": [[0, 1, 0], [0, 0, 1], [1, 0, 0]]} if kind == "asymmetric" else {}
    task = {"kind": "shapes.py:load", "corruption_kind": kind, **matrix}
    _, trials = own_trials(tmp_path, task=task, axes={"corruption": [0.2, 0.6]})
    less, more = map(examples_of, trials)
    assert np.array_equal(less.train, more.train)
    assert less.n_corrupted < more.n_corrupted
    assert np.array_equal(less.given[less.wrong], more.given[less.wrong])


def test_built_in_tasks_give_an_own_network_their_shape(tmp_path):
    pytest.importorskip("sklearn")
    training = {"steps": 3, "optimizer": "adamw"}
    _, (trial,) = own_trials(tmp_path, task={"kind": "images"}, training=training, axes={"corruption": [0.2]})
    assert examples_of(trial).dataset.example_shape == (1, 8, 8)
    assert results_of([trial])[0].status == "ok"
    task, model = {"kind": "modular_addition", "modulus": 7}, {"kind": "nets.py:Tokens"}
    _, trials = own_trials(tmp_path, task=task, model=model, training={"steps": 20}, axes={"corruption": [0, 0.2]})
    assert [result.kernel for result in results_of(trials)] == ["functional"] * 2


def test_arrays_keep_their_shape_for_an_own_network(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(30, 1, 4, 4)), y=np.arange(30) % 3)
    task = {"kind": "arrays", "path": "mine.npz"}
    _, (trial,) = own_trials(tmp_path, task=task, training={"steps": 3}, axes={"corruption": [0.2]})
    assert results_of([trial])[0].status == "ok"


def test_dropout_is_the_same_in_any_pack_and_as_often_as_asked(tmp_path):
    model = {"kind": "nets.py:ConvNet"}
    axes = {"corruption": [0, 0.2], "dropout": [0.0, 0.4]}
    training = {"optimizer": "sgd", "loss": "cross_entropy", "steps": 20, "batch_size": 8}
    _, trials = own_trials(tmp_path, model=model, axes=axes, training=training, seeds=2)
    without, dropped = ([t for t in trials if t.dropout == rate] for rate in (0.0, 0.4))
    assert without[0].shape != dropped[0].shape
    assert probe(dropped[0]).dropouts == ((16, 0.4), (8, 0.2))
    together = results_of(dropped)
    for trial, result in zip(dropped, together, strict=True):
        (alone,) = results_of([trial])
        assert alone.kernel == "functional"
        assert alone.curves["train_loss"] == pytest.approx(result.curves["train_loss"], rel=1e-5)
    assert together[0].curves["train_loss"] != results_of(without)[0].curves["train_loss"]
    masks = OwnMasks(seed=1, calls=((16, 0.4), (8, 0.2)))
    drawn = masks.mask(masks.numbers(3, 4000))
    assert (drawn[:, :16] == 0).float().mean() == pytest.approx(0.4, abs=0.01)
    assert (drawn[:, 16:] == 0).float().mean() == pytest.approx(0.2, abs=0.01)
    assert drawn.mean(dim=0).mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("Normed", "changes its buffers while it trains"),
        ("Choosing", "torch.func can't stack it"),
        ("Drawing", "torch.func can't stack it"),
    ],
)
def test_networks_that_cannot_be_stacked_are_trained_one_after_the_other(tmp_path, kind, why):
    model = {"kind": f"nets.py:{kind}"}
    _, trials = own_trials(tmp_path, model=model, axes={"corruption": [0, 0.2]}, seeds=2)
    assert why in probe(trials[0]).alone
    results = results_of(trials)
    assert {result.kernel for result in results} == {"one_by_one"}
    nets, optim, losses = (module_of(tmp_path, name) for name in ("nets", "optim", "losses"))
    for trial, result in zip(trials, results, strict=True):
        expected = plain_loop(
            trial,
            getattr(nets, kind),
            lambda ps: optim.Lion(ps, lr=0.003),
            losses.stable,
            lambda step, seed=trial.seed: torch.manual_seed(stream_key("own_draws", seed, step) % 2**63),
        )
        assert result.curves["train_loss"] == pytest.approx(expected, rel=1e-4)
        (alone,) = results_of([trial])
        assert repr(alone.curves) == repr(result.curves)  # to the bit, NaN too


@pytest.mark.parametrize("kind", ["ConvNet", "Normed", "Drawing"])
def test_a_pack_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path, kind):
    fixed = {"dropout": 0.3} if kind != "Normed" else {}
    _, trials = own_trials(tmp_path, model={"kind": f"nets.py:{kind}"}, fixed=fixed, axes={"corruption": [0, 0.2]})
    saved = []
    whole = results_of(trials, hooks=Hooks(save=saved.append, save_seconds=0.0))
    again = results_of(trials, hooks=Hooks(saved=saved[len(saved) // 2]))
    for first, second in zip(whole, again, strict=True):
        assert first.steps == second.steps
        assert repr(first.curves) == repr(second.curves)


def test_buffers_and_frozen_weights_are_each_network_s_own_and_are_not_trained(tmp_path):
    _, trials = own_trials(tmp_path, model={"kind": "nets.py:Features"}, axes={"corruption": [0]}, seeds=3)
    results = results_of(trials, record=("weights",))
    assert {result.kernel for result in results} == {"functional"}
    for trial, result in zip(trials, results, strict=True):
        torch.manual_seed(stream_key("own_initial_weights", trial.seed) % 2**63)
        start = module_of(tmp_path, "nets").Features((1, 4, 4), 3).state_dict()
        assert np.array_equal(result.weights["random"], start["random"].numpy())
        assert np.array_equal(result.weights["frozen"], start["frozen"].numpy())
        assert not np.array_equal(result.weights["out.weight"], start["out.weight"].numpy())
        network = network_of(trial, result.weights)
        assert type(network).__name__ == "Features"
        assert np.array_equal(network.out.weight.detach().numpy(), result.weights["out.weight"])


@pytest.mark.parametrize("kind", ["ConvNet", "Normed"])
def test_what_is_recorded_inside_a_network_of_a_user(tmp_path, kind):
    _, (trial,) = own_trials(tmp_path, model={"kind": f"nets.py:{kind}"}, axes={"corruption": [0.4]})
    (result,) = results_of([trial], record=("norms", "logits", "weights"))
    kinds = {record.record for record in result.inside}
    assert kinds == {"norms", "logits"}
    (corrupted,) = [record for record in result.inside if record.series == "corrupted"]
    assert len(corrupted.columns["index"]) == result.facts["n_corrupted"]
    assert np.isfinite(corrupted.columns["logit_true"]).all()
    named = {record.series for record in result.inside if record.record == "norms"}
    assert named or result.weights


def test_running_statistics_are_kept_with_the_weights(tmp_path):
    _, (trial,) = own_trials(tmp_path, model={"kind": "nets.py:Normed"}, axes={"corruption": [0]})
    (result,) = results_of([trial], record=("weights",))
    network = network_of(trial, result.weights)
    assert network.norm.num_batches_tracked == STEPS
    examples = examples_of(trial)
    x = torch.from_numpy(examples.dataset.inputs[examples.train]).reshape(-1, 1, 4, 4)
    loss = torch.nn.functional.cross_entropy(network(x), torch.from_numpy(examples.given))
    assert loss.item() == pytest.approx(result.curves["train_loss"][-1], rel=1e-5)


BAD = "import torch\nfrom torch import nn\n\n\n"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"nets.py": BAD + "def ConvNet(features, classes):\n    return nn.Flatten()\n"},
            r"model.kind = nets.py:ConvNet: ConvNet\(\(1, 4, 4\), 3\) has no weights to train",
        ),
        (
            {
                "nets.py": BAD
                + "def ConvNet(features, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5))\n"
            },
            r"answers the shape \(3, 5\) to inputs \(3, 1, 4, 4\); allowed: the shape \(3, 3\)",
        ),
        (
            {"nets.py": BAD + "def ConvNet(features, classes):\n    return nn.Linear(16, 5)\n"},
            r"ConvNet\(\(1, 4, 4\), 3\) fails for inputs \(3, 1, 4, 4\): RuntimeError: mat1 and mat2",
        ),
        (
            {"nets.py": BAD + "def ConvNet(features, classes):\n    return classes\n"},
            "makes int; allowed: a torch.nn.Module",
        ),
        (
            {"nets.py": BAD + "def ConvNet(features, classes):\n    return nn.Linear(16, 3).double()\n"},
            "has the weights weight in float64, bias in float64; allowed: float32",
        ),
        (
            {"nets.py": BAD + "def ConvNet(features, classes):\n    raise KeyError('x')\n"},
            r"fails: KeyError: 'x' \(nets.py:6\)",
        ),
        (
            {"nets.py": BAD + "def ConvNet(features, classes):\n    raise SystemExit(0)\n"},
            r"fails: SystemExit: 0 \(nets.py:6\)",
        ),
        (
            {"losses.py": "def stable(scores, targets):\n    raise SystemExit(0)\n"},
            r"training.loss = losses.py:stable fails for .*: SystemExit: 0 \(losses.py:2\)",
        ),
        (
            {"losses.py": "def stable(scores, targets):\n    return scores.mean()\n"},
            r"training.loss = losses.py:stable answers the shape \(\) to scores \(3, 3\); allowed: a loss for each "
            r"example, the shape \(3,\)",
        ),
        (
            {"losses.py": "def stable(scores, targets):\n    return scores @ targets\n"},
            r"losses.py:stable fails for scores \(3, 3\) and targets \(3,\): RuntimeError",
        ),
    ],
)
def test_networks_and_losses_that_cannot_be_are_told_with_shapes_before_anything_starts(tmp_path, files, message):
    _, trials = own_trials(tmp_path, files)
    with pytest.raises(UserError, match=message):
        probe(trials[0])


def test_code_that_exits_while_it_trains_fails_its_trials_and_not_the_run(tmp_path):
    code = textwrap.dedent(
        """
        import sys
        import torch


        class Lion(torch.optim.SGD):
            def step(self):
                sys.exit(0)
        """
    )
    training = {"optimizer": "optim.py:Lion", "steps": 3}
    path = write_own(tmp_path, {"optim.py": code}, training=training, axes={"corruption": [0]})
    run = pm.Run(run_in_process(load_study(path), tmp_path / "runs"))
    assert run.trials["status"].tolist() == ["failed"]
    assert re.fullmatch(r"RuntimeError: it ended itself by SystemExit: 0 \(optim.py:\d+\)", run.trials["error"][0])


def test_data_that_exit_are_a_mistake_of_the_study(tmp_path):
    with pytest.raises(StudyError, match=r"shapes.py:load.* fails: SystemExit: 0 \(shapes.py:5\)"):
        load_study(write_own(tmp_path, {"shapes.py": "import sys\n\n\ndef load(n: int = 9):\n    sys.exit(0)\n"}))


def test_an_optimizer_must_change_weights_in_place(tmp_path):
    code = textwrap.dedent(
        """
        import torch


        class Lion(torch.optim.Optimizer):
            def __init__(self, params, lr=0.1):
                super().__init__(params, dict(lr=lr))

            def step(self, closure=None):
                for p in self.param_groups[0]["params"]:
                    p.data = p.data - 0.1 * p.grad
        """
    )
    training = {"optimizer": "optim.py:Lion", "steps": 3}
    _, trials = own_trials(tmp_path, {"optim.py": code}, training=training, axes={"corruption": [0]})
    with pytest.raises(UserError, match="replaces weights by new tensors; allowed: to change them in place"):
        results_of(trials)


def test_hooks_of_an_optimizer_are_called(tmp_path):
    code = textwrap.dedent(
        """
        import torch


        class Halving(torch.optim.SGD):
            def __init__(self, params, lr=0.0, halve: bool = False):
                super().__init__(params, lr=lr)
                if halve:
                    self.register_step_post_hook(lambda *_: [p.data.mul_(0.5) for p in self.param_groups[0]["params"]])
        """
    )
    training = {"optimizer": "optim.py:Halving", "steps": 2, "learning_rate": 1e-20}
    _, trials = own_trials(tmp_path, {"optim.py": code}, training=training, axes={"halve": [False, True]}, seeds=1)
    kernel = make_kernel(trials, [examples_of(trial) for trial in trials], CPU)
    before = {name: part.clone() for name, part in kernel.weights(0).items()}
    kernel.advance([0, 1], 0, 2)
    for name, part in before.items():
        torch.testing.assert_close(kernel.weights(0)[name], part)
        torch.testing.assert_close(kernel.weights(1)[name], part / 4)


def test_code_and_data_that_changed_since_the_study_was_read_are_refused_where_it_trains(tmp_path):
    _, (trial, *_) = own_trials(tmp_path)
    part = trial.parts.get("model")
    other = replace(trial.parts, parts=(replace(part, source="0" * 16), *trial.parts.parts))
    with pytest.raises(
        UnreachableError, match="is not the code that the run was started with; needed: start the run again"
    ):
        results_of([replace(trial, parts=other)])
    changed = replace(trial.parts, data=(replace(trial.parts.data[0], digest="0"),))
    with pytest.raises(UnreachableError, match="loads other data here than when the run was started"):
        results_of([replace(trial, parts=changed)])


def test_make_kernel_leaves_own_data_with_a_closed_form_gradient(tmp_path):
    training = {"steps": 5}
    _, (trial,) = own_trials(tmp_path, model={"width": 8}, training=training, axes={"corruption": [0]})
    assert make_kernel([trial], [examples_of(trial)], CPU).name == "explicit_features"
