"""Rival ways to choose trials, against draws of the surfaces that they reason about; and the maps they are tried on."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, ttest_1samp

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import foreign_search
from common import half_interval
from search_goals import found_islands
from search_others import MAPS, load_other
from search_rivals import BETA, LevelSet, bivariate, eavc, expected_feasibility, global_mi, look_ahead, mile
from search_tables import calibration_error, fewest, first_known

N, DRAWS = 6, 200_000
CLOSE = 0.01
QUERIES = np.array([0, 2, 5])


@pytest.fixture(scope="module")
def believed():
    random = np.random.default_rng(0)
    factor = 0.8 * random.standard_normal((N, N))
    return LevelSet(0.7 * random.standard_normal(N), factor @ factor.T, 0.1)


@pytest.fixture(scope="module")
def draws(believed):
    return np.random.default_rng(1).multivariate_normal(believed.mean, believed.covariance, DRAWS)


def test_the_bivariate_normal_is_that_of_scipy():
    random = np.random.default_rng(2)
    h, k, r = random.standard_normal(30), 2 * random.standard_normal(30), random.uniform(-0.999, 0.999, 30)
    expected = [multivariate_normal.cdf([a, b], cov=[[1, c], [c, 1]]) for a, b, c in zip(h, k, r, strict=True)]
    np.testing.assert_allclose(bivariate(h, k, r), expected, atol=1e-9)


def answered(draws, point):
    return draws[:, point] + np.random.default_rng(point).standard_normal(DRAWS) > 0


def test_looking_ahead_is_what_draws_with_probit_answers_say(believed, draws):
    before, after_1, after_0, one = look_ahead(believed, QUERIES)
    below = draws[:, QUERIES] < 0
    np.testing.assert_allclose(before, below.mean(axis=0), atol=CLOSE)
    for point in range(N):
        yes = answered(draws, point)
        assert one[point, 0] == pytest.approx(yes.mean(), abs=CLOSE)
        np.testing.assert_allclose(after_1[point], below[yes].mean(axis=0), atol=CLOSE)
        np.testing.assert_allclose(after_0[point], below[~yes].mean(axis=0), atol=CLOSE)


def test_global_mi_and_eavc_are_those_of_draws(believed, draws):
    def entropy(p):
        return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))

    below = draws[:, QUERIES] < 0
    information, change = [], []
    for point in range(N):
        yes = answered(draws, point)
        parts = [(side.mean(), below[side].mean(axis=0)) for side in (yes, ~yes)]
        information.append((entropy(below.mean(axis=0)) - sum(w * entropy(p) for w, p in parts)).sum())
        change.append(sum(w * abs((below.mean(axis=0) - p).sum()) for w, p in parts))
    np.testing.assert_allclose(global_mi(believed, QUERIES), information, atol=CLOSE)
    np.testing.assert_allclose(eavc(believed, QUERIES), change, atol=2 * CLOSE)


def test_the_rules_are_those_of_aepsych_itself():
    torch, acquisition = pytest.importorskip("torch"), pytest.importorskip("aepsych.acquisition.lookahead")
    models = pytest.importorskip("aepsych.models")
    at = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = models.GPClassificationModel(dim=2).double()
    model.fit(at, (at.norm(dim=1) > 0.7).double())
    ends = torch.linspace(0, 1, 9, dtype=torch.float64)
    grid = torch.cartesian_prod(ends, ends)
    with torch.no_grad():
        posterior = model.posterior(grid)
        found = LevelSet(posterior.mean[:, 0].numpy(), posterior.distribution.covariance_matrix.numpy(), 1.0)
        bounds = {"lb": torch.zeros(2), "ub": torch.ones(2), "target": 0.5, "Xq": grid, "query_set_size": 81}
        for rule, ours in ((acquisition.GlobalMI, global_mi), (acquisition.EAVC, eavc)):
            theirs = rule(model=model, **bounds)(grid[:, None]).numpy()
            np.testing.assert_allclose(ours(found, np.arange(81)), theirs, atol=1e-4)


def test_mile_counts_the_points_that_a_value_puts_surely_above(believed, draws):
    variance, width = np.diag(believed.covariance), np.sqrt(BETA)
    undecided = np.abs(believed.mean) <= width * np.sqrt(variance)
    assert undecided.sum() > 0
    for point in range(N):
        value = draws[:, point] + np.sqrt(believed.noise) * np.random.default_rng(9).standard_normal(DRAWS)
        gain = believed.covariance[point] / (variance[point] + believed.noise)
        mean = believed.mean + np.outer(value - believed.mean[point], gain)
        left = np.sqrt(variance - gain * believed.covariance[point])
        counted = (mean - width * left > 0)[:, undecided].sum(axis=1).mean()
        assert mile(believed)[point] == pytest.approx(counted, abs=CLOSE)


def test_expected_feasibility_is_the_depth_inside_the_band(believed, draws):
    depth = np.maximum(2 * believed.deviation - np.abs(draws), 0).mean(axis=0)
    np.testing.assert_allclose(expected_feasibility(believed), depth, atol=CLOSE)


def test_the_tables_say_who_needs_the_fewest_trials():
    shares = {"ours": [0.9, 0.98, 1.0], "other": [0.9, 1.0, 1.0], "never": [0.5, 0.6, 0.7]}
    rows = [
        {"map": "m", "method": method, "budget": budget, "agreed": share, "bins": [[4, 3.6, 3.0]] + [[0, 0, 0]] * 9}
        for method, values in shares.items()
        for budget, share in zip((0.1, 0.2, 0.3), values, strict=True)
    ]
    known = first_known(pd.DataFrame(rows)).loc["m"]
    assert known["ours"] == pytest.approx(0.25)
    assert known["other"] == pytest.approx(0.19)
    assert np.isnan(known["never"])
    told = fewest(pd.DataFrame(rows))
    assert (told["maps"], told["ours_fewest"], told["ours_more_than_a_tenth_above"]) == (1, 0, ["m"])
    assert calibration_error(pd.DataFrame(rows))["ours"]["0.1"] == pytest.approx(0.15)


@pytest.mark.parametrize("name", sorted(set(MAPS) - {"ising", "potts"}))
def test_maps_of_others_have_several_labels_everywhere_and_are_the_same_each_time(name):
    full = load_other(name)
    assert full.trials["subphase"].notna().all()
    assert full.points["phase"].nunique() >= 2
    assert MAPS[name]().trials["subphase"].equals(full.trials["subphase"])


def test_onsager_orders_below_the_exact_temperature():
    points = load_other("onsager").points
    nearest = (points["ratio"] - 1).abs()
    isotropic = points[(nearest == nearest.min()) & (points["phase"] == "ordered")]
    assert abs(isotropic["temperature"].max() - 2 / np.log(1 + np.sqrt(2))) < 0.3


def test_a_mean_s_interval_is_that_of_student():
    interval = ttest_1samp([0.9, 0.95, 1.0], 0).confidence_interval()
    assert half_interval([0.9, 0.95, 1.0]) == pytest.approx((interval.high - interval.low) / 2)
    assert np.isnan(half_interval([0.9]))


def test_the_islands_that_were_missed_stand_beside_the_risk_that_was_stated():
    risk = np.repeat([0.1, 0.3], 50)
    found = np.arange(100) % np.repeat([10, 5], 50) != 0  # 5 of 50, and 10 of 50
    table = pd.DataFrame({"coverage": 0.0, "risk": risk, "found": found, "right": np.where(found, 1.0, 0.0)})
    told = found_islands(table)[0]
    assert told["cells_right_where_found"] == 1
    assert [(part["missed"], part["stated"]) for part in told["missed"].values()] == [
        (0.15, 0.2),
        (0.1, 0.1),
        (0.2, 0.3),
    ]
    assert told["missed"]["all"]["interval"] == [0.0865, 0.2353]  # Clopper and Pearson 1934


@pytest.mark.parametrize("name", foreign_search.NAMES)
def test_maps_of_programs_are_points_with_labels_though_a_program_records_more_now(name):
    full = foreign_search.load(name)
    assert full.points["phase"].notna().all()
    assert full.points["n_seeds"].eq(3).all()
    described = foreign_search.described(full)
    assert sum(share > 0.05 for share in described["labels"].values()) >= 3
    assert described["agree"] >= 0.7


@pytest.mark.slow(group="search")
@pytest.mark.parametrize("name", foreign_search.NAMES)
def test_maps_of_programs_are_known_from_fifteen_percent_of_their_trials(name):
    assert foreign_search.searched(foreign_search.load(name), "ours", 0)["agreed"] >= 0.99
