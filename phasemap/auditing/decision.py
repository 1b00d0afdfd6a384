"""What to do: actions compared at equal total budget, by slopes that were measured; and the verdict on a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from phasemap.auditing.inputs import Prices
from phasemap.auditing.measures import Answers, Estimate, Floats, decompose, of_draws, resampled
from phasemap.auditing.preparing import Prepared
from phasemap.auditing.response import DRAWS, LearningCurve, Response
from phasemap.auditing.suspects import WRONG_FROM

ACTIONS = ("nothing", "regularize", "clean_suspects", "clean_random", "collect")
FREE = ("nothing", "regularize")
BUDGETS = (0.1, 0.3, 1.0, 3.0, 10.0)  # times the budget that is decided about
RATIOS = (0.3, 1.0, 3.0, 10.0, 30.0)  # cost of a new row / cost of a review
UNCLEAR = "not_enough_evidence"
DEFAULT_SHARE = 0.1  # of the rows, reviewed once: the budget where none is given
LEAST_VISIBILITY = 0.4
CONFIDENCE = 0.95  # with which the low end of a worth is exceeded
HIGHEST = 0.999  # of accuracies whose log odds are taken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slopes:
    """What true accuracy answers to, as draws of the trainings: (DRAWS,) each.

    What halves of the rows have shown is taken over to all rows as log odds: the nearer to 1 an accuracy is, the less
    there is to gain.
    """

    accuracy: float  # with all rows and the labels as they are
    noise: Floats  # log odds of the accuracy lost per unit of wrong labels
    regularize: Floats  # log odds gained by the recommended level
    errors: Floats  # (DRAWS, sizes) at SIZES times the rows, up to a constant

    def gained(self, odds: Floats) -> Floats:
        """Return the accuracy gained by so much more log odds."""
        now = logit(self.accuracy)
        return np.asarray(expit(now + odds) - expit(now))

    def cleaned(self, share: float) -> Floats:
        """Return draws of the accuracy gained where so much less of the labels is wrong."""
        return self.gained(self.noise * share)


SIZES = tuple(np.round(np.geomspace(1.0, 11.0, 25), 6))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reviews:
    """Rows in the order in which suspects are reviewed: most wrong labels for the money first."""

    wrong: Floats  # (n,) probabilities of a wrong label
    costs: Floats  # (n,)

    @classmethod
    def of(cls, wrong: Floats, costs: Floats) -> Reviews:
        """Put rows into their order."""
        order = np.argsort(-wrong / costs, kind="stable")
        return cls(wrong=wrong[order], costs=costs[order])

    def reviewed(self, spend: float, *, suspects: bool) -> tuple[int, float]:
        """Return how many rows a budget reviews, and how many wrong labels are expected among them."""
        if not suspects:
            count = min(int(spend / self.costs.mean()), len(self.wrong))
            return count, count * float(self.wrong.mean())
        count = int(np.searchsorted(np.cumsum(self.costs), spend * (1 + 1e-12), side="right"))
        return count, float(self.wrong[:count].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The recommended action, what each is worth, and where the choice flips."""

    action: str  # one of ACTIONS, or UNCLEAR
    spend: float
    gains: Mapping[str, Estimate]  # of accuracy
    net: Mapping[str, Estimate]  # value of the gain, less what is spent
    flips: Sequence[Mapping[str, Any]]  # budget, ratio, action, clear
    prices: Prices
    visibility: float
    slopes: Slopes


def visibility(rate: float, n_classes: int) -> float:
    """Return the share of a change of true accuracy that shows against labels of which a share ``rate`` is wrong.

    With mistakes spread over the other classes, accuracy against given labels is
    a (1 - rate) + (1 - a) rate / (C - 1). A share below 0.4 would rest on the rate more than on what was measured.
    """
    return max(1 - rate * n_classes / (n_classes - 1), LEAST_VISIBILITY)


