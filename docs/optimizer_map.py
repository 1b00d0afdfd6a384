"""Draw where Muon generalizes earlier than AdamW, and write the steps that the picture is drawn from.

python docs/optimizer_map.py RUN FOLDER     # steps.csv and map.png, from the run's trials
python docs/optimizer_map.py FOLDER         # map.png again, from steps.csv
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

AXES = ["weight_decay", "width", "batch_size", "learning_rate"]
BEST = "best"
"""In the place of a learning rate: that of each optimizer and seed at which it generalizes first."""
BATCHES = ["16", "64", "full"]
FULL = np.log2(3.0)  # by as much earlier has the full colour
NEITHER = "#cccccc"
COLOURS = LinearSegmentedColormap.from_list("optimizers", ["#0072b2", "white", "#d55e00"])
SCALE = Normalize(-FULL, FULL)


def steps_of(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per point and seed: the step of generalization by each optimizer, empty where it is not reached."""
    table = trials.pivot(index=[*AXES, "seed"], columns="optimizer", values="grokking_step")
    return table.reset_index().rename_axis(columns=None)


def with_best(steps: pd.DataFrame) -> pd.DataFrame:
    """Add the earliest step over the learning rates, of each optimizer and seed."""
    best = steps.groupby([*AXES[:-1], "seed"], as_index=False)[["adamw", "muon"]].min()
    return pd.concat([steps, best.assign(learning_rate=BEST)], ignore_index=True)


def compared(steps: pd.DataFrame) -> pd.DataFrame:
    """Return a row per point: ``factor``, AdamW's median step by Muon's, and in how many seeds either is earlier.

    A step that is not reached is later than any other. The factor is infinite or 0 where one of the medians is not
    reached, and nan where neither is.
    """
    rows = with_best(steps).fillna({"adamw": np.inf, "muon": np.inf})
    rows = rows.assign(muon_earlier=rows["muon"] < rows["adamw"], adamw_earlier=rows["adamw"] < rows["muon"])
    points = rows.groupby(AXES)
    medians = points[["adamw", "muon"]].median()
    with np.errstate(invalid="ignore"):
        factor = medians["adamw"] / medians["muon"]  # inf / inf is nan
    counts = points[["muon_earlier", "adamw_earlier"]].sum()
    return pd.concat([medians, factor.rename("factor"), counts, points.size().rename("seeds")], axis=1).reset_index()


def words(point: pd.Series) -> str:
    """Return what a cell says: by which factor one is earlier, ? where it isn't in all seeds; alone, few or neither."""
    if not point["muon_earlier"] and not point["adamw_earlier"]:
        return "neither"
    earlier = "muon_earlier" if point["muon_earlier"] >= point["adamw_earlier"] else "adamw_earlier"
    agreed = "" if point[earlier] == point["seeds"] else "?"
    if np.isnan(point["factor"]):  # neither in most seeds
        return "few"
    with np.errstate(divide="ignore"):
        factor = max(point["factor"], np.divide(1.0, point["factor"]))
    return (f"{factor:.1f}" if np.isfinite(factor) else "alone") + agreed


def draw(points: pd.DataFrame, path: Path) -> None:
    """Draw a panel for each width and weight decay: learning rates to the right, batch sizes up."""
    plt.style.use("phasemap.figures.phasemap")
    widths, decays = (sorted(points[name].unique()) for name in ("width", "weight_decay"))
    shape = {"nrows": len(widths), "ncols": len(decays), "squeeze": False}
    figure, panels = plt.subplots(**shape, figsize=(11, 5.6), sharex=True, sharey=True, layout="constrained")
    for width, row in zip(widths, panels, strict=True):
        for decay, panel in zip(decays, row, strict=True):
            draw_panel(panel, points[(points["width"] == width) & (points["weight_decay"] == decay)])
            panel.set_title(f"width {width}, weight decay {decay:g}")
    for panel in panels[-1]:
        panel.set_xlabel("learning rate of both; best: each one's own best")
    for panel in panels[:, 0]:
        panel.set_ylabel("batch size")
    bar = figure.colorbar(ScalarMappable(SCALE, COLOURS), ax=panels, ticks=[-FULL, -1, 0, 1, FULL])
    bar.ax.set_yticklabels(["AdamW 3 x earlier\nor alone", "2 x", "equal", "2 x", "Muon 3 x earlier\nor alone"])
    figure.suptitle(
        "Which optimizer generalizes earlier, and by which factor (medians of the seeds)\n"
        "?: not in all seeds; alone: the other doesn't in most seeds; few: neither does in most; neither: in none"
    )
    figure.savefig(path)


def draw_panel(panel: Axes, points: pd.DataFrame) -> None:
    """Draw the cells of one width and weight decay."""
    rates = [*sorted(rate for rate in points["learning_rate"].unique() if rate != BEST), BEST]
    places = [*range(len(rates) - 1), len(rates) - 0.7]  # the best apart from the others
    for _, point in points.iterrows():
        x, y = places[rates.index(point["learning_rate"])], BATCHES.index(str(point["batch_size"]))
        value = np.clip(np.log2(point["factor"]), -FULL, FULL) if point["factor"] else -FULL
        colour = NEITHER if np.isnan(value) else COLOURS(SCALE(value))
        panel.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white"))
        panel.text(x, y, words(point), ha="center", va="center", color="white" if abs(value) > 1.2 else "black")
    panel.set(xlim=(-0.5, places[-1] + 0.5), ylim=(-0.5, len(BATCHES) - 0.5))
    panel.set_xticks(places, [rate if rate == BEST else f"{rate:g}" for rate in rates])
    panel.set_yticks(range(len(BATCHES)), BATCHES)
    panel.spines[["left", "bottom"]].set_visible(False)


if __name__ == "__main__":
    *runs, folder = map(Path, sys.argv[1:])
    if runs:
        trials = pd.read_parquet(runs[0] / "trials.parquet")
        steps_of(trials).to_csv(folder / "steps.csv", index=False, float_format="%.5g")
    draw(compared(pd.read_csv(folder / "steps.csv", dtype={"batch_size": str})), folder / "map.png")
