"""What tests on ``meta`` promise of a GPU, asked of a real one; without one these tests are skipped."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import CPU, run_in_process, study_of, trial_of
from test_on_meta import BATCHED, FEW, KINDS, NUMBERS, RECORD, SMALL

from phasemap.planning.packs import make_pack
from phasemap.results.folder import RunFolder
from phasemap.results.shards import trained_devices
from phasemap.running.pack_parts import Sizes, train_in_parts
from phasemap.runs import open_run
from phasemap.tasks.examples import examples_of
from phasemap.training.cards import card_here
from phasemap.training.costs import card_bytes
from phasemap.training.kernel import make_kernel
from phasemap.training.population import train_pack
from phasemap.training.recording import Hooks
from phasemap.training.timing import measured_on_card

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

CARD = torch.device("cuda")
DRAWS = [kind for kind in KINDS if "dropout" in kind or "minibatches" in kind]  # a CPU draws others
LARGE = {"modulus": 97, "width": 500, "data_fraction": 0.5, "corruption": 0.1, "steps": 40}


def some(number, **settings):
    return [trial_of(trial_id=str(seed), seed=seed, **SMALL | settings) for seed in range(number)]


@pytest.fixture
def strict():
    """Let CUDA refuse all for which the host would wait."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)  # it may miss some
        yield lambda: torch.cuda.set_sync_debug_mode("error")
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", NUMBERS)
def test_steps_wait_for_nothing(kind, number, strict):
    """Where the host waits or copies, CUDA raises."""
    trials = some(number, **KINDS[kind], steps=40)
    kernel = make_kernel(trials, [examples_of(trial) for trial in trials], CARD)
    kernel.advance(range(number), 0, 1)
    strict()
    kernel.advance(range(number), 1, 20)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in DRAWS])
def test_networks_train_as_on_a_cpu(kind):
    trials = some(3, **KINDS[kind], steps=30, learning_rate=0.003)
    for here, there in zip(train_pack(trials, device=CARD), train_pack(trials, device=CPU), strict=True):
        for quantity in ("train_loss", "test_loss"):
            assert here.curves[quantity] == pytest.approx(there.curves[quantity], rel=0.01)


@pytest.mark.parametrize("kind", DRAWS)
def test_what_is_drawn_on_a_card_trains_too(kind):
    (result,) = train_pack(some(1, **KINDS[kind], steps=200, learning_rate=0.01), device=CARD)
    assert result.status == "ok"
    assert result.curves["train_loss"][-1] < 0.8 * result.curves["train_loss"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_with_records_goes_on_to_the_bit(kind):
    record = (
        ("norms", "ipr", "weights") if kind == "Transformer" else ("norms", "weights") if "deep" in kind else RECORD
    )
    trials, saved = some(2, **KINDS[kind] | FEW | {"steps": 12}), []
    first = train_pack(trials, device=CARD, record=record, hooks=Hooks(save=saved.append, save_seconds=0.0))
    again = train_pack(trials, device=CARD, record=record, hooks=Hooks(saved=saved[len(saved) // 2]))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.curves["train_loss"], b.curves["train_loss"])
        assert all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


@pytest.mark.parametrize("kind", BATCHED)
def test_memory_is_about_what_the_shapes_say(kind):
    trials = [trial_of(trial_id=str(seed), seed=seed, **LARGE | KINDS[kind]) for seed in range(16)]
    _, taken = measured_on_card(trials)
    print(f"{kind}: {taken / sum(map(card_bytes, trials)):.2f} of what was computed")
    assert 0.8 < taken / sum(map(card_bytes, trials)) < 1.1


def test_a_pack_without_room_is_trained_in_parts(tmp_path):
    trials = [trial_of(trial_id=str(seed), seed=seed, **LARGE | {"steps": 3}) for seed in range(32)]
    room = 12 * sum(map(card_bytes, trials)) / 32
    told, tried = [], []
    torch.cuda.empty_cache()

    def train(pack, on_progress):
        tried.append(len(pack.trials))
        return train_pack(pack.trials, device=CARD)

    torch.cuda.set_per_process_memory_fraction(room / card_here().memory)
    try:
        folder = RunFolder(tmp_path / "run")
        folder.create()
        parts = train_in_parts(make_pack(trials), Sizes(folder=folder, card="small"), train, told.append)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    print(f"tried {tried}")
    assert tried[0] == 32
    assert [trial for part in parts for trial in part.pack.trials] == trials
    assert max(json.loads(folder.card_sizes.read_text()).values()) < 32


def test_a_run_is_trained_on_the_card_and_labelled_as_on_a_cpu(tmp_path):
    settings = {
        "task": {"kind": "modular_addition", "modulus": 23},
        "model": {"width": 64},
        "training": {"steps": 400},
        "axes": {"corruption": [0.0, 0.2, 0.4], "weight_decay": [0, 2, 8]},
    }
    tables = {}
    for device in ("auto", "cpu"):
        study = study_of(**settings, name=device, resources={"device": device})
        folder = run_in_process(study, tmp_path)
        tables[device] = open_run(folder.path).trials.set_index("trial_id").sort_index()
        assert trained_devices(folder) == {"cpu" if device == "cpu" else "cuda"}
    pd.testing.assert_index_equal(tables["auto"].index, tables["cpu"].index)
    assert (tables["auto"]["phase"] == tables["cpu"]["phase"]).mean() >= 0.9
