"""Claims over areas and shares: few seeds on a coarse lattice must not show what is not there."""

import numpy as np
import pytest
from conftest import slow, study_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_claims import by_seed, check, table

from phasemap.diagram.claim_links import Possible, compare_sides

AXES = {"corruption": [0, 0.1, 0.2, 0.3, 0.4], "weight_decay": [0, 5]}
DRAWS = 1000
LEVEL = 0.025  # of each side of a 95 % interval
ROOM = 3 * np.sqrt(LEVEL * (1 - LEVEL) / DRAWS)


def study(seeds):
    return study_of(axes=AXES, fixed={}, seeds=seeds)


def inverted(counts, seeds):
    """Trials of which the first so many of a seed, along the corruption at a weight decay, are fully inverted."""

    def label(trial):
        place = AXES["corruption"].index(trial.corruption)
        return "full_inversion" if place < counts[trial.weight_decay][trial.seed] else "confusion"

    return table(study(seeds), subphase=label)


HIGHER = "area(full_inversion, weight_decay=5) > area(full_inversion, weight_decay=0)"


@pytest.mark.parametrize(
    ("without", "with_decay", "verdict"),
    [
        ([0, 0], [1, 1], "undecided"),  # 6 % of equal areas look like this
        ([0, 0], [4, 4], "undecided"),
        ([1, 1], [1, 1], "undecided"),
        ([0, 0, 0], [1, 1, 1], "undecided"),
        ([0, 0, 0], [2, 2, 2], "holds"),
        ([2, 2, 2], [0, 0, 0], "fails"),
        ([0] * 7, [1] * 7, "holds"),
        ([0], [1], "holds"),  # with one seed the value decides
    ],
)
def test_equal_differences_at_few_seeds_show_no_more_than_they_can(without, with_decay, verdict):
    n = len(without)
    result = check(HIGHER, inverted({0: without, 5: with_decay}, n), study(n))
    assert result.verdict == verdict
    words = f"undecided at {n} seeds, because a share moves in steps of 0.2"
    assert result.reason == (words if verdict == "undecided" else "")


def test_what_is_said_of_every_trial_is_decided_by_the_trials():
    for n in (2, 3):
        every, all_but_one = [5] * n, [5] * (n - 1) + [4]
        for counts, verdicts in ((every, ("holds", "fails")), (all_but_one, ("fails", "holds"))):
            trials = inverted({0: counts, 5: counts}, n)
            for comparison, verdict in zip((">=", "<"), verdicts, strict=True):
                assert check(f"area(full_inversion) {comparison} 1", trials, study(n)).verdict == verdict
            for comparison, verdict in zip(("<=", ">"), verdicts, strict=True):
                assert check(f"area(confusion) {comparison} 0", trials, study(n)).verdict == verdict
            assert check("area(full_inversion) > 0.9", trials, study(n)).verdict == "undecided"


def test_labels_that_exclude_each_other_have_all_trials_at_most():
    trials = inverted({0: [5, 3], 5: [2, 0]}, 2)
    assert check("area(full_inversion) + area(confusion) >= 1", trials, study(2)).verdict == "holds"
    assert check("area(generalizes) + area(confusion) + area(memorization) >= 1", trials, study(2)).verdict == "holds"
    for text in (
        "area(full_inversion) + area(generalizes) >= 0.5",
        "area(full_inversion, weight_decay=0) + area(confusion, weight_decay=5) >= 1",
        "area(full_inversion) + share(test_accuracy >= 0.5) >= 1",
    ):
        assert check(text, trials, study(2)).verdict == "undecided", text