def decide(
    response: Response,
    learning: LearningCurve,
    wrong: Floats,
    prices: Prices,
    *,
    n_classes: int,
    costs: Floats | None = None,
) -> Decision:
    """Choose the action whose worth is highest at the low end of what the trainings leave possible.

    ``wrong`` (n,) are the rows' probabilities of a wrong label, ``costs`` (n,) what their reviews cost. The low end is
    exceeded with a probability of 95 %. Where no action is worth more than nothing then, the answer is UNCLEAR unless
    it is as sure that nothing can be gained.

    Gains are of true accuracy: test labels are wrong too, and hide a part of every change (``visibility``). Noise that
    is added to noisy labels is also hidden by that part, since it mends some.
    """
    seen = visibility(float(wrong.mean()), n_classes)
    labels = Reviews.of(wrong, costs if costs is not None else np.full(len(wrong), prices.cost_label))
    spend = prices.spend if prices.spend is not None else DEFAULT_SHARE * float(labels.costs.sum())
    slopes = _slopes(response, learning, seen, n_classes)
    actions = tuple(a for a in ACTIONS if a != "regularize" or len(response.levels) > 1)
    gains = {action: _gain(action, slopes, labels, spend, prices) for action in actions}
    net = {action: _net(gain, action, spend, prices) for action, gain in gains.items()}
    return Decision(
        action=_advised(net),
        spend=spend,
        gains={action: of_draws(float(np.median(gain)), gain).within(-1.0, 1.0) for action, gain in gains.items()},
        net={action: of_draws(float(np.median(value)), value) for action, value in net.items()},
        flips=_flips(slopes, labels, spend, prices, actions),
        prices=prices,
        visibility=seen,
        slopes=slopes,
    )


def _advised(net: Mapping[str, Floats]) -> str:
    """Return the action of the highest worth at the low end; UNCLEAR for nothing, where something may be gained."""
    best = max(net, key=lambda action: float(np.quantile(net[action], 1 - CONFIDENCE)))
    possible = max(float(np.quantile(value, CONFIDENCE)) for action, value in net.items() if action != "nothing")
    return UNCLEAR if best == "nothing" and possible > 0 else best


def _slopes(response: Response, learning: LearningCurve, seen: float, n_classes: int) -> Slopes:
    """Return the slopes that the trainings measured."""
    source = np.random.default_rng(1)
    errors = learning.draws(np.array(SIZES) * learning.n)

    def true(accuracy: ArrayLike) -> Floats:
        """Return accuracies of true labels from those of given ones, of which some agree with wrong answers."""
        found = (np.asarray(accuracy) - (1 - seen) / n_classes) / seen
        return np.asarray(np.clip(found, 1 / n_classes, HIGHEST))

    rates, accuracies = response.rates()
    half = float(true(response.accuracy))
    gains = _drawn(response.recommended_gains / seen, source)
    better = np.clip(half + gains, 1 / n_classes, HIGHEST)
    return Slopes(
        accuracy=max(half, float(true(1 - np.median(errors[:, 0])))),
        noise=_odds_lost(rates * seen, accuracies, true, source),
        regularize=logit(better) - logit(half),
        errors=errors / seen,
    )


def _odds_lost(
    rates: Floats, accuracies: Floats, true: Callable[[Floats], Floats], source: np.random.Generator
) -> Floats:
    """Draw the log odds that are lost per unit of wrong labels, rounds being drawn again.

    ``accuracies`` (rounds, R) belong to rates (R,) of labels made wrong. Log odds fall about evenly with the rate,
    while accuracy falls faster the more labels are wrong.
    """
    if not len(accuracies) or len(rates) < 2:
        return np.zeros(DRAWS)
    drawn = source.integers(len(accuracies), size=(DRAWS, len(accuracies)))
    odds = logit(true(accuracies[drawn].mean(axis=1)))  # (DRAWS, R)
    return np.asarray(-np.polyfit(rates, odds.T, 1)[0])


def _drawn(values: Floats, source: np.random.Generator) -> Floats:
    """Draw a measure's mean over rounds again and again: Student's distribution, since the rounds are few."""
    if len(values) < 2:
        return np.full(DRAWS, float(values.mean()) if len(values) else 0.0)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return np.asarray(values.mean() + error * source.standard_t(len(values) - 1, size=DRAWS))


def _gain(action: str, slopes: Slopes, labels: Reviews, spend: float, prices: Prices) -> Floats:
    """Return draws of the accuracy that an action gains for a budget."""
    if action == "regularize":
        return slopes.gained(slopes.regularize)
    if action == "collect":
        size = 1.0 + spend / prices.cost_example / len(labels.wrong)
        then = np.array([np.interp(np.log(size), np.log(SIZES), row) for row in slopes.errors])
        return np.asarray(slopes.errors[:, 0] - then)
    if action == "nothing":
        return np.zeros(DRAWS)
    reviewed, caught = labels.reviewed(spend, suspects=action == "clean_suspects")
    mended = caught * (1 - prices.relabel_error) - (reviewed - caught) * prices.relabel_error
    return slopes.cleaned(mended / len(labels.wrong))


def _net(gain: Floats, action: str, spend: float, prices: Prices) -> Floats:
    return gain * prices.value_error * prices.volume - (0.0 if action in FREE else spend)


