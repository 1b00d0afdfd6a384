"""A cluster that grows by itself is asked for what waits (Ray's autoscaler decides); packs share a GPU in fractions."""

import time

import pytest
import torch
from clusters import Cluster
from conftest import SMALL
from processes import wait_for

import phasemap as pm


@pytest.fixture(scope="module")
def cluster():
    made = Cluster(workers=0, head_cpus=0, grows=2)
    yield made
    made.stop()


@pytest.mark.slow(group="clusters")
def test_a_cluster_of_no_nodes_grows_for_a_study_that_says_how_much_and_shrinks_again(cluster):
    path = cluster.home / "small.yaml"
    path.write_text(SMALL + "resources: {pack_size: 1}\n")
    words = ("run", path, "--storage", cluster.storage, "--address", cluster.gcs_address)
    refused = cluster.run(*words, inside=True)
    assert refused.returncode == 2
    assert "resources.max_concurrent: how many packs to ask for" in refused.stderr
    job = cluster.start(*words, "--set", "resources.max_concurrent=2", inside=True)
    wait_for(lambda: len(cluster.raylets()) > 1 or job.poll() is not None, what="a node")
    assert len(cluster.raylets()) > 1
    _, err = job.communicate(timeout=240)
    assert job.returncode == 0, err
    assert len(pm.open_run("small", cluster.storage).trials) == 8
    wait_for(lambda: len(cluster.raylets()) == 1, what="the end of the idle nodes")


@pytest.mark.slow(group="clusters")
def test_packs_share_a_gpu_in_fractions_and_go_nowhere_else(cluster):
    """Ray only counts GPUs: this one is a number, and its packs train on the node's CPUs."""
    with_gpu, without = cluster.add(3, gpus=1), cluster.add(1)
    path = cluster.home / "shared.yaml"
    path.write_text(SMALL.replace("small", "shared").replace("60", "6000") + "resources: {pack_size: 1}\n")
    words = (
        "run",
        path,
        "--storage",
        cluster.storage,
        "--address",
        cluster.gcs_address,
        "--set",
        "resources.device=cpu",
    )
    refused = cluster.run(*words, "--set", "resources.gpus_per_pack=2", inside=True)
    assert refused.returncode == 2
    assert "a pack needs 1 CPUs and 2 GPUs of one node, but Ray has" in refused.stderr
    if not torch.cuda.is_available():
        unusable = cluster.run(*words, "--set", "resources.device=auto", inside=True)
        assert unusable.returncode == 3
        assert "PyTorch finds no CUDA device here, but packs are given a GPU there" in unusable.stderr
    most = 0
    job = cluster.start(*words, "--set", "resources.gpus_per_pack=0.5", inside=True)
    while job.poll() is None:
        most = max(most, len(with_gpu.workers()))
        assert not without.workers()
        time.sleep(0.3)
    _, err = job.communicate()
    assert job.returncode == 0, err
    assert most == 2
