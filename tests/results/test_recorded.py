"""Records from inside networks on their way through a run's folder, and trained networks out of it."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.results.inside import INSIDE_SCHEMA, read_inside
from phasemap.study.errors import UserError


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    study = study_of(record=["norms", "pruning", "ipr", "weights"], resources={"pack_size": 3})
    return run_in_process(study, tmp_path_factory.mktemp("recorded"))


def test_the_derived_table_holds_every_trial_s_records_under_the_schema(recorded):
    table = pq.read_table(recorded.neurons)
    assert table.schema.names == INSIDE_SCHEMA.names
    frame = table.to_pandas()
    trials = pd.read_parquet(recorded.trials).set_index("trial_id")
    assert set(frame["trial_id"]) == set(trials.index)
    assert set(frame["record"]) == {"norms", "pruning", "ipr"}
    last = frame[(frame["record"] == "norms") & (frame["step"] == 60) & (frame["series"] == "W")].set_index("trial_id")
    assert last["value"].to_dict() == pytest.approx(trials["weight_norm_w"].to_dict(), rel=1e-5)
    whole = frame.query("record == 'pruning' and series == 'random' and index == 0").set_index("trial_id")
    assert whole["test_accuracy"].to_dict() == pytest.approx(trials["test_accuracy"].to_dict())
    assert frame["logit"].isna().all()


def test_records_of_a_trial_in_two_packs_are_those_of_the_row_that_counts(recorded):
    trials = pd.read_parquet(recorded.trials)
    stray = recorded.inside_file("another")
    path = recorded.inside_file(trials["pack_id"][0])
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "pack_id", [["another"] * len(table)]), stray)
    try:
        assert len(read_inside(recorded, trials)) == len(pq.read_table(recorded.neurons))
    finally:
        stray.unlink()


def test_a_damaged_record_is_named(recorded):
    trials = pd.read_parquet(recorded.trials)
    path = recorded.inside_file(trials["pack_id"][0])
    content = path.read_bytes()
    path.write_bytes(b"garbage")
    try:
        with pytest.raises(UserError, match=f"{path.name} can't be read"):
            read_inside(recorded, trials)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("kept", [True, False])
def test_a_trained_network_can_be_loaded_whether_its_weights_were_kept_or_not(recorded, finished, kept):
    folder = recorded if kept else finished[1]
    run = pm.open_run(folder.path)
    assert folder.weights.exists() == kept
    row = run.trials.iloc[5]
    network = pm.load_network(run, row["trial_id"])
    assert isinstance(network, torch.nn.Module)
    norm = np.sqrt(sum(float(w.detach().double().square().sum()) for w in network.parameters()))
    assert norm == pytest.approx(row["weight_norm"], rel=1e-6)
    scores = network(torch.tensor([[1, 2], [3, 3]]))
    assert scores.shape == (2, 7)


def test_kept_weights_are_found_by_the_first_digits_of_an_id_too(recorded):
    trial_id = pd.read_parquet(recorded.trials)["trial_id"][3]
    path = recorded.weights_file(trial_id)
    kept = path.read_bytes()
    with np.load(path) as saved:
        np.savez(path, **{name: 0 * value for name, value in saved.items()})
    try:
        network = pm.load_network(recorded.path, trial_id[:8])
    finally:
        path.write_bytes(kept)
    assert all(not weights.any() for weights in network.parameters())


def test_an_unknown_trial_is_named(recorded):
    with pytest.raises(UserError, match="nothing is not a trial of small"):
        pm.load_network(recorded.path, "nothing")
