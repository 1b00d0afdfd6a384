"""Bands of frontiers hold what they promise on a stored run of 20 seeds, and are left out where nothing is known."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasemap as pm
from phasemap.diagram.bands import row_band, row_crossings
from phasemap.diagram.diagram import panel_rows
from phasemap.diagram.seeds import SeedMaps, resamples

BAND = Path(__file__).parent.parent / "data" / "band"


@pytest.fixture(scope="module")
def run():
    return pm.open_run(BAND)


def some_seeds(maps, seeds):
    return maps.chosen(seeds)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_90_percent_bands_of_few_seeds_hold_the_frontier_of_20(run, n):
    diagram, maps = run.diagram().data, SeedMaps.of(run.study, run.trials)
    truth = row_band(maps, diagram, 0, diagram.named("generalization"), "x", 0.9)
    random, held, by_percentiles = np.random.default_rng(0), [], []
    rows = panel_rows(run.study, diagram.x, diagram.y, {})
    for _ in range(60):
        few = some_seeds(maps, random.permutation(20)[:n])
        band = row_band(few, diagram, 0, diagram.named("generalization"), "x", 0.9)
        found = row_crossings(few, rows, diagram.x, diagram.y, diagram.named("generalization"))
        for i, row in enumerate(band.row):
            true = truth.crossing[truth.row == row]
            near = true[np.abs(true - band.crossing[i]).argmin()]
            held.append(band.low[i] <= near <= band.high[i])
            order = np.argsort(found.resampled[:, i])
            ends = np.interp([0.05, 0.95], np.cumsum(found.probability[order]), found.resampled[order, i])
            by_percentiles.append(ends[0] <= near <= ends[1])
    assert len(held) >= 300
    assert 0.85 <= np.mean(held) <= 0.96  # 0.01 for the number of draws
    assert np.mean(by_percentiles) < 0.87  # why plain percentiles are not used


def test_the_crossings_are_those_of_the_drawn_frontier(run):
    diagram = run.diagram()
    table = diagram.frontier_band("generalization")
    lines = np.concatenate(diagram.frontier("generalization"))
    values = diagram.data.y.values
    for _, row in table.iterrows():
        rank = values.index(row["weight_decay"])
        on_row = lines[np.isclose(np.interp(lines[:, 1], values, range(len(values))), rank)]
        assert np.abs(on_row[:, 0] - row["crossing"]).min() < 1e-6
        assert row["low"] <= row["crossing"] <= row["high"]


def test_wider_levels_give_wider_bands_and_other_axes_work(run):
    diagram = run.diagram()
    narrow, wide = (diagram.frontier_band(level=level) for level in (0.5, 0.95))
    assert ((wide["high"] - wide["low"]) > (narrow["high"] - narrow["low"])).all()
    along_y = diagram.frontier_band(along="y")
    assert list(along_y) == ["corruption", "crossing", "low", "high"]


def test_all_resamples_of_few_seeds_are_weighed_by_how_often_they_are_drawn():
    counts, probability = resamples(3)
    drawn = [tuple(np.bincount(one, minlength=3)) for one in itertools.product(range(3), repeat=3)]
    for row, share in zip(counts.astype(int), probability, strict=True):
        assert share == pytest.approx(drawn.count(tuple(row)) / 27)


@given(st.integers(1, 25))
def test_resamples_draw_as_many_seeds_as_there_are(n):
    counts, probability = resamples(n)
    assert (counts.sum(axis=1) == n).all()
    assert probability.sum() == pytest.approx(1)


def test_bands_are_drawn_from_three_seeds_on_and_one_seed_has_none(run):
    for n, drawn in ((1, False), (2, False), (3, True)):
        study = run.study.model_copy(update={"seeds": run.study.seeds[:n]})
        part = pm.Run.of(run.folder, study=study, points=run.points)
        assert bool(part.figure(band=True).panels[0].bands) is drawn
        if n == 1:
            with pytest.raises(pm.UserError, match="has 1 seed: no spread known"):
                part.diagram().frontier_band()
            assert "1 seed per point" in part.figure().title