def test_sums_and_products_of_areas_move_in_steps_too():
    trials = inverted({0: [0, 0, 0], 5: [1, 1, 1]}, 3)
    for text in (
        "2 * area(full_inversion, weight_decay=5) > 2 * area(full_inversion, weight_decay=0)",
        "area(full_inversion, weight_decay=5) / 4 > area(full_inversion, weight_decay=0) / 4",
        "area(full_inversion, weight_decay=5) + area(memorization) > area(full_inversion, weight_decay=0)",
        "-area(full_inversion, weight_decay=5) < -area(full_inversion, weight_decay=0)",
        "area(full_inversion, weight_decay=5) - area(full_inversion, weight_decay=0) > 0.1",
        "share(test_accuracy > 0.4, weight_decay=5) > 0.95",
    ):
        assert check(text, trials, study(3)).verdict == "undecided", text
    assert check("2 * area(full_inversion) >= 0", trials, study(3)).verdict == "holds"


@settings(max_examples=10)
@given(st.lists(st.sampled_from([0, 1, 4, 5]), min_size=2, max_size=5))
def test_intervals_of_shares_stay_within_what_a_share_can_be(counts):
    n = len(counts)
    trials = inverted({0: counts, 5: counts}, n)
    low, high = check("area(full_inversion) > 0.3", trials, study(n)).interval
    assert -0.3 <= low <= high <= 0.7
    low, high = check(HIGHER, inverted({0: counts, 5: counts[::-1]}, n), study(n)).interval
    assert -1 <= low <= high <= 1
    low, high = check("correlation(corruption, test_loss) >= 0", table(study(n), test_loss=_noise), study(n)).interval
    assert -1 <= low <= high <= 1


def test_intervals_of_accuracies_stay_within_0_and_1():
    trials = table(study(3), test_accuracy=by_seed(1.0, 1.0, 0.6))
    assert check("test_accuracy > 0.5", trials, study(3)).interval[1] == 0.5


def _noise(trial):
    return (trial.corruption * 7 + trial.seed * 3) % 1


def equal_areas(random, n, seeds, p):
    return (random.binomial(n, p, (2, DRAWS, seeds)) / n), 1 / n


def whole_rows(random, n, seeds, p):
    """Cells of a row that change together, three at a time."""
    return 3 * random.binomial(n, p, (2, DRAWS, seeds)) / (3 * n), 1 / (3 * n)


def wandering_frontiers(random, n, seeds, p):
    """Areas below frontiers that wander from seed to seed, the half of it in both maps alike."""
    common = random.standard_normal((DRAWS, seeds))
    own = random.standard_normal((2, DRAWS, seeds))
    return np.clip(np.floor(n / 2 + p + 3 * p * (common + own) / np.sqrt(2)), 0, n) / n, 1 / n


def against_its_mean(random, n, seeds, p):
    return np.stack([random.binomial(n, p, (DRAWS, seeds)) / n, np.full((DRAWS, seeds), p)]), 1 / n


@pytest.mark.parametrize("seeds", [3, *slow("statistics", 2, 8)])
@pytest.mark.parametrize("drawn", [equal_areas, whole_rows, wandering_frontiers, against_its_mean])
def test_a_claim_without_a_true_difference_holds_no_more_often_than_stated(drawn, seeds):
    random = np.random.default_rng(seeds)
    for n in (1, 2, 12):
        for p in (0.5, 0.9):
            (left, right), step = drawn(random, n, seeds, p)
            possible = Possible(step=step, low=-1.0, high=1.0)
            held = [compare_sides(*both, possible).verdict == "holds" for both in _pairs(left, right)]
            assert np.mean(held) <= LEVEL + ROOM, (n, p)


def _pairs(left, right):
    return ((one, ">", other) for one, other in zip(left, right, strict=True))


def test_student_s_interval_alone_is_too_eager():
    (left, right), _ = equal_areas(np.random.default_rng(0), 2, 2, 0.5)
    plain = Possible(step=0.0, low=-1.0, high=1.0)
    assert (
        np.mean([compare_sides(a, ">", b, plain).verdict == "holds" for a, b in zip(left, right, strict=True)]) > 0.05
    )
