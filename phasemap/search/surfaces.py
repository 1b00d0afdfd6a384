"""Surfaces of the measured quantities over the axes: Gaussian processes, fitted rarely and conditioned often."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

SMOOTHNESS = 1.5  # of the Matern kernel: continuous with one derivative, and steep where an accuracy jumps
LENGTHS = (0.7, 40.0)  # cells, and where the fit starts
FIRST_LENGTH = 3.0
SMOOTHER = 2.5  # cells: of lengths below, longer ones are as good where the likelihood says so
NO_WORSE = 1.92  # of the log likelihood: half the 95 % quantile of chi squared with one degree of freedom
NOISE = (1e-4, 1.0)  # of a seed, as a share of a quantity's variance
SMALLEST_SPREAD = 0.3  # of a quantity in its model's unit: a flat one must not look rough
MOST_FITTED = 300  # observations that the lengths are fitted on: a fit costs their number cubed, many times
REFIT = 1.25  # growth of the number of observations after which they are fitted again
CHUNK = 4096  # points predicted at once
JITTER = 1e-6  # on the diagonal of the observations' covariance


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is expected of q quantities at m points: arrays (m, q)."""

    mean: Floats
    spread: Floats  # standard deviation of what all seeds share
    noise: Floats  # (q,) standard deviation between seeds
    prior: Floats  # (q,) what the spread is where nothing was observed

    def part(self, points: slice | NDArray[Any], columns: Sequence[int]) -> Prediction:
        """Return what is expected of some quantities at some points."""
        chosen = list(columns)
        return Prediction(
            mean=self.mean[points][:, chosen],
            spread=self.spread[points][:, chosen],
            noise=self.noise[chosen],
            prior=self.prior[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Quantities whose surfaces have the same lengths, and the same noise as a share of their variance."""

    name: str
    columns: tuple[int, ...]
    fitted: int | None = None  # how many of them, the first, decide the lengths; by default all


@dataclass
class Surfaces:
    """One Gaussian process for each group of quantities, with a length of its own along each coordinate.

    A group's quantities share lengths and noise, so that a prediction costs one factorization; each has its own mean
    and spread.
    """

    seed: int = 0
    _lengths: dict[str, _Lengths] = field(default_factory=dict, repr=False)  # of each group, by its name
    _processes: list[tuple[Group, GaussianProcessRegressor]] = field(init=False, repr=False)
    _observed: tuple[Floats, Floats] = field(init=False, repr=False)  # coordinates (n, c) and scaled quantities (n, q)
    _center: Floats = field(init=False, repr=False)
    _scale: Floats = field(init=False, repr=False)

    def observe(self, coordinates: Floats, values: Floats, groups: Sequence[Group]) -> None:
        """Take all observations so far: coordinates (n, c) and quantities (n, q), each in one of the groups."""
        self._center = values.mean(axis=0)
        self._scale = np.maximum(values.std(axis=0), SMALLEST_SPREAD)
        scaled = (values - self._center) / self._scale
        self._observed = coordinates, scaled
        with threadpool_limits(1, "blas"):
            self._processes = [
                (group, self._process(group, coordinates, scaled[:, list(group.columns)])) for group in groups
            ]

    def _process(self, group: Group, coordinates: Floats, scaled: Floats) -> GaussianProcessRegressor:
        known = self._lengths.get(group.name)
        if known is None or len(scaled) >= REFIT * known.fitted_on:
            known = self._fit(coordinates, scaled[:, : group.fitted], None if known is None else known.theta)
            self._lengths[group.name] = known
        kernel = _kernel(coordinates.shape[1]).clone_with_theta(known.theta)
        return GaussianProcessRegressor(kernel, optimizer=None, alpha=JITTER).fit(coordinates, scaled)

    def _fit(self, coordinates: Floats, scaled: Floats, theta: Floats | None) -> _Lengths:
        chosen = self._few(len(scaled))
        at, values = coordinates[chosen], scaled[chosen]
        kernel = _kernel(coordinates.shape[1])
        fitted = _likeliest(kernel if theta is None else kernel.clone_with_theta(theta), at, values)
        if np.min(fitted.kernel_.k1.k2.length_scale) < SMOOTHER:  # each row by itself: often an accident of the trials
            longer = _likeliest(_kernel(coordinates.shape[1], SMOOTHER), at, values)
            if longer.log_marginal_likelihood_value_ > fitted.log_marginal_likelihood_value_ - NO_WORSE:
                fitted = longer
        return _Lengths(fitted.kernel_.theta, len(scaled))

    def predict(self, coordinates: Floats) -> Prediction:
        """Return what is expected at coordinates (m, c)."""
        shape = (len(coordinates), len(self._scale))
        mean, shared = np.empty(shape), np.empty(shape)
        noise, prior = np.empty(len(self._scale)), np.empty(len(self._scale))
        with threadpool_limits(1, "blas"):
            for group, process in self._processes:
                columns, level = list(group.columns), process.kernel_.k2.noise_level
                for start in range(0, len(coordinates), CHUNK):
                    rows = slice(start, start + CHUNK)
                    expected, spread = process.predict(coordinates[rows], return_std=True)
                    mean[rows, columns] = expected.reshape(-1, len(columns))
                    spread = spread.reshape(-1, len(columns))
                    shared[rows, columns] = np.sqrt(np.maximum(spread**2 - level, 1e-8))
                noise[columns] = np.sqrt(level)
                prior[columns] = np.sqrt(process.kernel_.k1.k1.constant_value)
        return self._in_units(mean, shared, noise, prior)

    def left_out(self) -> tuple[NDArray[np.int64], Prediction]:
        """Return some observations' numbers (m,), and what is expected of each by the others that are elsewhere.

        They are those that lengths are fitted on; of several at one place all are left out together. Rasmussen and
        Williams 2006, equations 5.10 to 5.12.
        """
        at, values = self._observed
        chosen = self._few(len(at))
        _, place = np.unique(at[chosen], axis=0, return_inverse=True)
        together = [np.flatnonzero(place.ravel() == one) for one in np.flatnonzero(np.bincount(place.ravel()) > 1)]
        shape = (len(chosen), values.shape[1])
        mean, spread, noise, prior = np.empty(shape), np.empty(shape), np.empty(shape[1]), np.empty(shape[1])
        with threadpool_limits(1, "blas"):
            for group, process in self._processes:
                columns, level = list(group.columns), process.kernel_.k2.noise_level
                inverse = np.linalg.inv(process.kernel_(at[chosen]) + JITTER * np.eye(len(chosen)))
                known = values[chosen][:, columns]
                weights, variance = inverse @ known, 1 / np.diag(inverse)
                off = weights * variance[:, None]
                for some in together:
                    block = np.linalg.inv(inverse[some][:, some])
                    off[some], variance[some] = block @ weights[some], np.diag(block)
                mean[:, columns] = known - off
                spread[:, columns] = np.sqrt(np.maximum(variance - level, 1e-8))[:, None]
                noise[columns], prior[columns] = np.sqrt(level), np.sqrt(process.kernel_.k1.k1.constant_value)
        return chosen, self._in_units(mean, spread, noise, prior)

    def _few(self, n: int) -> NDArray[np.int64]:
        return np.random.default_rng(self.seed).permutation(n)[:MOST_FITTED]

    def _in_units(self, mean: Floats, spread: Floats, noise: Floats, prior: Floats) -> Prediction:
        return Prediction(
            mean=mean * self._scale + self._center,
            spread=spread * self._scale,
            noise=noise * self._scale,
            prior=prior * self._scale,
        )


@dataclass(frozen=True, slots=True)
class _Lengths:
    theta: Floats
    fitted_on: int  # observations


def _likeliest(kernel: Any, coordinates: Floats, values: Floats) -> GaussianProcessRegressor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: the map is flat along it
        return GaussianProcessRegressor(kernel, alpha=JITTER).fit(coordinates, values)


def _kernel(n_columns: int, shortest: float = LENGTHS[0]) -> ConstantKernel:
    lengths = Matern(np.full(n_columns, FIRST_LENGTH), (shortest, LENGTHS[1]), nu=SMOOTHNESS)
    return ConstantKernel(1.0, (1e-2, 1e2)) * lengths + WhiteKernel(0.01, NOISE)
