"""A worker reads its own pack out of a plan, and the packs are handed out in their order."""

from conftest import study_of

from phasemap.running.ray_feed import PackedPlan, PackFeed, Room
from phasemap.running.slots import Share
from phasemap.study.packs import plan_packs
from phasemap.study.trials import expand

PACKS = plan_packs(expand(study_of(seeds=5)), pack_size=3)


def room_for(cpu, gpu=0, limit=None):
    shares = [Share(device="auto", cpus=1, gpus=0.5, slots=gpu)] if gpu else []
    shares.append(Share(device="cpu", cpus=1, gpus=0, slots=cpu))
    return Room(lambda: shares, lambda found: limit or sum(share.slots for share in found), shares)


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
    assert [(config["device"], config["gpus"]) for config in given[:3]] == [("auto", 0.5), ("auto", 0.5), ("cpu", 0)]
    assert given[3] is None
    feed.on_trial_complete("trial-1")
    assert feed.suggest("trial-3")["gpus"] == 0.5
    assert feed.suggest("trial-4") is None


def test_a_limit_above_the_room_lets_packs_wait_so_that_the_cluster_grows():
    feed = PackFeed([pack.pack_id for pack in PACKS], room_for(cpu=1, limit=3))
    given = [feed.suggest(f"trial-{number}") for number in range(4)]
    assert [config["pack_id"] for config in given[:3]] == [pack.pack_id for pack in PACKS[:3]]
    assert given[3] is None
