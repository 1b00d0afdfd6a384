"""What is recorded inside trained networks, by the laws and findings that it must show."""

import numpy as np
import pytest
import torch
from conftest import CPU, changed, trial_of
from scipy.stats import spearmanr

from phasemap.representations.ipr import mean_ipr
from phasemap.tasks.examples import examples_of
from phasemap.training.inside import extracted_accuracy, inside_steps, unit_ipr
from phasemap.training.networks import load_weights
from phasemap.training.population import train_pack
from phasemap.training.recording import Hooks, record_steps

ALL = ("ipr", "neurons", "pruning", "logits", "norms", "extracted", "weights")
COEXISTING = trial_of(
    trial_id="coexisting", modulus=31, width=128, steps=600, data_fraction=0.7, corruption=0.1, weight_decay=2.0
)
SHORT = [trial_of(trial_id=f"s{i}", modulus=11, width=24, steps=60, seed=i, corruption=0.3) for i in range(3)]


@pytest.fixture(scope="module")
def coexisting():
    (result,) = train_pack([COEXISTING], device=CPU, record=ALL)
    assert result.curves["test_accuracy"][-1] > 0.95
    assert result.curves["memorized_accuracy"][-1] > 0.95
    return result


def records(result, record, series=None):
    return [r for r in result.inside if r.record == record and series in (None, r.series)]


def test_pruning_low_ipr_first_takes_the_memorized_labels_and_leaves_the_rule(coexisting):
    (curve,) = (r.columns for r in records(coexisting, "pruning", "lowest_first"))
    half = list(curve["index"]).index(64)
    assert curve["memorized_accuracy"][half] < 0.2
    assert curve["test_accuracy"][: half + 1].min() > 0.95
    assert curve["clean_accuracy"][: half + 1].min() > 0.95
    assert curve["train_accuracy"][half] == pytest.approx(1 - 0.1, abs=0.03)


def test_pruning_high_ipr_first_takes_the_rule_and_leaves_the_memorized_labels(coexisting):
    (curve,) = (r.columns for r in records(coexisting, "pruning", "highest_first"))
    half = list(curve["index"]).index(64)
    assert curve["test_accuracy"][half] < 0.2
    assert curve["memorized_accuracy"][half] > 0.9


def test_pruning_at_random_takes_both(coexisting):
    (curve,) = (r.columns for r in records(coexisting, "pruning", "random"))
    middle = list(curve["index"]).index(64)
    assert 0.4 < curve["test_accuracy"][middle] < 0.95
    assert 0.4 < curve["memorized_accuracy"][middle] < 0.95


def test_pruning_starts_at_the_trained_network_and_counts_the_neurons_it_needs(coexisting):
    for record in records(coexisting, "pruning"):
        for name in ("train_accuracy", "test_accuracy", "memorized_accuracy", "recovered_accuracy"):
            assert record.columns[name][0] == coexisting.curves[name][-1]
        for name in ("train_loss", "test_loss"):
            assert record.columns[name][0] == pytest.approx(coexisting.curves[name][-1], rel=1e-4)
    assert 10 < coexisting.finals["needed_neurons"] < 64
    assert coexisting.finals["pruned_memorized_accuracy"] < 0.2 < 0.95 < coexisting.curves["memorized_accuracy"][-1]
    assert np.isnan(coexisting.finals["gain_ipr_correlation"])


def test_the_ipr_is_recorded_of_each_neuron_from_the_first_step_to_the_last(coexisting):
    found = records(coexisting, "ipr")
    assert [r.step for r in found] == sorted(inside_steps(600))
    assert set(inside_steps(600)) <= set(record_steps(600))
    assert all(len(r.columns["ipr"]) == 128 for r in found)
    first, last = found[0].columns, found[-1].columns
    assert last["ipr"].mean() == pytest.approx(coexisting.finals["mean_ipr"])
    assert first["ipr"].mean() < 0.2 < 0.45 < last["ipr"].mean()
    assert last["ipr_relative"] == pytest.approx(last["ipr"] / 0.12, rel=0.1)
    assert not np.allclose(last["ipr"], last["ipr_no_constant"])


def test_the_highest_and_the_lowest_neuron_are_shown_before_and_after(coexisting):
    before, after = (r.columns for r in records(coexisting, "neurons", "all"))
    u = coexisting.weights["U"]
    for series, choose in (("highest", np.argmax), ("lowest", np.argmin)):
        start, end = (r.columns for r in records(coexisting, "neurons", series))
        neuron = choose(after["ipr"])
        assert set(start["neuron"]) == set(end["neuron"]) == {neuron}
        assert end["weight_u"] == pytest.approx(u[neuron])
        assert np.nansum(end["power_u"]) == pytest.approx(1.0)
    high, low = (records(coexisting, "neurons", series)[1].columns for series in ("highest", "lowest"))
    assert np.nanmax(high["power_u"]) > 0.9 > 0.5 > np.nanmax(low["power_u"])
    assert after["norm_u"] == pytest.approx(np.linalg.norm(u, axis=1))
    assert before["ipr"].mean() < 0.2
    assert "gain" not in after