def _flips(
    slopes: Slopes, labels: Reviews, spend: float, prices: Prices, actions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the best action over budgets and ratios of costs, and whether it is clearly better than nothing."""
    cells = []
    for ratio in RATIOS:
        at = replace(prices, cost_example=ratio * float(labels.costs.mean()))
        for times in BUDGETS:
            net = {a: _net(_gain(a, slopes, labels, times * spend, at), a, times * spend, at) for a in actions}
            advised = _advised(net)
            best = advised if advised != UNCLEAR else max(actions, key=lambda action: net[action].mean())
            cells.append({"budget": times * spend, "ratio": ratio, "action": best, "clear": advised != UNCLEAR})
    return cells


FEWEST_ROWS = 30  # on either side
GAP = 0.03  # of accuracy between trained and held-out rows, from which on a model memorizes
MANY_WRONG = 0.05  # expected share of wrong labels from which on labels are to be mended
VERDICTS = ("keep", "retrain", "fix_labels", UNCLEAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of the model in use, and what to do with it."""

    verdict: str  # one of VERDICTS
    source: str  # predictions | program
    trained_accuracy: float
    held_out_accuracy: float
    gap: Estimate
    fitted_suspects: float  # share of trained rows with a probably wrong label that are answered by that label
    repeated_suspects: float  # the same share of such rows that were held out
    expected_wrong: float  # share of wrong labels that the advice rests on


def judge_predictions(predictions: pd.DataFrame, data: Prepared, wrong: Floats, expected: float) -> Verdict:
    """Judge one trained model by its answers; intervals here are over rows, since there is one training only.

    ``wrong`` (n,) are the probabilities by which suspects are counted, ``expected`` is the share of wrong labels that
    advice rests on.
    """
    rows = predictions["row"].to_numpy()
    right = predictions["predicted"].to_numpy() == data.labels[rows]
    trained, suspect = predictions["trained"].to_numpy(), wrong[rows] >= WRONG_FROM
    inside, outside = right[trained], right[~trained]
    gap = Estimate(value=np.nan, low=np.nan, high=np.nan)
    if min(len(inside), len(outside)) >= FEWEST_ROWS:
        gap = _gap_over_rows(inside.astype(float), outside.astype(float))
    return _judged(
        "predictions",
        gap,
        accuracies=(_mean(inside), _mean(outside)),
        suspects=(_mean(right[trained & suspect]), _mean(right[~trained & suspect])),
        expected=expected,
    )


def _gap_over_rows(inside: Floats, outside: Floats) -> Estimate:
    draws = resampled(lambda rows: float(inside[rows].mean()), len(inside))
    others = resampled(lambda rows: float(outside[rows].mean()), len(outside), seed=1)
    low, high = np.quantile(draws - others, [0.025, 0.975])
    return Estimate(value=float(inside.mean() - outside.mean()), low=float(low), high=float(high))


def judge_trainings(answers: Answers, wrong: Floats, expected: float) -> Verdict:
    """Judge a training that was repeated on complementary halves by its answers; the gap's interval is over rounds.

    ``wrong`` and ``expected`` as in ``judge_predictions``.
    """
    parts, suspect = decompose(answers, wrong), wrong >= WRONG_FROM
    return _judged(
        "program",
        parts.gap,
        accuracies=(parts.train_accuracy.value, parts.held_out_accuracy.value),
        suspects=(_mean(answers.right[answers.trained & suspect]), _mean(answers.right[~answers.trained & suspect])),
        expected=expected,
    )


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _judged(
    source: str, gap: Estimate, *, accuracies: tuple[float, float], suspects: tuple[float, float], expected: float
) -> Verdict:
    """Decide by where the gap's interval lies, then by what the labels are like.

    A model whose gap is above 3 points for certain memorizes: retrain it with regularization. One whose gap is below
    for certain does not: then mend the labels if 5 % of them or more are expected to be wrong, else keep it.
    """
    if not np.isfinite(gap.low) or gap.low <= GAP <= gap.high:
        verdict = UNCLEAR
    elif gap.low > GAP:
        verdict = "retrain"
    else:
        verdict = "fix_labels" if expected >= MANY_WRONG else "keep"
    return Verdict(
        verdict=verdict,
        source=source,
        trained_accuracy=accuracies[0],
        held_out_accuracy=accuracies[1],
        gap=gap,
        fitted_suspects=suspects[0],
        repeated_suspects=suspects[1],
        expected_wrong=expected,
    )
