"""Labels that change in mid-training: which, when, and that nothing before them is touched."""

import numpy as np
import torch
from conftest import CPU, trial_of

from phasemap.tasks.examples import examples_of
from phasemap.training.population import train_pack
from phasemap.training.recording import Hooks
from phasemap.training.states import read_start

NOISY = {"modulus": 7, "width": 16, "data_fraction": 0.6, "corruption": 0.5, "steps": 60}


def noisy(**settings):
    return trial_of(**{**NOISY, **settings})


def labels(trial, after):
    examples = examples_of(trial, after)
    return examples.given, examples.wrong


def test_repair_sets_a_share_of_the_wrong_labels_right_and_a_larger_one_adds_to_it():
    given, wrong = labels(noisy(), 60)
    before, _ = labels(noisy(repair=0.5, repair_at=30), 29)
    assert np.array_equal(before, given)
    half, whole = (labels(noisy(repair=share, repair_at=30), 30)[1] for share in (0.5, 1.0))
    assert half.sum() == wrong.sum() - int(0.5 * wrong.sum())
    assert not (half & ~wrong).any()
    assert not whole.any()


def test_corruption_in_mid_training_takes_labels_that_were_right():
    before, wrong = labels(noisy(), None)
    after, now = labels(noisy(corrupt=0.2, corrupt_at=30), 30)
    changed = before != after
    assert changed.any()
    assert changed.sum() <= int(0.2 * len(before))
    assert not (changed & wrong).any()
    assert (wrong <= now).all()


def test_up_to_an_intervention_a_trial_is_what_it_is_without_one():
    plain, repaired = train_pack([noisy(), noisy(repair=1.0, repair_at=30)], device=CPU)
    steps = np.array(plain.steps)
    curves = [np.array(result.curves["test_loss"]) for result in (plain, repaired)]
    assert np.array_equal(curves[0][steps <= 30], curves[1][steps <= 30])
    assert not np.array_equal(curves[0][steps > 30], curves[1][steps > 30])
    assert repaired.facts["n_corrupted"] == 0
    assert np.isnan(repaired.curves["memorized_accuracy"][-1])


def test_a_pack_that_is_stopped_before_or_after_an_intervention_goes_on_to_the_same_bits():
    trials = [noisy(repair=0.5, repair_at=20), noisy(repair=0.5, repair_at=40, corrupt=0.1, corrupt_at=20)]
    (whole, _), kept = train_pack(trials, device=CPU, record=("weights",)), []
    train_pack(trials, device=CPU, hooks=Hooks(save=kept.append, save_seconds=0.0))
    for saved in kept[:: max(1, len(kept) // 6)]:
        result, _ = train_pack(trials, device=CPU, record=("weights",), hooks=Hooks(saved=saved))
        assert result.curves == whole.curves or str(result.curves) == str(whole.curves)
        assert torch.equal(torch.from_numpy(result.weights["W"]), torch.from_numpy(whole.weights["W"]))


def test_a_training_that_goes_on_after_an_intervention_is_the_long_one(tmp_path):
    settings = {"repair": 0.5, "repair_at": 20, "gradient": "grokfast"}
    former, longer = noisy(**settings, trial_id="former"), noisy(**settings, steps=120, trial_id="longer")
    (ended,) = train_pack([former], device=CPU, record=("state",))
    (tmp_path / "end").write_bytes(ended.state)
    start = read_start(tmp_path / "end", former, longer, ())
    (on,) = train_pack([longer], device=CPU, record=("weights",), starts=[start])
    (whole,) = train_pack([longer], device=CPU, record=("weights",))
    assert str(on.curves) == str(whole.curves)
    assert np.array_equal(on.weights["W"], whole.weights["W"])
