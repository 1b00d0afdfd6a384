"""A worker reads its own pack out of a plan, and the packs are handed out in their order."""

from conftest import study_of

from phasemap.running.ray_feed import PackedPlan, PackFeed
from phasemap.study.packs import plan_packs
from phasemap.study.trials import expand

PACKS = plan_packs(expand(study_of(seeds=5)), pack_size=3)


def test_each_pack_is_read_by_its_place_and_handed_out_in_order():
    plan, feed = PackedPlan(PACKS), PackFeed([pack.pack_id for pack in PACKS])
    for number, pack in enumerate(PACKS):
        config = feed.suggest(f"trial-{number}")
        assert config["pack_id"] == pack.pack_id
        assert plan.read(config["number"]) == pack
    assert feed.suggest("one more") == "FINISHED"
    assert feed.in_flight() == [pack.pack_id for pack in PACKS]
