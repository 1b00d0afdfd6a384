"""Merging is commutative, associative and idempotent, and a better row replaces a worse one."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CPU, changed, study_of, trial_of
from hypothesis import given
from hypothesis import strategies as st

from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.results.merge import (
    curve_table,
    merge_rows,
    select_rows,
    trial_frame,
    trial_rows,
    trial_schema,
    trial_table,
)
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.results.shards import as_stored, failed_ids, finished_ids, read_shards, shard_table, write_shard
from phasemap.study.errors import UserError
from phasemap.study.spec import PhaseRule
from phasemap.tasks.corruption import data_facts
from phasemap.training.population import train_pack
from phasemap.training.recording import TrialResult

TRIALS = [trial_of(trial_id=f"t{i}", seed=i, steps=20) for i in range(4)]


def failed(trial, error="boom"):
    return TrialResult(
        trial=trial, status="failed", facts=data_facts(0, 0, 0), train_seconds=0.0, device="cpu", error=error,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Rows of three packs: good ones, a failed one of the same trial, and the same trial trained twice."""
    results = train_pack(TRIALS, device=CPU)
    bad = dataclasses.replace(results[2], status="diverged")
    return [
        shard_table("a", results[:2]),
        shard_table("b", [failed(TRIALS[0]), failed(TRIALS[3])]),
        shard_table("c", [results[1], bad]),
    ]


def merged(*tables):
    return merge_rows(pa.concat_tables(tables)).to_pylist()


def same(left, right):
    return str(left) == str(right)  # NaN == NaN


@given(st.data())
def test_merging_is_commutative_associative_and_idempotent(rows, data):
    parts = data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=4))
    whole = merged(*parts)
    assert same(merged(*data.draw(st.permutations(parts))), whole)
    assert same(merged(*parts, *parts), whole)
    cut = data.draw(st.integers(0, len(parts)))
    if 0 < cut < len(parts):
        halves = [merge_rows(pa.concat_tables(half)) for half in (parts[:cut], parts[cut:])]
        assert same(merged(*halves), whole)


def test_each_trial_has_one_row_and_the_better_status_wins(rows):
    for order in itertools.permutations(rows):
        found = {row["trial_id"]: row["status"] for row in merged(*order)}
        assert found == {"t0": "ok", "t1": "ok", "t2": "diverged", "t3": "failed"}


