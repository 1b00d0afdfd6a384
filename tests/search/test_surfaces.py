"""The lengths of surfaces: what few trials say by accident is not believed."""

import numpy as np

from phasemap.search import surfaces
from phasemap.search.surfaces import LENGTHS, Group, Surfaces

SHAPE = (21, 19)
PLACES = np.array([
    0, 4, 9, 14, 18, 57, 76, 80, 85, 90, 94, 97, 138, 139, 152, 156, 161, 166, 170, 179, 219, 228, 232, 237, 242, 246,
    259, 282, 284, 301, 304, 308, 313, 318, 322, 380, 384, 389, 394, 398,
])  # fmt: skip
"""Points of a map of magnetization (Onsager) of which the likeliest lengths make each row independent of the next."""
ALL = (Group(name="all", columns=(0,)),)


def magnetization(numbers):
    temperature, ratio = np.linspace(0.5, 4, 21)[numbers[0]], np.linspace(0.1, 2, 19)[numbers[1]]
    return np.maximum(1 - (np.sinh(2 / temperature) * np.sinh(2 * ratio / temperature)) ** -2.0, 0) ** 0.125


def test_rows_are_not_independent_where_smooth_ones_are_nearly_as_likely(monkeypatch):
    numbers, every = np.unravel_index(PLACES, SHAPE), np.indices(SHAPE).reshape(2, -1)
    right = {}
    for shortest in (surfaces.SMOOTHER, LENGTHS[0]):  # the second: as it was before
        monkeypatch.setattr(surfaces, "SMOOTHER", shortest)
        found = Surfaces()
        found.observe(np.stack(numbers, axis=1).astype(float), 2 * magnetization(numbers)[:, None] - 1, ALL)
        sides = found.predict(every.T.astype(float)).mean[:, 0] > -0.1
        right[shortest] = (sides == (magnetization(every) > 0.45)).mean()
    assert right[surfaces.LENGTHS[0]] < 0.9 < 0.95 < right[2.5]


def test_a_fit_that_ends_at_short_lengths_between_its_bounds_looks_for_long_ones():
    random = np.random.default_rng(0)
    at = np.stack(np.unravel_index(random.choice(17 * 17, 60, replace=False), (17, 17)), axis=1).astype(float)
    sides = (random.random(60) < 1 / (1 + np.exp((at[:, 1] - at[:, 0]) / 1.5)))[:, None] - 0.5  # a noisy border
    begun = np.log([1.0, 0.9, 0.9, 1e-4])  # from here the likelihood rises to lengths of 1.2 cells, and no further
    kernel = Surfaces()._fit(at, sides / sides.std(), begun)
    assert np.exp(kernel.theta[1:3]).min() > 5


def test_rows_are_independent_where_the_likelihood_says_so():
    random = np.random.default_rng(2)
    at = np.indices((30, 12)).reshape(2, -1).T.astype(float)
    values = random.choice([-1.0, 1.0], 30)[at[:, 0].astype(int)] + 0.3 * np.sin(at[:, 1] / 3)
    found = Surfaces()
    found.observe(at, values[:, None], ALL)
    (lengths,) = found._lengths.values()
    assert np.exp(lengths.theta[1]) < 2  # of 2.5 cells the log likelihood is 27 lower
