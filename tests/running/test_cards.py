"""A run on GPUs by a stand-in for the card, whose packs train on the CPU: what is planned, asked for and refused."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import run_in_process, study_of

from phasemap.planning.kernels import check_card_kernels
from phasemap.results.folder import RunFolder
from phasemap.results.shards import read_shards
from phasemap.running import driver
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import LocalRunner
from phasemap.study.errors import UserError
from phasemap.training.cards import Card

CARD = Card(name="a stand-in", memory=80_000_000_000)
AXES = {"data_fraction": [0.4, 0.6], "weight_decay": [0, 2]}


class OnStandIn(LocalRunner):
    """Has a card, as far as anybody asks."""

    has = CARD

    def __init__(self):
        self.asked = []

    def card(self):
        return self.has

    def choose_device(self, choice):
        self.asked.append(choice)
        return choice.resolve(has_gpu=self.has is not None)

    def run(self, packs, workload, tell, more=None):
        super().run(packs, dataclasses.replace(workload, device="cpu"), tell, more)


@pytest.fixture
def study():
    return study_of(axes=AXES, fixed={"corruption": 0.1}, training={"steps": 5}, seeds=3)


def sizes(folder):
    """Return the numbers of trials of a run's packs."""
    return sorted(read_shards(folder, ["pack_id"])["pack_id"].value_counts().field("counts").to_pylist())


@pytest.mark.parametrize("here", [CARD, None], ids=["on this machine", "on a node of a cluster"])
def test_packs_are_those_of_the_card_wherever_it_is(study, tmp_path, monkeypatch, here):
    monkeypatch.setattr(driver, "card_here", lambda: here)
    folder, runner, plans = RunFolder(tmp_path / "small"), OnStandIn(), []
    outcome = run_study(study, folder, lambda: runner, RunOptions(quiet=True, on_plan=plans.append))
    assert outcome.n_trained == 12
    assert sizes(folder) == [6, 6]
    assert runner.asked[-1].gpus == 1 / 8  # small packs share the card
    assert (plans[0].card_share is None) == (here is None)


def test_a_card_that_turns_out_not_to_be_there_gives_the_packs_of_cpus(study, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "card_here", lambda: CARD)
    monkeypatch.setattr(OnStandIn, "has", None)
    folder = RunFolder(tmp_path / "small")
    run_study(study, folder, OnStandIn, RunOptions(quiet=True))
    assert sizes(folder) == [12]


@pytest.mark.parametrize(
    ("changed", "has", "message"),
    [
        ({"resources": {"device": "cuda"}}, None, "device is cuda, but no CUDA device is available; allowed: auto or"),
        ({"training": {"precision": "bf16"}}, None, "precision = bf16, which a CPU lacks; allowed there: full"),
        (
            {"training": {"precision": "bf16"}},
            dataclasses.replace(CARD, capability=(7, 5)),
            "bf16, which a stand-in .* of compute capability 7.5, lacks; allowed there: full",
        ),
        (
            {"model": {"width": 16}},
            dataclasses.replace(CARD, memory=700_000_000),
            "alone takes .* but a stand-in .* room",
        ),
        ({"resources": {"gpus_per_pack": 2}}, CARD, "gpus_per_pack = 2, but there are 1 GPUs"),
        ({"resources": {"max_gpu_hours": 1e-9}}, CARD, "max_gpu_hours = 1e-09, but the plan is estimated at"),
    ],
)
@pytest.mark.parametrize("here", [True, False], ids=["on this machine", "on a node of a cluster"])
def test_what_can_not_be_had_is_refused_before_anything_is_changed(tmp_path, monkeypatch, changed, has, message, here):
    monkeypatch.setattr(driver, "card_here", lambda: has if here else None)
    monkeypatch.setattr(OnStandIn, "has", has)
    with pytest.raises(UserError, match=message):
        run_study(study_of(**changed), RunFolder(tmp_path / "small"), OnStandIn, RunOptions(quiet=True))
    assert not (tmp_path / "small").exists()


def test_a_run_that_another_kernel_of_gpus_began_is_refused(study, tmp_path):
    folder = run_in_process(study, tmp_path)
    check_card_kernels(folder)  # its networks were trained on a CPU
    for kernel, refused in (("batched", False), ("functional", True)):
        for path in folder.shards.iterdir():
            table = pq.read_table(path)
            for name, value in {"device": "cuda:0", "kernel": kernel}.items():
                column = pa.array([value] * len(table), pa.string())
                table = table.set_column(table.schema.get_field_index(name), name, column)
            pq.write_table(table, path)
        if not refused:
            check_card_kernels(folder)
            continue
        with pytest.raises(
            UserError, match="by the kernel functional, but this release trains such networks by batched"
        ):
            run_study(study.model_copy(update={"seeds": (7,)}), folder, OnStandIn, RunOptions(quiet=True))
