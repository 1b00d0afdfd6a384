"""One kind of device a run: that of its first networks, unless its study asks for any."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import run_in_process, study_of

from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.results.provenance import read_provenance
from phasemap.results.shards import trained_devices
from phasemap.running.devices import DeviceChoice
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import Failed, LocalRunner
from phasemap.study.errors import NoDeviceError, UnreachableError, UserError

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def resolved(wanted, *trained_on, **place):
    return DeviceChoice(wanted=wanted, trained_on=frozenset(trained_on)).resolve(**place)


@pytest.mark.parametrize(
    ("wanted", "trained_on", "has_gpu", "expected"),
    [
        ("auto", (), True, "cuda"),
        ("auto", (), False, "cpu"),
        ("auto", ("cpu",), True, "cpu"),
        ("auto", ("cuda",), True, "cuda"),
        ("auto", ("cpu", "cuda"), True, "cuda"),  # a run of before is mixed already
        ("auto", ("cpu", "cuda"), False, "cpu"),
        ("cpu", (), True, "cpu"),
        ("cpu", ("cpu",), True, "cpu"),
        ("cpu", ("cpu", "cuda"), True, "cpu"),
        ("cuda", ("cuda",), True, "cuda"),
        ("any", ("cuda",), False, "any"),
        ("any", ("cpu",), True, "any"),
    ],
)
def test_a_run_keeps_the_kind_of_device_that_it_began_with(wanted, trained_on, has_gpu, expected):
    assert resolved(wanted, *trained_on, has_gpu=has_gpu) == expected


@pytest.mark.parametrize(
    ("wanted", "trained_on", "has_gpu", "message"),
    [
        ("auto", ("cuda",), False, "trained on cuda.*there is no GPU; allowed: a machine or cluster with one"),
        ("cpu", ("cuda",), True, "resources.device is cpu, but the run's networks were trained on cuda.*allowed: auto"),
        ("cuda", ("cpu",), True, "resources.device is cuda, but the run's networks were trained on cpu.*--fresh"),
        ("cuda", (), False, "resources.device is cuda, but no CUDA device is available; allowed: auto or cpu"),
    ],
)
def test_what_would_mix_two_kinds_or_cannot_be_had_is_refused(wanted, trained_on, has_gpu, message):
    with pytest.raises(UserError, match=message):
        resolved(wanted, *trained_on, has_gpu=has_gpu)


def test_a_cluster_that_grows_may_still_get_the_gpu_that_a_run_needs():
    assert resolved("auto", "cuda", has_gpu=False, growing=True) == "cuda"
    assert resolved("cuda", has_gpu=False, growing=True) == "cuda"
    assert resolved("auto", has_gpu=False, growing=True) == "cpu"


def on_another_device(folder, device, *, status=None):
    """Let the shards of a run say that another device trained it."""
    for path in folder.shards.iterdir():
        table = pq.read_table(path)
        for name, value in {"device": device, "status": status}.items():
            if value:
                column = pa.array([value] * len(table), pa.string())
                table = table.set_column(table.schema.get_field_index(name), name, column)
        pq.write_table(table, path)


@no_gpu
def test_a_run_of_gpus_is_not_continued_without_one_unless_any_is_asked_for(tmp_path):
    folder = run_in_process(study_of(seeds=1), tmp_path)
    assert trained_devices(folder) == {"cpu"}
    on_another_device(folder, "cuda:0")
    assert trained_devices(folder) == {"cuda"}
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    for device in ("auto", "cpu"):
        with pytest.raises(UserError, match="trained on cuda"):
            run_study(study_of(resources={"device": device}), folder, LocalRunner, RunOptions(quiet=True))
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    assert run_study(study_of(resources={"device": "any"}), folder, LocalRunner, RunOptions(quiet=True)).n_trained == 4
    assert sorted(derive(folder).trials["device"].unique()) == ["cpu", "cuda:0"]
    assert read_provenance(folder)[-1].content["devices"] == ["cpu", "cuda:0"]


@no_gpu
def test_a_run_set_aside_or_failed_decides_nothing(tmp_path):
    folder = run_in_process(study_of(seeds=1), tmp_path)
    on_another_device(folder, "cuda")
    assert run_study(study_of(seeds=1), folder, LocalRunner, RunOptions(fresh=True, quiet=True)).n_trained == 4
    on_another_device(folder, "cuda", status="failed")
    assert trained_devices(folder) == frozenset()
    assert run_study(study_of(seeds=1), folder, LocalRunner, RunOptions(quiet=True)).n_trained == 4


@no_gpu
def test_a_node_whose_gpu_pytorch_cannot_use_ends_the_run_and_blames_no_trial(tmp_path):
    class Mistaken(LocalRunner):
        def choose_device(self, choice):
            return "cuda"  # as a cluster that counts GPUs would

    study = study_of(seeds=1)
    folder = RunFolder(tmp_path / study.name)
    with pytest.raises(UnreachableError, match="PyTorch finds no CUDA device"):
        run_study(study, folder, Mistaken, RunOptions(quiet=True))
    assert not derive(folder).trials["status"].eq("failed").any()


@no_gpu
def test_ray_tells_of_such_a_node_as_of_no_pack(tmp_path):
    from phasemap.running.ray_feed import worker_failure

    assert worker_failure("pack", NoDeviceError("node-7: none")) == Failed(
        pack_id="pack", error="node-7: none", cause="device"
    )
