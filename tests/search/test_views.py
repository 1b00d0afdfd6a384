"""How far the quantities' and the labels' surfaces are believed: by how well they tell trials that were left out."""

import numpy as np
import pytest
from made_up import made_up
from sklearn.gaussian_process import GaussianProcessRegressor
from stored_maps import StoredMap

from phasemap.search.labelling import OneHot
from phasemap.search.study_map import boundary_search
from phasemap.search.study_model import map_model, usable
from phasemap.search.surfaces import JITTER, Group, Prediction, Surfaces, _kernel
from phasemap.search.views import DRAWS, Blend, blended


def test_what_is_left_out_is_expected_as_by_surfaces_that_never_saw_its_place():
    random = np.random.default_rng(0)
    at = random.integers(0, 5, (30, 2)).astype(float)  # of 25 places: several trials at some
    values = np.stack([np.sin(at[:, 0]) + 0.1 * random.normal(size=30), at[:, 1] > 2, at[:, 0] * at[:, 1] / 4], axis=1)
    surfaces = Surfaces()
    surfaces.observe(at, values, (Group(name="a", columns=(0, 2)), Group(name="b", columns=(1,))))
    numbers, found = surfaces.left_out()
    assert sorted(numbers) == list(range(30))
    center, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 0.3)
    for group, columns in (("a", [0, 2]), ("b", [1])):
        kernel = _kernel(2).clone_with_theta(surfaces._lengths[group].theta)
        for row, number in enumerate(numbers):
            others = (at != at[number]).any(axis=1)
            process = GaussianProcessRegressor(kernel, optimizer=None, alpha=JITTER)
            process.fit(at[others], ((values - center) / scale)[others][:, columns])
            mean, spread = process.predict(at[[number]], return_std=True)
            assert found.mean[row, columns] == pytest.approx(mean.ravel() * scale[columns] + center[columns], abs=1e-5)
            shared = np.sqrt(np.maximum(spread.ravel()[0] ** 2 - kernel.k2.noise_level, 1e-8)) * scale[columns]
            assert found.spread[row, columns] == pytest.approx(shared, abs=1e-4)
            assert found.noise[columns] == pytest.approx(np.sqrt(kernel.k2.noise_level) * scale[columns])


class Upside(OneHot):
    """Says of two labels the other one: as wrong as a view can be."""

    def label(self, values, places):
        return 1 - super().label(values, places)


def left_out(codes, spread):
    """Return surfaces of two labels that expect what was seen, with deviations."""
    mean = np.eye(2)[codes]
    flat = np.full(mean.shape, spread)
    return Prediction(mean=mean, spread=flat, noise=np.full(2, 1e-6), prior=np.ones(2))


def test_the_view_that_tells_trials_has_nearly_all_draws():
    codes = np.random.default_rng(0).integers(0, 2, 60)
    views, places, weight = (Upside(2, doubt=0.0), OneHot(2, doubt=0.0)), np.arange(60), np.ones(60)
    found = blended(views, left_out(codes, 0.2), places, codes, weight, np.random.default_rng(1))
    assert sum(found.draws) == DRAWS
    assert found.draws[1] >= 0.9 * DRAWS


def test_doubt_that_proved_needless_is_lowered_and_trust_that_was_deceived_too():
    codes = np.random.default_rng(0).integers(0, 2, 60)
    told = [
        blended(
            (OneHot(2, doubt=0.0),), left_out(seen, spread), np.arange(60), codes, np.ones(60), np.random.default_rng(1)
        )
        for seen, spread in ((codes, 1.0), (np.where(np.arange(60) % 4, codes, 1 - codes), 0.3))
    ]
    assert told[0].temperature < 0.8
    assert told[1].temperature > 1.25
    sure, unsure = (blend.calibrated(np.array([[0.7, 0.3]]))[0] for blend in told)
    assert sure[0] > 0.7 > unsure[0] > 0.5
    assert sure.sum() == unsure.sum() == pytest.approx(1)


def test_trials_count_by_the_points_that_they_stand_for():
    codes = np.zeros(60, dtype=np.int64)
    told = left_out(np.where(np.arange(60) < 30, 0, 1), 0.2)  # the first half is told right
    for weight, draws in ((np.arange(60) < 30, (0, DRAWS)), (np.arange(60) >= 30, (DRAWS, 0))):
        views = (Upside(2, doubt=0.0), OneHot(2, doubt=0.0))
        found = blended(views, told, np.arange(60), codes, weight.astype(float), np.random.default_rng(1))
        assert np.abs(np.subtract(found.draws, draws)).max() <= 0.1 * DRAWS


def test_no_trial_on_the_grid_leaves_all_as_it_is():
    nothing = np.empty(0, dtype=np.int64)
    views = (OneHot(2, doubt=0.0), OneHot(2, doubt=0.0))
    found = blended(views, left_out(nothing, 0.2), nothing, nothing, np.empty(0), np.random.default_rng(0))
    assert found == Blend((DRAWS // 2, DRAWS // 2), pytest.approx(1, abs=0.01))


STEP = {"labels": {"high": "level > 0.5", "low": "level < -0.5", "middle": "otherwise"}}


def test_between_two_far_labels_there_is_no_strip_of_the_one_between():
    def curves(at, random):
        x, y = at["x"], at["y"]
        steep = np.where(y < 0.6, 1e4, 4)  # a jump below, where both labels touch, and a slope above
        return {"level": np.tanh(steep * (x - 0.52 - 0.1 * np.sin(5 * y))) + 0.05 * random.normal(size=x.shape)}

    axes = {"x": list(np.linspace(0, 1, 20)), "y": list(np.linspace(0, 1, 20))}
    full = made_up(STEP, axes, curves, {"level": "number"}, seeds=1, noise_seed=3)
    full = StoredMap(full.study, full.trials)
    search = boundary_search(full.searched(kind="boundary").study)
    trials = full.trials.iloc[search.target.coarse(len(full.trials), stride=3)]
    model = map_model(full.study, usable(full.study, trials))
    told = search.believe(model.observed, model.labelling).code.argmax(axis=1)
    below = full.trials["y"].to_numpy() < 0.6
    middle = list(STEP["labels"]).index("middle")
    assert (full.points["subphase"] == "middle").sum() > 20
    assert (full.points["subphase"] == "middle")[below].sum() == 0
    assert (told == middle)[below].sum() <= 4
