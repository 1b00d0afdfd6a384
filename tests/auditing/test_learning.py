"""The learning curve goes on as curves of known form do."""

import numpy as np
import pandas as pd
import pytest

from phasemap.auditing.response import LearningCurve


def curve_of(error, noise=0.002, n=1600):
    source = np.random.default_rng(0)
    rows = [
        {"n_train": size, "error": error(size) + noise * source.normal()}
        for size in (100, 200, 400, 800, 1200, 1400)
        for _ in range(8)
    ]
    return LearningCurve(n=n, trials=pd.DataFrame(rows))


@pytest.mark.parametrize(
    "error",
    [lambda n: 2 * n**-0.5, lambda n: 0.05 + 3 * n**-0.7, lambda n: 0.4 - 0.04 * np.log(n)],
    ids=["power", "power to a floor", "line in log n"],
)
def test_the_error_at_twice_the_rows_lies_within_the_draws(error):
    draws = curve_of(error).draws([1600, 3200])
    low, high = np.quantile(draws[:, 1], [0.025, 0.975])
    assert low - 0.005 <= error(3200) <= high + 0.005
    assert np.median(draws[:, 0]) == pytest.approx(error(1600), abs=0.01)


def test_a_flat_curve_promises_nothing():
    gain = curve_of(lambda n: 0.2).gain(1600)
    assert gain.low <= 0.0 <= gain.high or abs(gain.value) < 0.002
    assert abs(gain.value) < 0.01
