"""A submitted study survives the loss of every part of a cluster of three nodes; `make chaos` goes on for longer."""

from random import Random

import pytest
from chaos import Chaos, rows
from clusters import Cluster
from conftest import LONGER, run_in_process, study_of

from phasemap.diagram.tables import derive


@pytest.fixture
def cluster():
    made = Cluster(workers=2)
    yield made
    made.stop()


@pytest.mark.slow(group="chaos")
def test_nothing_is_lost_or_trained_twice_when_workers_a_node_the_driver_and_the_head_are_killed(cluster, tmp_path):
    text = LONGER.format(name="chaos", steps=3000, seeds=6, pack_size=2)
    chaos = Chaos(cluster, text, Random(7))
    figures = chaos.run(workers=2, nodes=1, drivers=1, heads=1)
    assert figures["kills"] == {"worker": 2, "node": 1, "driver": 1, "head": 1}
    assert (figures["lost_trials"], figures["retrained_trials"], figures["partial_files"]) == (0, 0, 0)
    assert figures["executions"] == ["lost", "lost", "done"]
    undisturbed = run_in_process(study_of(text), tmp_path)
    assert rows(derive(chaos.folder).trials) == rows(derive(undisturbed).trials)
