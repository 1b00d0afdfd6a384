"""The action follows the measured slopes and the prices, and abstains without evidence."""

import numpy as np
import pandas as pd
import pytest

from phasemap.auditing.decision import ACTIONS, Reviews, decide, visibility
from phasemap.auditing.inputs import Prices
from phasemap.auditing.response import LearningCurve, Response, with_recommendation

N = 1000


def response_of(*, loss=0.0, better=0.0, noise=0.001, corrupted_noise=0.0, seed=0):
    """Accuracy 0.8, falling by ``loss`` for each unit of noise; weight decay 15 is better by ``better``."""
    source = np.random.default_rng(seed)
    rows = [
        {
            "round": round_,
            "corruption": rate,
            "corruption_effective": rate,
            "weight_decay": level,
            "test_accuracy": 0.8
            - loss * rate
            + better * (level == 15.0)
            + (noise + (rate > 0) * corrupted_noise) * source.normal(),
        }
        for round_ in range(10)
        for rate in (0.0, 0.1, 0.2)
        for level in (5.0, 15.0)
    ]
    response = Response(
        regularizer="weight_decay",
        current=5.0,
        recommended=5.0,
        trials=pd.DataFrame(rows),
        points=pd.DataFrame(),
        generalized=0.8,
    )
    return with_recommendation(response)


def learning_of(slope, noise=0.001):
    """Error falls by ``slope`` for each factor e of rows."""
    source = np.random.default_rng(1)
    rows = [
        {"n_train": size, "error": 0.2 - slope * np.log(size / N) + noise * source.normal(), "half": seed % 2}
        for size in (62, 125, 250, 500, 750)
        for seed in range(16)
    ]
    return LearningCurve(n=N, trials=pd.DataFrame(rows))


SUSPECTS = np.where(np.arange(N) < 100, 0.9, 0.01)
PRICES = Prices(cost_label=1.0, cost_example=1.0, volume=100_000)


@pytest.mark.parametrize(
    ("response", "learning", "wrong", "action"),
    [
        ({"loss": 1.0}, 0.0, SUSPECTS, "clean_suspects"),
        ({"loss": 0.0}, 0.1, SUSPECTS, "collect"),
        ({"better": 0.05}, 0.0, SUSPECTS, "regularize"),
        ({"loss": 1.0}, 0.3, SUSPECTS, "clean_suspects"),
        ({"loss": 1.0}, 0.3, np.full(N, 0.01), "collect"),
    ],
)
def test_the_action_with_the_highest_measured_slope_is_chosen(response, learning, wrong, action):
    found = decide(response_of(**response), learning_of(learning), wrong, PRICES, n_classes=3)
    assert found.action == action
    assert set(found.net) == set(ACTIONS)


def test_a_certain_loss_is_no_reason_to_spend():
    small = Prices(cost_label=1.0, cost_example=1.0, volume=10)
    found = decide(response_of(loss=1.0), learning_of(0.1), SUSPECTS, small, n_classes=3)
    assert found.action in ("nothing", "not_enough_evidence")
    assert found.net["clean_suspects"].value < 0


def test_noisy_slopes_give_no_recommendation():
    found = decide(response_of(loss=0.05, noise=0.1), learning_of(0.0, noise=0.2), SUSPECTS, PRICES, n_classes=3)
    assert found.action in ("nothing", "not_enough_evidence")


def test_what_one_half_values_highest_and_the_other_can_not_confirm_gives_way_to_what_it_confirms():
    response = response_of(loss=0.8, better=0.01, corrupted_noise=0.2, seed=3)
    found = decide(response, learning_of(0.0), SUSPECTS, PRICES, n_classes=3)
    assert found.net["clean_suspects"].value > found.net["regularize"].value > 0
    assert found.action == "regularize"


def test_the_map_flips_from_collecting_to_cleaning_as_rows_become_dear():
    found = decide(response_of(loss=0.3), learning_of(0.3), SUSPECTS, PRICES, n_classes=3)
    at = {(cell["budget"], cell["ratio"]): cell["action"] for cell in found.flips}
    assert at[100.0, 0.3] == "collect"
    assert at[100.0, 30.0] == "clean_suspects"


def test_relabelling_with_many_mistakes_makes_random_cleaning_harmful():
    clumsy = Prices(cost_label=1.0, cost_example=1.0, volume=100_000, relabel_error=0.3)
    found = decide(response_of(loss=1.0), learning_of(0.0), SUSPECTS, clumsy, n_classes=3)
    assert found.gains["clean_random"].high < 0


def test_a_change_of_true_accuracy_shows_in_part_against_wrong_labels():
    source = np.random.default_rng(0)
    truth = source.integers(4, size=200_000)
    given = np.where(source.random(len(truth)) < 0.3, (truth + source.integers(1, 4, len(truth))) % 4, truth)

    def measured(accuracy):
        answers = np.where(source.random(len(truth)) < accuracy, truth, (truth + source.integers(1, 4, len(truth))) % 4)
        return (answers == given).mean()

    assert (measured(0.9) - measured(0.7)) / 0.2 == pytest.approx(visibility(0.3, 4), abs=0.02)


def test_cheap_suspects_are_reviewed_before_dear_ones_of_equal_probability():
    reviews = Reviews.of(np.array([0.5, 0.5, 0.9, 0.1]), np.array([1.0, 4.0, 1.0, 1.0]))
    assert reviews.costs.tolist() == [1.0, 1.0, 4.0, 1.0]
    assert reviews.reviewed(2.0, suspects=True) == (2, pytest.approx(1.4))
    assert reviews.reviewed(3.5, suspects=False) == (2, pytest.approx(1.0))
