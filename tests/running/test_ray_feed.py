"""A worker reads its own pack out of a plan, and the packs are handed out in their order."""

import pytest
from conftest import study_of
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import ActorDiedError

from phasemap.planning.packs import plan_packs
from phasemap.running.ray_feed import FreeSlots, PackedPlan, PackFeed, worker_failure
from phasemap.running.slots import PackSlots
from phasemap.study.errors import UnreachableError
from phasemap.study.trials import expand


def context(message, *, preempted=False):
    """What Ray knows of the death of an actor."""
    found = ActorDiedErrorContext(error_message=message, actor_id=bytes(16), owner_id=bytes(28))
    found.node_death_info.reason = NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED if preempted else 0
    return found


PACKS = plan_packs(expand(study_of(seeds=5)), pack_size=3)


def room_for(cpu, gpu=0, limit=None):
    shares = [PackSlots(device="cuda", cpus=1, gpus=0.5, slots=gpu)] if gpu else []
    shares.append(PackSlots(device="cpu", cpus=1, gpus=0, slots=cpu))
    return FreeSlots(lambda: shares, lambda found: limit or sum(share.slots for share in found), shares)


def test_each_pack_is_read_by_its_place_and_handed_out_in_order():
    plan, feed = PackedPlan(PACKS), PackFeed([pack.pack_id for pack in PACKS], room_for(len(PACKS)))
    for number, pack in enumerate(PACKS):
        config = feed.suggest(f"trial-{number}")
        assert config["pack_id"] == pack.pack_id
        assert plan.read(config["number"]) == pack
    assert feed.suggest("one more") == "FINISHED"
    assert feed.in_flight() == [pack.pack_id for pack in PACKS]


def test_packs_go_to_gpus_first_then_to_cpus_and_wait_when_all_are_busy():
    feed = PackFeed([pack.pack_id for pack in PACKS], room_for(cpu=1, gpu=2))
    given = [feed.suggest(f"trial-{number}") for number in range(4)]
    assert [(config["device"], config["gpus"]) for config in given[:3]] == [("cuda", 0.5), ("cuda", 0.5), ("cpu", 0)]
    assert given[3] is None
    feed.on_trial_complete("trial-1")
    assert feed.suggest("trial-3")["gpus"] == 0.5
    assert feed.suggest("trial-4") is None


def test_a_limit_above_the_room_lets_packs_wait_so_that_the_cluster_grows():
    feed = PackFeed([pack.pack_id for pack in PACKS], room_for(cpu=1, limit=3))
    given = [feed.suggest(f"trial-{number}") for number in range(4)]
    assert [config["pack_id"] for config in given[:3]] == [pack.pack_id for pack in PACKS[:3]]
    assert given[3] is None


@pytest.mark.parametrize(
    ("error", "cause", "text"),
    [
        (UnreachableError("/data can't be written or read: No space left"), "storage", "/data can't be written"),
        (
            ActorDiedError(context("The actor died because its node has died.")),
            "node",
            "the worker was lost: The actor",
        ),
        (ActorDiedError(context("its worker has ended", preempted=True)), "node", "ActorDiedError: "),
        (ActorDiedError(context("dead because its worker has died")), "training", "the worker was lost: dead because"),
        (MemoryError("8 GB"), "training", "MemoryError: 8 GB"),
    ],
)
def test_what_ended_a_pack_says_whose_fault_it_was(error, cause, text):
    told = worker_failure("a", error)
    assert told.cause == cause
    assert told.error.startswith(text)
