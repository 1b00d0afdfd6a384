"""The map that scattered points give: right where it is sure, and white where nothing is known."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import slow

import phasemap as pm
from phasemap.cli import cli
from phasemap.search.scattered import inferred_tables
from phasemap.study.errors import UserError

GRID = {"lr": "33:log", "wd": 33}
N_POINTS = 150


def bumps(random, x, y):
    found = 0 * x
    for _ in range(3):
        a, b, phase = random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(0, 2 * np.pi)
        found = found + np.sin(2 * np.pi * (a * x + b * y) + phase) / 3
    return found


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def smooth(seed, x, y):
    """An accuracy and a loss that rise and fall gently."""
    random = np.random.default_rng(seed)
    accuracy = sigmoid(14 * (y - 0.5 + 0.4 * bumps(random, x, y)))
    return {"acc": accuracy, "loss": 10 ** (-3 * sigmoid(8 * (x - 0.5 + 0.5 * bumps(random, x, y))))}


def plateaus(seed, x, y):
    """A loss with jumps between three plateaus, each of which slopes."""
    random = np.random.default_rng(seed)
    levels = np.round(2 * sigmoid(40 * bumps(random, x, y)))
    return {"acc": 0.5 + 0 * x, "loss": 10 ** (levels + 0.3 * x)}


def rough(seed, x, y):
    """An accuracy with cliffs between three levels, the middle one of which is thin."""
    levels = np.round(2 * sigmoid(40 * bumps(np.random.default_rng(seed), x, y))) / 2
    return {"acc": np.clip(levels, 0.05, 0.95), "loss": 0.01 + x * y}


RULE = """
labels: {good: acc >= 0.9 and loss < 0.3, slow: acc >= 0.9, high: loss >= 50, low: loss < 5, middle: otherwise}
frontiers: {learning: acc = 0.9}
"""
KINDS = {"acc": "accuracy", "loss": "loss"}


def scattered(made, seed, folder):
    random = np.random.default_rng(100 + seed)
    x, y = random.random((2, N_POINTS))
    frame = pd.DataFrame({"lr": 10 ** (3 * x - 4), "wd": y, **made(seed, x, y)})
    (folder / "rule.yaml").write_text(RULE)
    return pm.sweeps.from_frame(frame, ["lr", "wd"], quantities=KINDS, rule=folder / "rule.yaml", run=folder / "mine")


def true_labels(made, seed, points):
    x = (np.log10(points["lr"].to_numpy()) + 4) / 3
    found = made(seed, x, points["wd"].to_numpy())
    learned, loss = found["acc"] >= 0.9, found["loss"]
    return np.select([learned & (loss < 0.3), learned, loss >= 50, loss < 5], ["good", "slow", "high", "low"], "middle")


def calibration_error(confidence, right):
    """Return the expected calibration error over ten bins of equal width (Guo et al. 2017, equation 3)."""
    bins = np.minimum((10 * confidence).astype(int), 9)
    return sum(
        (bins == k).mean() * abs(right[bins == k].mean() - confidence[bins == k].mean()) for k in np.unique(bins)
    )


FIRST = [(smooth, 0), (plateaus, 0), (rough, 0)]
MORE = [(made, seed) for made, n in ((smooth, 3), (plateaus, 3), (rough, 6)) for seed in range(1, n)]


@pytest.mark.parametrize(("made", "seed"), [*FIRST, *slow("sweeps", *MORE)])
def test_150_random_points_give_a_map_that_is_right_where_it_is_sure(made, seed, tmp_path):
    run = scattered(made, seed, tmp_path)
    points = inferred_tables(run.folder, run.study, GRID).points
    assert len(points) == 33 * 33
    right = points["subphase"].to_numpy() == true_labels(made, seed, points)
    confidence = points["confidence"].fillna(0.0).to_numpy()
    sure, known = confidence >= 0.9, points["inferred"].to_numpy()
    error = calibration_error(confidence[known], right[known])
    print(f"{made.__name__} {seed}: sure of {sure.mean():.1%}, right on {right[sure].mean():.1%}, error {error:.3f}")
    assert sure.mean() >= 0.7
    assert right[sure].mean() >= 0.95
    assert error <= 0.05


def test_it_is_white_where_no_point_is_near(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.random((2, 600))
    x, y = x[(x < 0.15) | (x > 0.85)], y[(x < 0.15) | (x > 0.85)]
    frame = pd.DataFrame({"x": x, "y": y, "tone": np.sin(12 * x) * np.sin(12 * y)})
    (tmp_path / "rule.yaml").write_text("labels: {high: tone > 0.3, low: tone < -0.3, middle: otherwise}\n")
    run = pm.sweeps.from_frame(
        frame, ["x", "y"], quantities=["tone"], rule=tmp_path / "rule.yaml", run=tmp_path / "mine"
    )
    grid = {"x": 33, "y": 33}
    points = inferred_tables(run.folder, run.study, grid).points
    middle, near = (points[points["x"].between(*ends)] for ends in ((0.4, 0.6), (0.0, 0.13)))
    assert middle["subphase"].isna().mean() > 0.75
    assert middle["tone"].isna().equals(middle["subphase"].isna())
    assert not middle.loc[middle["subphase"].isna(), "inferred"].any()
    assert near["subphase"].notna().mean() > 0.9
    marks = run.figure(grid=grid).panels[0].marks
    assert (marks == "nothing_known").sum() == points["subphase"].isna().sum()


def test_the_picture_shows_the_map_its_bands_and_where_was_measured(tmp_path):
    run = scattered(smooth, 0, tmp_path)
    spec = run.figure(grid=GRID)
    panel = spec.panels[0]
    assert panel.marks.shape == (33, 33)
    assert panel.inferred.sum() >= 33 * 33 - N_POINTS
    assert panel.bands
    trials = run.trials
    assert sorted(panel.dots.x) == sorted(trials["lr"])
    assert dict(zip(panel.dots.x, panel.dots.marks, strict=True)) == dict(
        zip(trials["lr"], trials["subphase"], strict=True)
    )
    assert spec.title == f"mine, inferred from {N_POINTS} measured points"
    assert "0.01" in spec.x.tick_labels  # round numbers, and not the values of the grid
    assert not any("measured" in text for text in spec.key if text.startswith("dot"))
    plt.close(run.plot(grid=GRID))
    values = run.figure(grid=GRID, metric="loss").panels[0]
    assert values.dots.values.tolist() == trials["loss"].tolist()
    assert np.nanmax(run.figure(grid=GRID, metric="confidence").panels[0].values) <= 1
    assert run.figure().panels[0].x.shape == (N_POINTS,)  # without a grid the points alone


def test_letters_may_be_signs_that_formulas_use(tmp_path):
    run = scattered(smooth, 0, tmp_path)
    letters = ["$", "_", "\\", "^", "é"]
    rule = {"labels": {f"l{n}": {"when": f"acc > {0.8 - n / 5}", "letter": one} for n, one in enumerate(letters)}}
    (tmp_path / "signs.yaml").write_text(yaml.safe_dump(rule))
    labelled = pm.relabel(run, str(tmp_path / "signs.yaml"))
    figure = labelled.plot()
    figure.canvas.draw()
    drawn = [sum(len(path.vertices) for path in one.get_paths()) for one in figure.axes[0].collections]
    assert len(drawn) == 2 * labelled.trials["subphase"].nunique()  # of each label its points, and its letters
    assert min(drawn) > 0
    plt.close(figure)


def test_curves_need_a_grid_and_say_so(tmp_path):
    run = scattered(smooth, 0, tmp_path)
    for chosen in ({}, {"metric": "acc", "x": "lr"}):
        with pytest.raises(UserError, match="the points of mine lie on no grid, and --kind curves draws a panel for"):
            run.figure("curves", **chosen)


def test_a_grid_that_was_imported_is_the_run_s_picture(tmp_path):
    x, y = np.random.default_rng(0).random((2, 60))
    pd.DataFrame({"lr": 10 ** (3 * x - 4), "wd": y, "score": x - y}).to_csv(tmp_path / "sweep.csv", index=False)
    asked = ["import", str(tmp_path / "sweep.csv"), "--axes", "lr,wd", "--quantities", "score"]
    target = ["-o", str(tmp_path / "mine")]
    assert CliRunner().invoke(cli, [*asked, "--grid", "lr=12:log,wd=11", *target]).exit_code == 0
    run = pm.open_run(tmp_path / "mine")
    assert run.study.inferred_grid == {"lr": "12:log", "wd": "11"}
    spec = run.figure(metric="score")  # without labels: the quantity alone
    assert spec.panels[0].values.shape == (11, 12)
    there = np.isfinite(spec.panels[0].values)
    lr, wd = np.meshgrid(np.sqrt(spec.x.edges[1:] * spec.x.edges[:-1]), (spec.y.edges[1:] + spec.y.edges[:-1]) / 2)
    truth = (np.log10(lr) + 4) / 3 - wd
    assert np.abs(spec.panels[0].values - truth)[there].max() < 0.15
    assert there.mean() > 0.9
    assert CliRunner().invoke(cli, [*asked, *target]).exit_code == 0
    assert pm.open_run(tmp_path / "mine").study.inferred_grid == {"lr": "12:log", "wd": "11"}


def test_whole_numbers_stay_whole_and_few_values_stay_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    x = random.random(80)
    depth, kind = random.integers(1, 40, 80), random.choice(["adam", "sgd"], 80)
    frame = pd.DataFrame({"x": x, "depth": depth, "kind": kind, "score": x * depth})
    run = pm.sweeps.from_frame(frame, ["x", "depth", "kind"], quantities=["score"], run=tmp_path / "mine")
    tables = inferred_tables(run.folder, run.study, {"x": 9, "depth": "10"})
    assert tables.study.axis("kind").values == ("adam", "sgd")
    assert all(isinstance(value, int) for value in tables.study.axis("depth").values)
    assert len(tables.points) == 9 * 10 * 2
    assert len(run.figure(grid={"x": 9, "depth": 10}, metric="score").panels) == 2


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"lr": 33}, "wd has 150 values on no grid; needed: --grid wd=N"),
        ({"lr": "33:cubic", "wd": 9}, "--grid lr=33:cubic is not allowed"),
        ({"lr": 1, "wd": 9}, "--grid lr=1 is not allowed"),
        ({"lr": 9999, "wd": 9999}, "points; allowed: at most"),
        ({"lr": 9, "wb": 9}, "--grid wb: no such axis"),
    ],
)
def test_a_grid_that_can_not_be_is_refused(grid, told, tmp_path):
    run = scattered(smooth, 0, tmp_path)
    with pytest.raises(UserError, match=told.replace("(", r"\(")):
        run.figure(grid=grid)
    with pytest.raises(UserError, match="--grid has no meaning with --kind curves"):
        run.figure("curves", grid={"lr": 9, "wd": 9})


def test_a_run_on_a_grid_has_no_grid_to_infer(tmp_path):
    frame = pd.DataFrame({"lr": [0.1, 0.2, 0.3], "score": [1.0, 2.0, 3.0]})
    run = pm.sweeps.from_frame(frame, ["lr"], quantities=["score"], run=tmp_path / "mine")
    with pytest.raises(UserError, match="lie on a grid"):
        run.figure(grid={"lr": 9})
