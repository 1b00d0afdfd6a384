"""A pack that a GPU has no room for is halved, the size is remembered for the run, and nothing else changes."""

import pyarrow.parquet as pq
import pytest
import torch
from conftest import study_of

from phasemap.planning.packs import make_pack
from phasemap.results.folder import RunFolder
from phasemap.running.pack_parts import Sizes, train_in_parts
from phasemap.running.worker import Workload, train_and_store
from phasemap.study.errors import UserError
from phasemap.study.trials import expand
from phasemap.training import population


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "small")
    made.create()
    return made


class SmallCard:
    """Trains at most so many networks at once."""

    def __init__(self, room):
        self.room, self.asked = room, []

    def __call__(self, pack, on_progress):
        self.asked.append(len(pack.trials))
        if len(pack.trials) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")
        on_progress(1.0)
        return list(pack.trials)


def trained(parts):
    return [trial for part in parts for trial in part.results]


def test_a_pack_is_halved_until_it_fits_and_the_next_is_cut_at_once(folder):
    trials = list(expand(study_of(seeds=4)))[:14]
    card, told = SmallCard(room=3), []
    assert trained(train_in_parts(make_pack(trials), Sizes(folder=folder, card="small"), card, told.append)) == trials
    assert card.asked[:4] == [14, 7, 4, 2]
    assert told == sorted(told)
    assert told[-1] == 1.0
    card.asked.clear()
    other = trials[::-1]
    assert trained(train_in_parts(make_pack(other), Sizes(folder=folder, card="small"), card, told.append)) == other
    assert max(card.asked) <= 3
    card.asked.clear()
    train_in_parts(make_pack(trials[:5]), Sizes(folder=folder, card="another"), SmallCard(room=5), told.append)
    assert Sizes(folder=folder, card="another").most(make_pack(trials)) == 14


def test_a_network_that_does_not_fit_alone_is_named(folder):
    (trial, *_) = expand(study_of())
    with pytest.raises(UserError, match=f"{trial.trial_id}.*alone does not fit into the GPU's memory: CUDA out of me"):
        train_in_parts(make_pack([trial]), Sizes(folder=folder, card="small"), SmallCard(room=0), lambda _: None)


def test_a_worker_stores_a_pack_whole_that_it_trained_in_parts(folder, monkeypatch):
    real, sizes = population.train_pack, []

    def train_pack(trials, **options):
        sizes.append(len(trials))
        if len(trials) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(trials, **options)

    monkeypatch.setattr(population, "train_pack", train_pack)
    study = study_of()
    pack = make_pack(list(expand(study))[:4])
    report = train_and_store(pack, Workload(folder=folder, study=study, device="cpu"), lambda _: None)
    assert sizes == [4, 2, 2]
    assert (report.pack_id, report.n_ok) == (pack.pack_id, 4)
    (shard,) = folder.shards.glob("*.parquet")
    assert pq.read_table(shard)["trial_id"].to_pylist() == [trial.trial_id for trial in pack.trials]