def test_shards_tell_what_is_done(rows, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    assert len(read_shards(folder)) == 0
    results = train_pack(TRIALS[:2], device=CPU)
    write_shard(folder, "a", results)
    write_shard(folder, "b", [failed(TRIALS[0]), failed(TRIALS[3])])
    assert finished_ids(folder) == {"t0", "t1"}
    assert failed_ids(folder) == {"t3"}
    assert not list(folder.path.rglob("*.tmp*"))
    read = {row["trial_id"]: row for row in read_shards(folder).to_pylist() if row["status"] == "ok"}
    for result in results:
        assert read[result.trial.trial_id]["step"] == list(result.steps)
        assert np.allclose(read[result.trial.trial_id]["train_loss"], result.curves["train_loss"], rtol=0, atol=0)


def test_a_shard_of_another_release_or_broken_is_named(rows, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    pq.write_table(rows[0].replace_schema_metadata({"phasemap_shard_version": "99"}), folder.shard("x"))
    with pytest.raises(UserError, match=r"x.parquet has shard version 99; this release reads 1"):
        read_shards(folder)
    folder.shard("x").write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"x.parquet is damaged"):
        read_shards(folder)


def test_a_shard_without_a_later_column_is_filled_in(rows, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    later = ["final.mean_ipr", "setting.mlp_factor"]
    pq.write_table(as_stored(rows[0]).drop_columns(later), folder.shard("x"))
    read = read_shards(folder)
    assert read.schema.names == rows[0].schema.names
    assert read["mean_ipr"].to_pylist() == [None, None]
    assert read["mlp_factor"].to_pylist() == [4, 4]
    assert read["train_loss"].to_pylist() == rows[0]["train_loss"].to_pylist()


def test_the_batch_that_a_training_is_scaled_to_is_a_number_also_beside_older_shards(rows, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    place = rows[0].schema.get_field_index("scale_to_batch")
    older = rows[0].set_column(place, "scale_to_batch", pa.nulls(len(rows[0]), pa.bool_()))
    pq.write_table(older, folder.shard("older"))
    scaled = trial_of(trial_id="scaled", steps=4, batch_size=4, scale_to_batch=8)
    write_shard(folder, "scaled", train_pack([scaled], device=CPU))
    found = {row["trial_id"]: row["scale_to_batch"] for row in read_shards(folder).to_pylist()}
    assert found == {"t0": None, "t1": None, "scaled": 8}


def test_only_trials_that_ended_well_get_labels(rows):
    table = trial_table(merge_rows(pa.concat_tables(rows)), PhaseRule())
    assert list(table.columns) == trial_schema(SHARD_SCHEMA, PhaseRule()).names
    assert table.set_index("trial_id")["phase"].notna().to_dict() == {"t0": True, "t1": True, "t2": False, "t3": False}
    assert table.set_index("trial_id").at["t3", "error"] == "boom"


def test_final_values_are_those_of_the_horizon_that_is_asked_for(rows):
    early = trial_frame(trial_rows(rows[0], PhaseRule(), at_step=10)).set_index("trial_id")
    step = rows[0]["step"][0].as_py()
    losses = rows[0]["train_loss"][0].as_py()
    assert early.at["t0", "train_loss"] == losses[step.index(10)]
    assert early.at["t0", "horizon"] == 10
    with pytest.raises(UserError, match="--at-step 0: nothing was recorded"):
        trial_rows(rows[0], PhaseRule(), at_step=0)


def test_curves_are_the_recorded_rows_in_long_form(rows):
    table = curve_table(rows[0]).to_pandas()
    assert len(table) == sum(len(steps) for steps in rows[0]["step"].to_pylist())
    first = table[table["trial_id"] == "t0"]
    assert first["step"].tolist() == rows[0]["step"][0].as_py()
    assert first["test_loss"].tolist() == rows[0]["test_loss"][0].as_py()


def test_rows_are_selected_in_the_order_of_the_study(rows):
    assert select_rows(rows[0], ["t1", "t9", "t0"])["trial_id"].to_pylist() == ["t1", "t0"]


def test_the_tables_hold_the_study_s_points_only(finished):
    study, folder = finished
    narrow = study_of(axes={"corruption": [0.3], "weight_decay": [0]}, seeds=1)
    tables = derive(folder, narrow)
    assert len(tables.trials) == len(tables.points) == 1
    assert len(derive(folder, study).trials) == 8


def test_a_diverged_trial_is_finished_and_better_than_a_failed_one(rows, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    (result,) = train_pack(TRIALS[3:], device=CPU)
    write_shard(folder, "a", [failed(TRIALS[3])])
    write_shard(folder, "b", [dataclasses.replace(result, status="diverged")])
    assert finished_ids(folder) == {"t3"}
    assert failed_ids(folder) == set()
    assert [row["status"] for row in merge_rows(read_shards(folder)).to_pylist()] == ["diverged"]


def test_two_trainings_of_one_trial_merge_to_the_same_row_in_any_order():
    (result,) = train_pack(TRIALS[:1], device=CPU)
    parts = [shard_table("a", [dataclasses.replace(result, train_seconds=s)]) for s in (2.0, 1.0)]
    assert [row["train_seconds"] for row in merged(*parts)] == [row["train_seconds"] for row in merged(*parts[::-1])]


def test_labels_stay_with_their_trial_when_others_have_none():
    learned = trial_of(
        trial_id="b", modulus=13, width=48, steps=300, data_fraction=0.8, corruption=0.0, weight_decay=4.0
    )
    collapsed = changed(learned, trial_id="c", weight_decay=40.0)
    good, bad = train_pack([learned, collapsed], device=CPU)
    table = shard_table("x", [failed(changed(learned, trial_id="a")), good, bad])
    found = trial_table(table, PhaseRule()).set_index("trial_id")
    assert found["phase"].isna().to_dict() == {"a": True, "b": False, "c": False}
    assert found.at["c", "phase"] == "confusion" != found.at["b", "phase"]
    assert found.at["c", "train_accuracy"] == bad.curves["train_accuracy"][-1]


def test_effective_corruption_is_the_share_of_labels_that_are_really_wrong():
    (result,) = train_pack([trial_of(modulus=5, corruption=0.8, data_fraction=0.8, steps=5)], device=CPU)
    (row,) = shard_table("x", [result]).to_pylist()
    assert row["corruption_effective"] == result.facts["n_corrupted"] / result.facts["n_train"]
    assert row["corruption_effective"] < 0.8
