"""What a device sees inside many networks is what the host sees inside each; and it takes one download."""

import numpy as np
import pytest
import torch
from conftest import CPU, trial_of
from hypothesis import given
from hypothesis import strategies as st
from launches import META, Launches

from phasemap.representations.ipr import extracted_weights, ipr
from phasemap.representations.on_device import batched_ipr, batched_projection
from phasemap.tasks.examples import examples_of
from phasemap.training.batched import BatchedKernel
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.inside import Inside
from phasemap.training.population import train_pack

WANTED = frozenset({"norms", "ipr", "extracted", "pruning"})
EXACT = {"index", "value", "ipr", "ipr_no_constant", "ipr_relative", "train_loss", "test_loss"}  # to rounding
NETWORKS = 7  # of which two are pruned at once where 60 % of the examples are trained on
SETTINGS = {
    "addition": {"task": "modular_addition", "modulus": 11},
    "multiplication": {"task": "modular_multiplication", "modulus": 13, "activation": "relu", "loss": "cross_entropy"},
    "no wrong labels, few examples": {"modulus": 11, "corruption": 0.0, "data_fraction": 0.2},
}


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.booleans())
def test_the_ipr_of_many_vectors_is_that_of_each(seed, length, constant):
    rows = np.random.default_rng(seed).standard_normal((5, length)) * 1e-20
    rows[1], rows[2] = 0.0, 3.0  # dead, and constant
    found = batched_ipr(torch.from_numpy(rows).view(5, 1, length), constant=constant).view(5).numpy()
    np.testing.assert_allclose(found, ipr(rows, constant=constant), rtol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.integers(1, 4))
def test_many_networks_are_projected_as_each(seed, length, networks):
    parts = np.random.default_rng(seed).standard_normal((networks, 3, 6, length))
    found = batched_projection(torch.from_numpy(parts)).numpy()
    for (u, v, w), projected in zip(parts, found, strict=True):
        expected = extracted_weights(u, v, w.T, np.arange(length))
        np.testing.assert_allclose(projected, [expected[0], expected[1], expected[2].T], atol=1e-12)


def trained(name, device=CPU):
    base = {"width": 20, "steps": 60, "data_fraction": 0.6, "corruption": 0.3}
    trials = [trial_of(trial_id=str(i), seed=i, weight_decay=2.0 * i, **base | SETTINGS[name]) for i in range(NETWORKS)]
    examples = [examples_of(trial) for trial in trials]
    kernel = BatchedKernel(trials, examples, device)
    kernel.advance(range(NETWORKS), 0, 60)
    return trials, examples, kernel


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_device_sees_is_what_the_host_sees(name):
    trials, examples, kernel = trained(name)
    told = kernel.record(range(NETWORKS), 60, WANTED)
    for member, (evaluation, seen) in enumerate(told):
        assert evaluation.train_loss == kernel.evaluate([member])[0].train_loss
        ours, hosts = (Inside(trial=trials[member], examples=examples[member], wanted=WANTED) for _ in range(2))
        ours.look(60, {}, seen)  # no weights: the host looks at nothing
        hosts.look(60, kernel.weights(member))
        assert [(r.record, r.series, r.step) for r in ours.records] == [
            (r.record, r.series, r.step) for r in hosts.records
        ]
        for one, other in zip(ours.records, hosts.records, strict=True):
            assert list(one.columns) == list(other.columns)
            for column, values in one.columns.items():
                tolerance = (
                    {"rtol": 1e-5, "atol": 1e-7} if column in EXACT else {"atol": 0.02}
                )  # of a tie between classes
                np.testing.assert_allclose(values, other.columns[column], **tolerance)
        end = kernel.ends([member])[0]
        expected = hosts.finals(kernel.weights(member))
        found = ours.finals({}, end)
        assert found.keys() == expected.keys() != set()
        for name, value in found.items():
            off = 0.02 if "memorized" in name else 0
            assert value == pytest.approx(expected[name], rel=1e-6, abs=off, nan_ok=True)


def test_a_whole_training_records_what_the_explicit_kernels_does():
    trials = [trial_of(trial_id=str(i), seed=i, modulus=11, width=20, steps=40, corruption=0.3) for i in range(2)]
    record = ("norms", "ipr", "extracted", "pruning", "neurons", "logits", "weights")
    results = [
        train_pack(trials, device=CPU, record=record, kernel=kernel) for kernel in (BatchedKernel, ExplicitKernel)
    ]
    for batched, explicit in zip(*results, strict=True):
        assert [(r.record, r.step, r.series) for r in batched.inside] == [
            (r.record, r.step, r.series) for r in explicit.inside
        ]
        assert batched.finals["mean_ipr"] == pytest.approx(explicit.finals["mean_ipr"], rel=1e-3)
        assert batched.finals["extracted_accuracy"] == pytest.approx(explicit.finals["extracted_accuracy"], abs=0.02)


@pytest.mark.parametrize("wanted", [(), WANTED])
def test_a_record_of_a_pack_is_one_download_whatever_is_looked_at(wanted):
    with Launches():
        _, _, kernel = trained("addition", META)
    with Launches() as seen:
        kernel.record(range(NETWORKS), 59, wanted)
    assert (seen.uploads, seen.downloads, seen.waits, seen.strangers) == (0, 1, 0, [])
    with Launches() as seen:
        kernel.record(range(NETWORKS), 60, wanted)
    assert (seen.uploads, seen.downloads, seen.waits, seen.strangers) == (1 if wanted else 0, 1, 0, [])  # a drawn order
    with Launches() as seen:
        kernel.ends(range(NETWORKS))
    assert (seen.uploads, seen.downloads, seen.waits, seen.strangers) == (0, 1, 0, [])
