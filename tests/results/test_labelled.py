"""Labels that are kept in the cache are those of the shards, and a cache may be anything without harm."""

import hashlib
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CPU, study_of, trial_of
from test_merge import failed

from phasemap._version import __version__
from phasemap.diagram.horizon import with_steps
from phasemap.diagram.tables import derive, write_tables
from phasemap.results.curves import curve_columns, read_curves
from phasemap.results.folder import RunFolder
from phasemap.results.labelled import cache_schema, code_digest, labelled_rows, recorded_steps
from phasemap.results.merge import curve_table, merge_rows, select_rows, trial_frame, trial_rows
from phasemap.results.schema import SHARD_SCHEMA, shard_schema
from phasemap.results.shards import read_shards, shard_files, write_shard
from phasemap.study.spec import PhaseRule
from phasemap.study.trials import expand, grid_ids
from phasemap.training.population import train_pack

RULE = PhaseRule()
STUDY = study_of(axes={"corruption": [0, 0.3], "steps": [20, 30]}, training={}, seeds=1)
TRIALS = list(expand(STUDY))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Three packs: two horizons, and one trial that failed first."""
    folder = RunFolder(tmp_path_factory.mktemp("labelled") / "run")
    folder.create()
    short, long = ([t for t in TRIALS if t.steps == steps] for steps in (20, 30))
    write_shard(folder, "a", [failed(short[0])])
    write_shard(folder, "b", train_pack(short, device=CPU))
    write_shard(folder, "c", train_pack(long[1:], device=CPU))
    return folder


@pytest.fixture
def folder(stored, tmp_path):
    shutil.copytree(stored.path, tmp_path / "run", dirs_exist_ok=True)
    return RunFolder(tmp_path / "run")


def from_all_rows(folder, rule=RULE, at_step=None):
    """Label as if there were neither a cache nor pieces."""
    whole = read_shards(folder, schema=shard_schema(STUDY))
    rows = [trial_rows(whole.slice(i, 1), rule, at_step) for i in range(len(whole))]
    return str(merge_rows(pa.concat_tables(rows)).to_pylist())


def found(folder, rule=RULE, at_step=None):
    rule = rule.model_copy(update={"at_step": at_step})
    return str(merge_rows(labelled_rows(folder, STUDY.model_copy(update={"phases": rule}))).to_pylist())


def test_labels_are_those_of_each_row_alone(folder):
    assert found(folder) == from_all_rows(folder)
    assert found(folder) == from_all_rows(folder)  # from the cache
    assert found(folder, at_step=10) == from_all_rows(folder, at_step=10)
    strict = PhaseRule(rule="memorized_fraction", generalized=0.01)
    assert found(folder, strict) == from_all_rows(folder, strict) != from_all_rows(folder)


def test_a_new_shard_and_one_that_was_written_again_are_read(folder):
    before = found(folder)
    write_shard(folder, "d", [failed(trial_of(trial_id="other"))])
    assert found(folder) == from_all_rows(folder) != before
    write_shard(folder, "d", [failed(trial_of(trial_id="another"))])
    assert found(folder) == from_all_rows(folder)
    folder.shard("d").unlink()
    assert found(folder) == before


def test_a_shard_is_read_once_for_a_rule(folder):
    before = found(folder)
    for path in shard_files(folder):
        kept = path.stat()
        with path.open("r+b") as file:
            file.write(b"\0" * kept.st_size)
        os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert found(folder) == before


@pytest.mark.parametrize("damage", [b"", b"PAR1 half", None])
def test_a_damaged_or_foreign_cache_is_made_again(folder, damage):
    before = found(folder)
    (cache,) = folder.cache.iterdir()
    if damage is None:
        pq.write_table(pa.table({"x": [1]}), cache)
    else:
        cache.write_bytes(damage)
    assert found(folder) == before
    shutil.rmtree(folder.cache)
    assert found(folder) == before


def test_labels_that_other_code_left_in_the_cache_are_not_served(folder):
    before = found(folder)
    (cache,) = folder.cache.iterdir()
    labels = pq.read_table(cache)
    column = labels.column_names.index("subphase")
    stale = labels.set_column(column, "subphase", pa.array(["forgetting"] * len(labels), pa.string()))
    cache.unlink()
    by_version_alone = hashlib.sha256(
        f"{RULE.model_dump_json()} {__version__} {cache_schema(STUDY)}".encode()
    ).hexdigest()
    pq.write_table(stale, folder.cache / f"labels-{by_version_alone[:16]}.parquet")
    assert found(folder) == before


def test_the_digest_of_code_follows_its_source(tmp_path):
    (tmp_path / "rules.py").write_text("WINDOW = 5")
    (tmp_path / "notes.txt").write_text("no code")
    before = code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("still no code")
    assert code_digest(tmp_path) == before
    (tmp_path / "rules.py").write_text("WINDOW = 6")
    assert code_digest(tmp_path) != before


def test_a_storage_that_cannot_be_written_is_read_all_the_same(folder):
    folder.cache.write_text("in the way of the cache's folder")
    assert found(folder) == from_all_rows(folder)


def test_streamed_curves_are_those_of_the_merged_rows(folder):
    tables = derive(folder, STUDY)
    whole = curve_table(
        select_rows(merge_rows(read_shards(folder)), grid_ids(STUDY)).select(curve_columns(SHARD_SCHEMA))
    )
    order = [("trial_id", "ascending"), ("step", "ascending")]
    write_tables(folder, tables, curves=True)
    assert pq.read_table(folder.curves).sort_by(order).equals(whole.sort_by(order))
    narrow = read_curves(folder, tables.trials["trial_id"].tolist()[:2])
    assert len(narrow.group_by("trial_id").aggregate([])) == 2
    assert recorded_steps(folder, grid_ids(STUDY)) == sorted(set(whole["step"].to_pylist()))


def test_the_step_axis_shows_what_the_labels_were_at_each_step(folder):
    study, points = with_steps(STUDY, folder)
    steps = study.axis("step").values
    assert len(points) == len(steps) * 4
    whole = read_shards(folder, schema=shard_schema(STUDY))
    last = np.asarray([max(recorded, default=0) for recorded in whole["step"].to_pylist()])
    for step in steps:
        at = trial_frame(merge_rows(trial_rows(whole.filter(last >= step), STUDY.phases, step)))
        rows = points[points["step"] == step].set_index(["corruption", "steps"])
        for place, trials in at.groupby(["corruption", "steps"]):
            assert rows.at[place, "n_seeds"] == trials["phase"].notna().sum()
            assert rows.at[place, "test_loss"] == pytest.approx(
                trials.loc[trials["status"] == "ok", "test_loss"].mean()
            )
    assert points.loc[(points["steps"] == 20) & (points["step"] > 20), "phase"].isna().all()
