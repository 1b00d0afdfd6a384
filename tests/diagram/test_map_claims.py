"""Claims over the map of a search: on points with known answers, and on stored maps whose whole truth is known."""

import numpy as np
import pandas as pd
import pytest
from conftest import slow, study_of
from stored_maps import completed, drive, load_map

from phasemap.diagram.claims import check_claims
from phasemap.diagram.map_claims import SearchedMap
from phasemap.search.completed import searched_map
from phasemap.study.claim_grammar import parse_claim
from phasemap.study.claims import vocabulary

SIZE = 10
AXES = {"corruption": [round(0.05 * i, 2) for i in range(SIZE)], "weight_decay": list(range(SIZE))}
STUDY = study_of(axes=AXES, fixed={}, seeds=1, search={"kind": "boundary", "budget": 0.2})
NO_TRIALS = pd.DataFrame(columns=[*dict.fromkeys(("trial_id", "seed", "status", *vocabulary(STUDY).columns))]).astype(
    {"trial_id": object, "status": object}
)


def map_of(generalizes, *, likely=1.0, measured=lambda c, w: False, test_accuracy=0.5, off=0.0):
    """Return a map where a condition of (corruption's, weight decay's number) says which points generalize."""
    c, w = (axis.ravel() for axis in np.meshgrid(range(SIZE), range(SIZE), indexing="ij"))
    inside = np.asarray(generalizes(c, w)) & np.ones(SIZE * SIZE, dtype=bool)
    seen = np.asarray(measured(c, w)) & np.ones(SIZE * SIZE, dtype=bool)
    points = pd.DataFrame(
        {
            "corruption": np.asarray(AXES["corruption"])[c],
            "weight_decay": w,
            "phase": np.where(inside, "grokking", "memorization"),
            "subphase": np.where(inside, "full_inversion", "memorization"),
            "n_seeds": seen.astype(int),
            "inferred": ~seen,
            "test_accuracy": test_accuracy,
            "test_accuracy_std": off,
        }
    )
    share = np.where(seen, 1.0, likely)
    high, low = np.where(inside, share, 1 - share), np.where(inside, 1 - share, share)
    likely = pd.DataFrame({"grokking": high, "full_inversion": high, "memorization": low, "confusion": 0.0})
    return SearchedMap(study=STUDY, points=points, likely=likely)


def check(text, searched):
    (result,) = check_claims(STUDY, NO_TRIALS, [parse_claim(text, STUDY.axes, vocabulary(STUDY))], searched)
    return result


def test_an_area_is_the_share_of_measured_and_inferred_points_and_its_interval_counts_the_expected_errors():
    half = map_of(lambda c, w: w < 5, likely=0.9)
    found = check("area(generalizes) > 0.3", half)
    off = 0.1 * 0.5 + np.sqrt(10) / 100  # a tenth of half of the points, and ten points at the edge
    assert (found.verdict, found.left) == ("holds", 0.5)
    assert found.interval == pytest.approx((0.5 - off - 0.3, 0.5 + off - 0.3))
    assert found.n_seeds == 0
    assert "0 of 100 points measured, 100 inferred" in found.reason
    assert check("area(generalizes) > 0.45", half).verdict == "undecided"
    assert check("area(generalizes) > 0.6", half).verdict == "fails"


def test_measured_points_are_not_in_doubt():
    one = map_of(lambda c, w: (c == 0) & (w == 0), likely=0.99, measured=lambda c, w: (c == 0) & (w == 0))
    assert check("area(full_inversion) > 0", one).verdict == "holds"
    assert check("area(full_inversion) >= 1", one).verdict == "fails"
    none = map_of(lambda c, w: c < 0, likely=0.99)
    assert check("area(full_inversion) > 0", none).verdict == "undecided"
    all_seen = map_of(lambda c, w: c < 0, measured=lambda c, w: c < 9)
    assert check("area(full_inversion) < 0.2", all_seen).verdict == "holds"


def test_conditions_choose_points_and_arithmetic_joins_ranges():
    half = map_of(lambda c, w: w < 5)
    assert check("area(generalizes, weight_decay=2) >= 1", half).verdict == "holds"
    found = check("area(generalizes, weight_decay<5) - area(generalizes, weight_decay>=5) > 0.5", half)
    assert (found.verdict, found.left) == ("holds", 1.0)
    assert check("area(generalizes) / area(confusion) > 1", half).reason == "divides by what may be zero"


def test_a_mean_reaches_as_far_as_its_points_may_be_off():
    searched = map_of(lambda c, w: w < 5, test_accuracy=0.7, off=0.1, measured=lambda c, w: w < 5)
    found = check("mean(test_accuracy) > 0.5", searched)
    assert found.verdict == "holds"
    assert found.interval == pytest.approx((0.15, 0.25))
    assert check("mean(test_accuracy) > 0.7", searched).verdict == "undecided"
    assert "fewer than half" in check("max(test_accuracy) > 0.5", searched).reason  # only every trial could tell


@pytest.mark.parametrize(
    ("name", "budget"), [("plane_wd10", 0.15), *slow("statistics", ("weight_decay", 0.15), ("space", 0.1))]
)
def test_the_intervals_hold_the_areas_of_the_whole_map(name, budget):
    full = load_map(name)
    asked = drive(full, kind="boundary", budget=budget)
    study = full.searched(kind="boundary", budget=budget).study
    searched = searched_map(study, asked, completed(full, asked))
    labels = sorted({*full.points["subphase"], *full.points["phase"]})
    held = []
    for label in labels:
        truth = ((full.points["phase"] == label) | (full.points["subphase"] == label)).mean()
        (below, above) = check_claims(
            study,
            asked,
            [parse_claim(f"area({label}) {text}", study.axes, vocabulary(study)) for text in (">= -1", "<= 2")],
            searched,
        )
        low, high = below.interval[0] - 1, above.interval[1] + 2
        assert 0 <= low <= high <= 1
        assert high - low < 0.25
        held.append(low <= truth + 1e-9 and truth <= high + 1e-9)
    assert np.mean(held) >= 0.85, dict(zip(labels, held, strict=True))
