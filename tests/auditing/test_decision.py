"""The action follows the measured slopes and the prices, and abstains without evidence."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

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
        {"n_train": size, "error": 0.2 - slope * np.log(size / N) + noise * source.normal()}
        for size in (62, 125, 250, 500, 750)
        for _ in range(16)
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


def test_where_nothing_matters_something_is_seldom_advised():
    flat = LearningCurve(n=N, trials=pd.DataFrame({"n_train": [250, 500, 750], "error": [0.2, 0.2, 0.2]}))
    found = [decide(response_of(noise=0.02, seed=s), flat, SUSPECTS, PRICES, n_classes=3).action for s in range(100)]
    assert np.mean([action not in ("nothing", "not_enough_evidence") for action in found]) < 0.2


def test_the_level_in_use_is_no_advice():
    response = response_of(better=-0.05)
    flat = LearningCurve(n=N, trials=pd.DataFrame({"n_train": [250, 500, 750], "error": [0.2, 0.2, 0.2]}))
    found = decide(response, flat, np.zeros(N), PRICES, n_classes=3)
    assert response.recommended == response.current
    assert found.gains["regularize"].value == 0.0
    assert found.action in ("nothing", "not_enough_evidence")


def test_what_is_known_for_sure_is_advised_before_what_is_perhaps_worth_more():
    response = response_of(loss=0.8, better=0.02, corrupted_noise=0.3, seed=1)
    found = decide(response, learning_of(0.0), SUSPECTS, PRICES, n_classes=3)
    assert found.net["clean_suspects"].value > found.net["regularize"].value > 0
    assert found.action == "regularize"


def test_cleaning_gains_less_than_as_much_more_noise_costs():
    """Accuracies of which the log odds fall evenly with the rate: the gain is read off the same line."""
    response = response_of(noise=0.0)
    rates = response.trials["corruption_effective"].to_numpy()
    response.trials["test_accuracy"] = expit(2.0 - 6.0 * rates)
    clean = decide(response, learning_of(0.0, noise=0.0), np.zeros(N), PRICES, n_classes=3)
    gained = clean.slopes.cleaned(0.1)
    np.testing.assert_allclose(clean.slopes.noise, 6.0)
    np.testing.assert_allclose(gained, expit(2.6) - expit(2.0), atol=1e-6)
    assert gained.max() < 0.8 * (expit(2.0) - expit(1.4))


def test_what_halves_gain_is_less_where_all_rows_leave_less_to_gain():
    """Halves are right in 80 %, all rows in 95 %: the same log odds are worth less."""
    errors = [{"n_train": size, "error": 0.2 - 0.2164 * np.log(size / 500)} for size in (250, 500, 750)]
    learning = LearningCurve(n=N, trials=pd.DataFrame(errors))
    found = decide(response_of(better=0.05, noise=0.0), learning, np.zeros(N), PRICES, n_classes=3)
    there = expit(logit(found.slopes.accuracy) + logit(0.85) - logit(0.8)) - found.slopes.accuracy
    assert found.slopes.accuracy == pytest.approx(0.95, abs=0.02)
    assert found.gains["regularize"].value == pytest.approx(there, abs=1e-6)
    assert found.gains["regularize"].value < 0.03


def test_many_wrong_labels_hide_a_part_of_the_slope_and_of_the_accuracy():
    """A quarter of the labels of two classes is wrong: what shows of 90 % is 0.9 * 0.75 + 0.1 * 0.25."""
    response = response_of(noise=0.0)
    response.trials["test_accuracy"] = 0.25 + 0.5 * expit(logit(0.9) - 4.0 * response.trials["corruption"] / 2)
    learning = LearningCurve(n=N, trials=pd.DataFrame({"n_train": [250, 500, 750], "error": [0.3, 0.3, 0.3]}))
    found = decide(response, learning, np.full(N, 0.25), PRICES, n_classes=2)
    assert found.slopes.accuracy == pytest.approx(0.9)
    np.testing.assert_allclose(found.slopes.noise, 4.0)


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
