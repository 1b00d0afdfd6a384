"""Stored runs are read by this release: their bytes, tables, records and weights; the interrupted one is continued."""

import json

import numpy as np
import pytest
import torch
from golden_files import differences, dumped, names, working_directory
from golden_interrupted import GOLDEN as CONTINUED
from golden_interrupted import content, continued, shards
from golden_runs import KEPT, NAMES, SUMS, UNFINISHED, copied, stored, sums
from golden_tables import CURVES, GOLDEN, VARIANTS, digest, table

import phasemap as pm
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.results.shards import finished_ids
from phasemap.study.networks import LATER
from phasemap.study.trials import expand, grid_ids


def test_the_bytes_of_stored_runs_are_those_that_were_frozen():
    assert sums() == SUMS.read_text()
    assert {path.name for path in stored("").iterdir()} == {*NAMES, SUMS.name}
    for name, kept in KEPT.items():
        assert {path.name for path in stored(name).iterdir()} == set(kept)


def test_stored_runs_hold_what_they_are_for():
    with working_directory():
        mixed, plane, records, interrupted, older = map(pm.open_run, (folder.path for folder in copied(*NAMES)))
        assert set(mixed.trials["status"]) == {"ok", "diverged", "failed"}
        assert [path.name[:6] for path in plane.folder.shards.iterdir()] == ["whole-"]
        assert set(records.study.record) == set(records.neurons["record"]) | {"weights"}
        assert len(list(records.folder.weights.iterdir())) == len(records.trials)
        for run in (interrupted, older):
            assert 0 < len(run.trials) < len(grid_ids(run.study))
            assert len(list(run.folder.checkpoints.iterdir())) == 1
            assert not run.folder.trials.exists()
        assert interrupted.trials["kernel"].notna().all()
        assert older.trials["kernel"].isna().all()


@pytest.mark.parametrize("golden", GOLDEN, ids=names(GOLDEN))
def test_tables_have_not_changed(golden):
    golden.check()


@pytest.mark.parametrize("name", ["records"])
def test_tables_that_an_earlier_release_wrote_are_read_as_they_are(name):
    frozen = next(golden for golden in GOLDEN if golden.name == f"tables_{name}").read()
    with working_directory():
        (folder,) = copied(name)
        for path in (*folder.shards.iterdir(), *folder.inside.iterdir()):
            path.unlink()
        run = pm.open_run(folder.path)
        columns = {field for field in SHARD_SCHEMA.names if not field.startswith("final_")}
        found = {
            "trials": table(run.trials, columns),
            "points": table(run.points, set(run.study.axis_names)),
            CURVES: digest(run.curves),
            "neurons": digest(run.neurons),
        }
    first = next(iter(VARIANTS))
    exact = frozen[first]["trials"]["exact"]
    for name in [name for name in exact if name.split()[0] in LATER]:
        exact.pop(name)  # a later setting, which is filled in where shards are read
    for name in ("matrix text", "path text"):
        found["trials"]["exact"].pop(name)  # of other corruptions and tasks, which tables that are made now leave out
    wanted = {**frozen[first], CURVES: frozen[CURVES], "neurons": frozen["neurons"]}
    assert not differences(wanted, json.loads(dumped(found)))


def test_stored_weights_are_the_networks_that_were_recorded():
    with working_directory():
        (folder,) = copied("records")
        run = pm.open_run(folder.path)
        rows = run.trials.set_index("trial_id")
        pairs = np.stack(np.meshgrid(np.arange(7), np.arange(7), indexing="ij"), axis=-1).reshape(-1, 2)
        for trial in expand(run.study):
            network = pm.load_network(run, trial.trial_id)
            with torch.no_grad():
                answers = network(torch.from_numpy(pairs)).argmax(dim=1).numpy()
            right = (answers == pairs.sum(axis=1) % 7).sum()
            row = rows.loc[trial.trial_id]
            n_test = 49 - row["n_train"]
            wrong = row["n_corrupted"]
            known = row["test_accuracy"] * n_test + row["clean_accuracy"] * (row["n_train"] - wrong)
            assert right == pytest.approx(known + row["recovered_accuracy"] * wrong, abs=1.5)


@pytest.mark.parametrize(("name", "golden"), list(zip(UNFINISHED, CONTINUED, strict=True)), ids=UNFINISHED)
def test_continuing_an_interrupted_run_trains_what_is_missing_and_nothing_else(name, golden):
    with working_directory():
        done = continued(name)
        golden.check(content(done))
        assert set(done.finished) == finished_ids(copied(name, storage="again")[0])
        assert not set(done.trained) & set(done.finished)
        assert len(done.trained) == len(set(done.trained))
        assert {name: shards(done.folder)[name] for name in done.before} == done.before
        run = pm.open_run(done.folder.path)
        assert sorted(grid_ids(run.study)) == sorted([*done.finished, *done.trained])
        assert run.trials["trial_id"].tolist() == list(grid_ids(run.study))
        assert set(run.trials["status"]) == {"ok"}
        assert not list(done.folder.path.rglob("*.pt"))
