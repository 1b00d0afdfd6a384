"""What packs get of a cluster, by counting on each node."""

import pytest

from phasemap.running.slots import share_out
from phasemap.study.errors import UserError
from phasemap.study.spec import ResourceSpec

HEAD, SMALL, LARGE = {"CPU": 2.0}, {"CPU": 3.0}, {"CPU": 8.0, "GPU": 2.0}


def shares(nodes, *, growing=False, **resources):
    found = share_out(nodes, ResourceSpec(**resources), growing=growing)
    return [(share.device, share.cpus, share.gpus, share.slots) for share in found]


@pytest.mark.parametrize(
    ("nodes", "resources", "expected"),
    [
        ([HEAD, SMALL], {}, [("cpu", 1, 0, 5)]),
        ([HEAD, SMALL], {"cpus_per_pack": 2}, [("cpu", 2, 0, 2)]),  # 5 CPUs, but no node gives a third pack two
        ([HEAD, SMALL], {"cpus_per_pack": 0.5}, [("cpu", 0.5, 0, 10)]),
        ([HEAD, LARGE], {}, [("cuda", 1, 1, 2)]),  # one kind of device a run, unless any is asked for
        ([HEAD, LARGE], {"device": "any"}, [("cuda", 1, 1, 2), ("cpu", 1, 0, 8)]),
        ([HEAD, LARGE], {"device": "any", "cpus_per_pack": 4}, [("cuda", 4, 1, 2), ("cpu", 4, 0, 0)]),
        ([HEAD, SMALL], {"device": "any"}, [("cpu", 1, 0, 5)]),
        ([HEAD, LARGE], {"device": "any", "gpus_per_pack": 0.5}, [("cuda", 1, 0.5, 4)]),
        ([HEAD, LARGE], {"device": "any", "gpus_per_pack": 0}, [("cpu", 1, 0, 10)]),
        ([HEAD, LARGE], {"device": "cpu"}, [("cpu", 1, 0, 10)]),
        ([HEAD, LARGE], {"device": "cuda"}, [("cuda", 1, 1, 2)]),
        ([HEAD, LARGE], {"gpus_per_pack": 0.25}, [("cuda", 1, 0.25, 8)]),
        ([HEAD, LARGE], {"gpus_per_pack": 0.1, "cpus_per_pack": 0.1}, [("cuda", 0.1, 0.1, 20)]),
        ([HEAD, LARGE], {"gpus_per_pack": 2, "device": "cuda"}, [("cuda", 1, 2, 1)]),
        ([HEAD, LARGE], {"gpus_per_pack": 0}, [("cpu", 1, 0, 10)]),
    ],
)
def test_packs_fit_node_by_node(nodes, resources, expected):
    assert shares(nodes, **resources) == expected


def test_more_gpus_a_pack_than_a_node_has_are_refused():
    with pytest.raises(UserError, match="needs 1 CPUs and 4 GPUs of one node, but Ray has 2 and 0, 8 and 2"):
        shares([HEAD, LARGE], gpus_per_pack=4)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"cpus_per_pack": 4}, "needs 4 CPUs and 0 GPUs of one node, but Ray has 2 and 0, 3 and 0"),
        ({"gpus_per_pack": 0.5}, "needs 1 CPUs and 0.5 GPUs of one node"),
        ({"device": "auto", "gpus_per_pack": 4}, "needs 1 CPUs and 4 GPUs of one node, but Ray has 2 and 0, 3 and 0"),
        ({"device": "cuda"}, "device is cuda, but Ray has no GPU"),
    ],
)
def test_what_fits_on_no_node_is_refused_unless_the_cluster_grows(resources, message):
    with pytest.raises(UserError, match=message):
        shares([HEAD, SMALL], **resources)
    assert [slots for *_, slots in shares([HEAD, SMALL], growing=True, **resources)] == [0]