def test_scores_of_wrongly_labelled_examples_have_two_peaks(coexisting):
    (table,) = (r.columns for r in records(coexisting, "logits", "corrupted"))
    assert len(table["index"]) == coexisting.facts["n_corrupted"]
    memorized = (table["logit_given"] > table["logit_true"]) & (table["logit_given"] > table["logit_other"])
    assert memorized.mean() == pytest.approx(coexisting.curves["memorized_accuracy"][-1])
    assert np.median(table["logit_true"]) > np.median(table["logit_other"])
    whole = records(coexisting, "logits", "example-0")[0].columns
    assert whole["logit"][table["given_class"][0]] == table["logit_given"][0]
    assert whole["logit"][table["true_class"][0]] == table["logit_true"][0]


def test_norms_are_recorded_of_every_parameter_at_every_record(coexisting):
    for name in ("U", "V", "W"):
        norms = records(coexisting, "norms", name)
        assert [r.step for r in norms] == list(coexisting.steps)
        recorded = [r.columns["value"][0] for r in norms]
        assert recorded == pytest.approx(coexisting.curves[f"weight_norm_{name.lower()}"], rel=1e-5)


def test_the_extracted_rule_is_at_least_as_good_as_a_network_that_coexists(coexisting):
    found = records(coexisting, "extracted", "extracted_accuracy")
    assert [r.step for r in found] == list(coexisting.steps)
    assert coexisting.finals["extracted_accuracy"] == found[-1].columns["value"][0] > 0.95
    assert found[0].columns["value"][0] < 0.3


def test_kept_weights_are_the_trained_network(coexisting):
    examples = examples_of(COEXISTING)
    weights = {name: torch.from_numpy(value) for name, value in coexisting.weights.items()}
    network = load_weights(COEXISTING, examples.dataset, weights)
    inputs = torch.from_numpy(examples.dataset.inputs[examples.test])
    right = network(inputs).argmax(dim=1).numpy() == examples.dataset.labels[examples.test]
    assert right.mean() == coexisting.curves["test_accuracy"][-1]
    assert mean_ipr(unit_ipr(COEXISTING, weights)) == pytest.approx(coexisting.finals["mean_ipr"])
    assert extracted_accuracy(COEXISTING, examples, weights) == coexisting.finals["extracted_accuracy"]


def test_the_gain_of_batchnorm_follows_the_ipr():
    trial = changed(
        COEXISTING, trial_id="gain", norm="batch", corruption=0.2, weight_decay=0.0, steps=300,
        batch_size=64, scale_to_batch=256, optimizer="adam", learning_rate=0.005,
    )  # fmt: skip
    (result,) = train_pack([trial], device=CPU, record=("neurons",))
    columns = records(result, "neurons", "all")[-1].columns
    expected = spearmanr(columns["gain"], columns["ipr"]).statistic
    assert result.finals["gain_ipr_correlation"] == pytest.approx(expected)
    assert expected > 0.5
    assert np.isnan(result.finals["pruned_memorized_accuracy"])


def same(a, b):
    assert [(r.record, r.step, r.series) for r in a] == [(r.record, r.step, r.series) for r in b]
    for one, other in zip(a, b, strict=True):
        assert one.columns.keys() == other.columns.keys()
        for name in one.columns:
            np.testing.assert_array_equal(one.columns[name], other.columns[name])


def test_records_don_t_depend_on_the_pack_nor_on_a_restart():
    saved = []
    hooks = Hooks(save=saved.append, save_seconds=0.0)
    together = train_pack(SHORT, device=CPU, record=ALL, hooks=hooks)
    continued = train_pack(SHORT, device=CPU, record=ALL, hooks=Hooks(saved=saved[len(saved) // 2]))
    for trial, whole, again in zip(SHORT, together, continued, strict=True):
        (alone,) = train_pack([trial], device=CPU, record=ALL)
        same(whole.inside, alone.inside)
        same(whole.inside, again.inside)
        for other in (alone, again):
            np.testing.assert_array_equal(list(whole.finals.values()), list(other.finals.values()))


def test_looking_changes_nothing():
    plain = train_pack(SHORT[:1], device=CPU)[0]
    looked = train_pack(SHORT[:1], device=CPU, record=ALL)[0]
    assert plain.curves["test_loss"] == looked.curves["test_loss"]
    assert plain.inside == ()
    assert plain.weights is None


def test_a_transformer_s_embedding_has_an_ipr_and_a_deep_mlp_has_none():
    attentive = trial_of(
        trial_id="a", model="transformer", depth=1, modulus=11, width=16, steps=20, heads=2, activation="relu"
    )
    (result,) = train_pack([attentive], device=CPU, record=("ipr", "norms", "logits"))
    assert len(records(result, "ipr")[-1].columns["ipr"]) == 16
    assert {r.series for r in records(result, "norms")} >= {"E", "W", "blocks.0.query"}
    deep = trial_of(trial_id="d", depth=3, modulus=11, width=16, steps=20, activation="relu")
    assert np.isnan(train_pack([deep], device=CPU)[0].finals["mean_ipr"])


def test_a_network_that_diverges_has_no_final_numbers():
    (result,) = train_pack([changed(SHORT[0], learning_rate=1e30)], device=CPU, record=ALL)
    assert result.status == "diverged"
    assert result.finals == {}
    assert result.weights is None
