"""A budget buys rows and trainings; less of it costs precision, never balance."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.auditing.preparing import Prepared
from phasemap.auditing.trainings import FULL_TRAININGS, AuditSize, choose_size, half_seconds, kept_size, sample


def data_of(n, n_features=64, n_classes=5, groups=None):
    return Prepared(
        inputs=np.zeros((n, n_features + 1), dtype=np.float32),
        labels=np.arange(n) % n_classes,
        classes=tuple("abcdefghij"[:n_classes]),
        groups=groups,
        notices=(),
    )


def test_a_table_of_2000_rows_is_audited_in_full_in_five_minutes_of_two_cores():
    effort = choose_size(data_of(2000), 5.0, cores=2)
    assert (effort.rows, effort.trainings) == (2000, FULL_TRAININGS)


def test_a_million_rows_are_sampled_and_the_cost_in_precision_is_known():
    effort = choose_size(data_of(1_000_000, n_features=4), 5.0, cores=2)
    assert 2000 <= effort.rows <= 20_000
    assert effort.row_precision == pytest.approx(0.98 / effort.rows**0.5, rel=0.01)


@given(minutes=st.floats(0.5, 60), n=st.integers(50, 30_000), cores=st.integers(1, 8))
def test_more_time_never_buys_less_and_is_not_exceeded_by_the_estimate(minutes, n, cores):
    data = data_of(n, n_features=16)
    effort, more = (choose_size(data, minutes * times, cores) for times in (1, 2))
    assert effort.rows * effort.trainings <= more.rows * more.trainings
    if effort.rows > 500:
        seconds = effort.halves * half_seconds(min(n, 20_000), data) * effort.rows / min(n, 20_000)
        assert seconds <= minutes * 60 * cores


def test_a_sample_keeps_the_shares_of_classes_and_at_least_two_of_each():
    labels = np.repeat([0, 1, 2], [900, 98, 2])
    data = data_of(1000, n_classes=3)
    object.__setattr__(data, "labels", np.random.default_rng(0).permutation(labels))
    rows = sample(data, 100)
    assert np.bincount(data.labels[rows]).tolist() == [90, 10, 2]
    assert (np.diff(rows) > 0).all()
    assert sample(data, 1000).tolist() == list(range(1000))


def test_an_audit_goes_on_with_the_effort_that_it_began_with(tmp_path):
    path = tmp_path / "effort.json"
    first = kept_size(path, "data 5", lambda: AuditSize(rows=100, trainings=40))
    assert kept_size(path, "data 5", lambda: AuditSize(rows=100, trainings=200)) == first
    assert kept_size(path, "other 5", lambda: AuditSize(rows=100, trainings=200)).trainings == 200
    assert json.loads(path.read_text())["key"] == "other 5"
