"""What a program gets: its streams, corrupted labels and scores, and state to go on from."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phasemap.tasks.corruption import Noise
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.examples import draw_examples
from phasemap.training.program_context import TrialContext
from phasemap.training.program_data import BY_INPUTS, CORRUPTIONS
from phasemap.training.recording import Evaluation, Hooks, measure

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 200)
INPUTS = RNG.normal(size=(200, 6)).astype(np.float32)
MATRIX = ((0.1, 0.9, 0, 0), (0, 0.1, 0.9, 0), (0, 0, 0.1, 0.9), (0.9, 0, 0, 0.1))


def context(seed=0, **kwargs):
    return TrialContext(seed=seed, settings={}, **kwargs)


def corrupt(seed, share, kind):
    extra = {"inputs": INPUTS} if kind in BY_INPUTS else {"matrix": MATRIX} if kind == "asymmetric" else {}
    return context(seed).corrupt(LABELS, share, kind, 4, **extra)


def test_streams_are_of_the_seed_and_the_purpose_alone():
    draws = {(seed, purpose): context(seed).rng(purpose).random() for seed in (0, 1) for purpose in "ab"}
    assert len(set(draws.values())) == 4
    assert context(0, device="cuda").rng("a").random() == draws[0, "a"]
    first = context(3)
    assert first.rng("a") is first.rng("a")
    drawn = [torch.rand(1, generator=context(seed).torch_rng("a")).item() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corrupted_labels_are_paired_and_nested_within_a_seed(kind):
    few, many = corrupt(1, 0.2, kind), corrupt(1, 0.6, kind)
    assert set(np.flatnonzero(few.wrong)) < set(np.flatnonzero(many.wrong))
    assert (few.given[few.wrong] == many.given[few.wrong]).all()
    assert (corrupt(1, 0.2, kind).given == few.given).all()
    assert (corrupt(2, 0.2, kind).given != few.given).any()
    assert not corrupt(1, 0, kind).wrong.any()
    chosen = {"symmetric": 0.75, "region": 0.75, "asymmetric": 0.9}.get(kind, 1.0)
    assert many.wrong.mean() == pytest.approx(0.6 * chosen, abs=0.08)


@pytest.mark.parametrize("kind", ["symmetric", "pair_flip", "shift"])
def test_corruption_is_that_of_the_built_in_tasks(kind):
    found = corrupt(5, 0.3, kind)
    data = Dataset(name="program", inputs=INPUTS, labels=LABELS, n_classes=4)
    examples = draw_examples(data, seed=5, data_fraction=0.999, corruption=0.3, noise=Noise(kind=kind))
    both = np.intersect1d(examples.train[examples.wrong], np.flatnonzero(found.wrong))
    assert len(both) >= found.n_corrupted - 1
    given = dict(zip(examples.train, examples.given, strict=True))
    assert all(given[row] == found.given[row] for row in both)


def test_facts_and_scores_are_those_of_the_built_in_measures():
    trial = context(2)
    labels = trial.corrupt(LABELS[:150], 0.4)
    assert trial.record.facts == {
        "corruption": 0.4,
        "n_train": 150,
        "n_corrupted": labels.n_corrupted,
        "n_classes": 4,
        "corruption_effective": labels.n_corrupted / 150,
    }
    train, test = RNG.integers(0, 4, 150), RNG.integers(0, 4, 50)
    scored = trial.score(labels, np.eye(4)[train], torch.tensor(test), LABELS[150:])
    data = Dataset(name="x", inputs=INPUTS, labels=LABELS, n_classes=4)
    from phasemap.tasks.examples import Examples

    examples = Examples(
        dataset=data,
        train=np.arange(150),
        test=np.arange(150, 200),
        given=labels.given,
        wrong=labels.wrong,
        rule=np.full(50, -1),
    )
    evaluation = Evaluation(predicted=np.concatenate([train, test]), train_loss=0, test_loss=0, norms={})
    built_in = measure(examples, evaluation)
    assert scored == {name: built_in[name] for name in scored}
    assert len(scored) == 5


def test_tensors_stay_tensors():
    labels = context().corrupt(torch.tensor(LABELS), 0.5)
    assert isinstance(labels.given, torch.Tensor)
    assert labels.wrong.dtype == torch.bool
    clean = context().corrupt(torch.tensor(LABELS), 0.0)
    assert math.isnan(context().score(clean, LABELS, LABELS, LABELS)["memorized_accuracy"])


class Stop(Exception):
    """The process is lost."""


def train(trial, steps=12, until=None):
    """Draw from everything that a careless program draws from."""
    import random

    net = torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    batches = trial.rng("batches")
    for step in trial.steps(steps, state={"net": net, "optimizer": optimizer}):
        if step == until:
            raise Stop
        x = torch.rand(8, 3) + float(batches.random()) + random.random() + float(np.random.rand())  # noqa: NPY002
        x = x + torch.rand(1, generator=trial.torch_rng("noise"))
        loss = net(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(step, loss=loss.item())
    return trial.record


def seeded(saved=None, **kwargs):
    from phasemap.training.program_state import seed_all

    kept = []
    hooks = Hooks(save=kept.append, saved=saved, save_seconds=0, **kwargs)
    seed_all(7)
    return context(quantities={"loss": "loss"}, hooks=hooks), kept


def test_torch_is_seeded_where_a_program_imports_it_in_the_middle_of_a_trial():
    """By whatever library: a trial must not depend on whether it is the first in its process."""
    code = (
        "import sys\nfrom phasemap.training.program_state import seed_all\nseed_all(1)\nseed_all(7)\n"
        "assert 'torch' not in sys.modules\nimport torch.nn\nfirst = torch.rand(3).tolist()\n"
        "seed_all(7)\nassert torch.rand(3).tolist() == first\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("until", [2, 5, 12])
def test_a_careless_program_goes_on_to_the_same_curve(until):
    whole = train(seeded()[0])
    lost, kept = seeded()
    with pytest.raises(Stop):
        train(lost, until=until)
    again, _ = seeded(saved=kept[-1])
    torch.rand(5)  # other draws before the state is put back
    found = train(again)
    assert found.steps == whole.steps
    assert found.curves == whole.curves


def test_own_saves_go_on_too():
    trial, kept = seeded()
    assert trial.saved is None
    for step in range(1, 4):
        trial.report(step, loss=float(step))
        trial.save({"step": step, "words": "a", "numbers": (1, 2.5)})
    trial.report(4, loss=4.0)
    again, _ = seeded(saved=kept[-1])
    assert again.saved == {"step": 3, "words": "a", "numbers": (1, 2.5)}
    assert again.record.steps == [1, 2, 3]


def test_what_a_program_saves_goes_with_the_state_of_its_steps():
    def best(trial, until=None):
        """Sum what is drawn, and save the best of it by hand."""
        total, found = {"sum": 0.0}, trial.saved or {"best": 0.0}
        for step in trial.steps(6, state=(lambda: dict(total), total.update)):
            if step == until:
                raise Stop
            total["sum"] += float(np.random.normal())  # noqa: NPY002
            found = {"best": max(found["best"], total["sum"])}
            trial.save(found)
            trial.report(step, loss=found["best"])
        return trial.record

    whole = best(seeded()[0])
    trial, kept = seeded()
    with pytest.raises(Stop):
        best(trial, until=4)
    again = best(seeded(saved=kept[-1])[0])
    assert (len(kept), again.steps, again.curves) == (3, whole.steps, whole.curves)


def test_a_pair_of_functions_is_a_state():
    seen = []
    trial, kept = seeded()
    for step in trial.steps(3, state=(lambda: {"at": len(seen)}, seen.append)):
        trial.report(step, loss=1.0)
    again, _ = seeded(saved=kept[0])
    assert list(again.steps(3, state=(dict, seen.append))) == [2, 3]
    assert seen == [{"at": 0}]


@given(st.binary(max_size=200))
def test_a_damaged_state_is_no_state(content):
    with pytest.raises(ValueError, match="the saved state can't be read"):
        context(hooks=Hooks(saved=content or b"x"))


def test_a_trial_s_folder_is_removed_with_it():
    trial = context()
    (trial.folder / "note.txt").write_text("here")
    folder = trial.folder
    trial.close()
    assert not folder.exists()
