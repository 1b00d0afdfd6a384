"""Plans for GPUs, by a stand-in for a card's facts: packs by its memory, what they take, and what can't be."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import CPU, changed, study_of, trial_of

from phasemap.cli import cli
from phasemap.planning import card_costs
from phasemap.planning.calibration import Calibration
from phasemap.planning.card_costs import kept_costs, measured_card_share
from phasemap.planning.estimate import estimate
from phasemap.planning.on_cards import CardCosts, CardShare, card_key, gpus_each
from phasemap.planning.packs import make_pack, plan_packs
from phasemap.planning.plan import check_budget, make_plan
from phasemap.running import devices
from phasemap.running.devices import named_devices, planned_card_share
from phasemap.study.errors import UserError
from phasemap.study.file import load_study
from phasemap.study.spec import ResourceSpec
from phasemap.training.cards import Card
from phasemap.training.costs import card_bytes, card_seconds
from phasemap.training.timing import measured_on_card

PAPER = Path(__file__).parents[2] / "studies" / "paper"
BIG = Card(name="a card of 80 GB", memory=80_000_000_000)
ROOM = CardShare(card=BIG)
P97 = {"modulus": 97, "width": 500, "data_fraction": 0.5}


@pytest.fixture(scope="module")
def figure_3a():
    study = load_study(PAPER / "fig03a_weight_decay.yaml")
    return study, make_plan(study, None, card_share=planned_card_share(study, frozenset(), BIG))


def test_figure_3a_on_one_card_of_80_gb(figure_3a):
    """17 data fractions of 19 corruptions and 4 weight decays each: one pack a fraction, told time and memory."""
    study, plan = figure_3a
    assert sorted(len(pack.trials) for pack in plan.packs) == [76] * 17
    assert all(len({trial.data_fraction for trial in pack.trials}) == 1 for pack in plan.packs)
    cost = estimate(plan, study.resources, 8, Calibration())
    assert 0.1 < cost["gpu_hours"] * 3600 / cost["wall_seconds"] <= 1.0
    assert 60 < cost["wall_seconds"] < 3600
    assert max(ROOM.pack_bytes(pack.trials) for pack in plan.packs) <= cost["gpu_memory_bytes"] <= BIG.memory
    assert cost["slots"] == 1


@pytest.mark.parametrize(("dropout", "megabytes"), [(0.0, 23), (0.3, 33)])
def test_a_network_of_the_papers_takes_the_memory_of_its_shapes(dropout, megabytes):
    assert card_bytes(trial_of(**P97, dropout=dropout)) / 1e6 == pytest.approx(megabytes, rel=0.15)


def test_provenance_names_the_card():
    assert named_devices({"cuda:0", "cpu"}, ROOM) == ["cpu", "cuda:0 (a card of 80 GB)"]
    assert named_devices({"cuda:0", "cpu"}, None) == ["cpu", "cuda:0"]


@pytest.mark.parametrize(
    "more", [{"dropout": 0.3}, {"data_fraction": 0.9}, {"width": 600}, {"precision": "bf16"}, {"norm": "batch"}]
)
def test_what_takes_more_memory_is_estimated_higher(more):
    plain = trial_of(**P97)
    assert card_bytes(plain) < card_bytes(changed(plain, **more))


def test_many_networks_take_hardly_longer_than_one_until_they_fill_the_card():
    small = [trial_of(modulus=7, width=16)]
    assert card_seconds(small * 16) < 1.5 * card_seconds(small)
    large = [trial_of(**P97)]
    assert card_seconds(large * 64) > 10 * card_seconds(large)


def test_a_pack_is_as_large_as_the_memory_allows_and_no_larger_than_asked():
    trials = [trial_of(trial_id=str(i), **P97) for i in range(200)]
    card = dataclasses.replace(BIG, memory=4_000_000_000)
    packs = plan_packs(trials, card_share=CardShare(card=card))
    assert len(packs) > 1
    assert all(CardShare(card=card).pack_bytes(pack.trials) < card.memory for pack in packs)
    assert {len(pack.trials) for pack in plan_packs(trials, card_share=ROOM, pack_size=50)} == {50}
    halves = plan_packs(trials, card_share=CardShare(card=card, share=0.5))
    assert len(halves) > 2 * len(packs) - 1
    costs = CardCosts(memory={card_key(trials[0]): 2.0})
    assert len(plan_packs(trials, card_share=CardShare(card=card, costs=costs))) > 1.8 * len(packs)


def test_a_network_that_does_not_fit_alone_is_refused():
    small = dataclasses.replace(BIG, name="a small card", memory=900_000_000)
    with pytest.raises(UserError, match=r"alone takes .* GB of a GPU's memory, but a small card \(0.9 GB\) has room"):
        plan_packs([trial_of(**P97 | {"width": 8000})], card_share=CardShare(card=small))
    with pytest.raises(UserError, match=r"of which resources\.gpus_per_pack gives 0\.01"):
        plan_packs([trial_of(**P97)], card_share=CardShare(card=BIG, share=0.01))


def test_packs_whose_steps_are_too_short_to_fill_a_card_share_it(figure_3a):
    study, plan = figure_3a
    assert plan.gpus_per_pack(study.resources) == 1.0
    packs = [make_pack([trial_of(modulus=7, width=16)] * 8)]
    assert gpus_each(packs, ResourceSpec(), ROOM) == 1 / 8
    assert gpus_each(packs, ResourceSpec(gpus_per_pack=0.5), ROOM) == 0.5
    tight = CardShare(card=dataclasses.replace(BIG, memory=2_000_000_000))
    assert gpus_each(packs, ResourceSpec(), tight) == 1 / 2


def test_more_gpu_hours_than_allowed_are_refused(figure_3a):
    study, plan = figure_3a
    resources = study.resources.model_copy(update={"max_gpu_hours": 1e-3})
    with pytest.raises(UserError, match=r"resources.max_gpu_hours = 0.001, but the plan is estimated at .* GPU-hours"):
        check_budget(study.model_copy(update={"resources": resources}), plan)
    resources = study.resources.model_copy(update={"max_gpu_hours": 1e3, "max_core_hours": 1e3})
    check_budget(study.model_copy(update={"resources": resources}), plan)
    resources = study.resources.model_copy(update={"max_core_hours": 1e-3})
    with pytest.raises(UserError, match=r"max_core_hours = 0.001, .* core-hours"):
        check_budget(study.model_copy(update={"resources": resources}), plan)


@pytest.mark.parametrize(
    ("resources", "training", "message"),
    [
        ({"gpus_per_pack": 2}, {}, "gpus_per_pack = 2, but there are 1 GPUs .a card of 80 GB.; allowed: auto, or at"),
        ({"device": "cuda"}, {"precision": "bf16"}, "precision = bf16, which an older card .* lacks; allowed there"),
    ],
)
def test_what_a_card_can_not_give_is_refused_before_the_start(resources, training, message):
    card = dataclasses.replace(BIG, name="an older card", capability=(7, 0)) if training else BIG
    study = study_of(resources=resources, training={"steps": 5} | training)
    with pytest.raises(UserError, match=message):
        planned_card_share(study, frozenset(), card)


@pytest.mark.parametrize(
    ("resources", "trained_on"),
    [({"device": "cpu"}, ()), ({"device": "any"}, ()), ({"gpus_per_pack": 0}, ()), ({}, ("cpu",))],
)
def test_packs_of_cpus_are_cut_as_before(resources, trained_on):
    assert planned_card_share(study_of(resources=resources), frozenset(trained_on), BIG) is None


def test_a_run_of_one_kind_of_device_is_not_continued_on_the_other():
    with pytest.raises(UserError, match="device is cuda, but the run's networks were trained on cpu"):
        planned_card_share(study_of(resources={"device": "cuda"}), frozenset({"cpu"}), BIG)


def test_what_was_measured_on_a_card_is_kept_for_it_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(card_costs, "card_here", lambda: BIG)
    asked = []

    def measure(trials, record):
        asked.append(len(trials))
        return 3.0, 1.5

    monkeypatch.setattr(card_costs, "_measure", measure)
    packs = [make_pack([trial_of(trial_id=str(i), **P97) for i in range(n)]) for n in (3, 5)]
    card_share = measured_card_share(packs, ROOM)
    assert asked == [5]
    assert card_share.measured(packs)
    assert not ROOM.measured(packs)
    assert kept_costs(BIG) == card_share.costs
    assert kept_costs(dataclasses.replace(BIG, name="another card")) == CardCosts()
    assert measured_card_share(packs, CardShare(card=BIG, costs=kept_costs(BIG))).costs == card_share.costs
    assert asked == [5]
    trials = packs[0].trials
    assert card_share.costs.seconds_of(trials) == 3 * card_seconds(trials)
    assert card_share.pack_bytes(trials) > 1.4 * (ROOM.pack_bytes(trials) - 700_000_000)
    (path,) = (tmp_path / "phasemap" / "cards").iterdir()
    path.write_text("damaged")
    assert kept_costs(BIG) == CardCosts()


def test_a_card_that_is_not_here_is_not_measured(monkeypatch):
    monkeypatch.setattr(card_costs, "card_here", lambda: None)
    assert measured_card_share([make_pack([trial_of()])], ROOM) is ROOM


def test_measuring_takes_a_pack_through_steps_and_records():
    """On the CPU, which has no memory of its own to tell."""
    seconds, memory = measured_on_card([trial_of(seed=i, steps=50) for i in range(2)], ("ipr",), CPU)
    assert seconds > 0
    assert memory == 0


def plan(path, *options):
    return CliRunner().invoke(cli, ["plan", str(path), *options])


def test_a_plan_for_a_card_that_is_elsewhere_says_what_it_rests_on(tmp_path):
    study = PAPER / "fig03a_weight_decay.yaml"
    told = plan(study, "--storage", str(tmp_path), "--gpu-memory", "80")
    assert told.exit_code == 0, told.output
    assert "in 17 packs" in told.output
    assert "GPU-hours" in told.output
    assert "from assumed rates, not measured on such a GPU" in told.output
    content = json.loads(plan(study, "--storage", str(tmp_path), "--gpu-memory", "80", "--json").output)
    assert content["n_packs"] == 17
    assert content["measured"] is False
    assert content["gpu_memory_bytes"] < 80e9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("resources.device=cuda", "resources.device is cuda, but no CUDA device is available; allowed: auto or cpu"),
        ("training.precision=tf32", "training.precision = tf32, which a CPU lacks; allowed there: full"),
    ],
)
def test_a_plan_for_a_gpu_that_is_not_here_is_refused_in_plain_words(monkeypatch, tmp_path, change, message):
    monkeypatch.setattr(devices, "card_here", lambda: None)
    told = plan(PAPER / "fig03a_weight_decay.yaml", "--storage", str(tmp_path), "--set", change)
    assert told.exit_code == 2
    assert message in told.output
    assert "phasemap plan --gpu-memory GB" in told.output


def test_a_plan_with_nothing_left_to_train_takes_nothing_of_a_card(figure_3a):
    study, plan = figure_3a
    done = dataclasses.replace(plan, packs=[])
    assert done.measured().gpus_per_pack(study.resources) == 1.0
    assert estimate(done, study.resources, 2, Calibration())["wall_seconds"] == 0.0
    check_budget(study.model_copy(update={"resources": ResourceSpec(max_gpu_hours=1e-9)}), done)
