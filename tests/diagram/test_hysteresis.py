"""Hysteresis: the area of a loop, and that of a real schedule with its interval."""

import pytest
from conftest import run_in_process, study_of
from hypothesis import given
from hypothesis import strategies as st

import phasemap as pm
from phasemap.diagram.hysteresis import loop_area


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_a_loop_that_comes_back_on_its_way_has_no_area_and_the_other_way_round_it_is_the_negative(found):
    values = [0, 1, 4, 1, 0]
    assert loop_area(values, [*found[:3], found[1], found[0]]) == 0
    assert loop_area(values, found) == pytest.approx(-loop_area(values, found[::-1]))


def test_the_area_is_that_of_trapezoids():
    assert loop_area([0, 1, 4, 1, 0], [0.0, 0.0, 0.5, 1.0, 0.0]) == pytest.approx(1 * 0.5 + 3 * 0.5)


@pytest.mark.parametrize("values", [[0, 1], [0, 1, 2], [0, 2, 1], [0, 1, 3, 2, 0], [1, 0, 1]])
def test_what_is_no_way_up_and_down_is_refused(values):
    with pytest.raises(pm.UserError, match="does not go up and back down"):
        loop_area(values, [0.5] * len(values))


def test_the_area_of_a_run_is_that_of_the_ends_of_its_stages(tmp_path):
    columns = {"loop": "2.5 * (at(test_loss, 60) - at(test_loss, 20))"}  # two stages of 0, one of 5
    study = study_of(
        axes={"corruption": [0, 0.3]},
        schedule={"weight_decay": "20: 5, 40: 0"},
        phases={"labels": {"all": "otherwise"}, "columns": columns},
        seeds=3,
    )
    run = pm.Run(run_in_process(study, tmp_path))
    found = run.hysteresis("test_loss", "weight_decay").set_index("corruption")
    for corruption, rows in run.trials.groupby("corruption"):
        assert found.loc[corruption, "area"] == pytest.approx(rows["loop"].mean())
        assert found.loc[corruption, "n_seeds"] == 3
        half = 4.302653 * rows["loop"].std() / 3**0.5  # Student's t of two degrees of freedom at 97.5 %
        assert found.loc[corruption, "low"] == pytest.approx(rows["loop"].mean() - half)
        assert found.loc[corruption, "high"] == pytest.approx(rows["loop"].mean() + half)
    with pytest.raises(pm.UserError, match="learning_rate has no schedule"):
        run.hysteresis("test_loss", "learning_rate")
    with pytest.raises(pm.UserError, match="luck is not a quantity"):
        run.hysteresis("luck", "weight_decay")
