"""Draw the gallery: every kind of picture, with its command, as docs/gallery.md and docs/images/gallery/*.png.

    python docs/gallery.py RUNS
    PYTHONPATH=EARLIER python docs/gallery.py RUNS --before   # the same with the code of an earlier checkout

RUNS holds the runs of studies/quickstart.yaml, adaptive_quickstart.yaml and paper/small/fig29_width.yaml; pictures of
what is inside networks come from a stored run of the tests, and a made-up sweep from here.
"""

import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from click.testing import CliRunner

from phasemap.cli import cli

HERE = Path(__file__).parent
IMAGES = HERE / "images" / "gallery"
SMALL = HERE.parent / "tests" / "data" / "golden" / "runs"
HEAD = """\
# Gallery

Each kind of picture with the command that draws it; `python docs/gallery.py RUNS` makes them all. `quickstart` is the
run of `studies/quickstart.yaml`, `adaptive_quickstart` a search, and `quickstart_at_200` has the labels of quickstart
at step 200. `sweep` has 160 made-up points. `records` has networks whose inside was recorded, too small (p 7, 40
steps) to mean anything. `--size one-column` or `two-column` draws any picture for a page, and `-o FILE.pdf` or `.svg`
writes vectors. Kinds that used to look different have the former picture, of the same run, beside the present one.
"""
PICTURES = (
    ("diagram", "The phase diagram", "plot quickstart"),
    ("cells", "A letter in each cell", "plot quickstart --cells"),
    ("band", "Where the frontiers may lie", "plot quickstart --band"),
    ("scale", "Axes true to scale", "plot quickstart --scale value"),
    ("metric", "A quantity as a map", "plot quickstart --metric test_accuracy"),
    ("robustness", "How robust labels are", "plot quickstart --metric robustness"),
    ("line", "A quantity over one axis", "plot quickstart --metric test_accuracy --fix corruption=0.2"),
    ("steps", "Labels over the training", "plot quickstart -x corruption -y step --facet weight_decay"),
    ("curves", "Accuracies over the training", "plot quickstart --kind curves --fix corruption=0.2"),
    ("curves_metric", "One quantity over the training",
     "plot quickstart --kind curves --metric test_accuracy -x weight_decay --fix corruption=0.2"),
    ("norms", "Weight norms", "plot quickstart --kind norms --fix corruption=0.2"),
    ("ipr", "How periodic the neurons are", "plot records --kind ipr"),
    ("neurons", "The most and least periodic neurons", "plot records --kind neurons --fix corruption=0.2"),
    ("pruning", "Pruning neurons", "plot records --kind pruning --fix corruption=0.2"),
    ("logits", "Logits of corrupted examples", "plot records --kind logits"),
    ("inferred", "A search: measured and inferred points", "plot adaptive_quickstart"),
    ("facets", "Further axes as facets", "plot small_fig29_width"),
    ("scatter", "Points that lie on no grid", "plot sweep"),
    ("grid", "The map inferred from them", "plot sweep --grid lr=24:log,wd=24:log"),
    ("difference", "Two runs and where they differ", "diff quickstart quickstart_at_200"),
)  # fmt: skip
REPORT = """\
## The report in a browser

    phasemap report quickstart

![The report](images/report.png)

| dark | on a phone |
|---|---|
| ![The report in the dark](images/report_dark.png) | ![The report on a phone](images/report_phone.png) |
"""  # screenshots by Chromium, 1280 and 500 pixels wide
RULE = """\
labels:
  generalization: test_accuracy >= 0.9
  memorization: train_accuracy >= 0.9
  confusion: otherwise
frontiers:
  border: test_accuracy = 0.9
"""
RUNS = ("quickstart", "quickstart_at_200", "adaptive_quickstart", "small_fig29_width", "sweep", "records")


def main(runs: Path, *, before: bool = False) -> None:
    """Draw all pictures and write the page; or those of an earlier checkout, without the page."""
    folder = IMAGES / "before" if before else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    make_runs(runs)
    for name, _, command in PICTURES:
        words = [str(runs / word) if word in RUNS else word for word in shlex.split(command)]
        result = CliRunner().invoke(cli, [*words, "-o", str(folder / f"{name}.png")])
        if result.exit_code and not before:
            sys.exit(f"{command}: {result.output}")
    if not before:
        parts = [HEAD, *(section(*picture) for picture in PICTURES), REPORT]
        (HERE / "gallery.md").write_text("\n".join(parts), encoding="utf-8")


def section(name: str, title: str, command: str) -> str:
    """Return a picture's part of the page."""
    now = f"![{title}](images/gallery/{name}.png)"
    if (IMAGES / "before" / f"{name}.png").exists():
        then = f"![{title}, before](images/gallery/before/{name}.png)"
        now = f"| before | now |\n|---|---|\n| {then} | {now} |"
    return f"## {title}\n\n    phasemap {command}\n\n{now}\n"


def make_runs(runs: Path) -> None:
    """Copy the stored run, as looking at a run writes its cache; and make the sweep up."""
    if not (runs / "records").exists():
        shutil.copytree(SMALL / "records", runs / "records")
    if not (runs / "quickstart_at_200").exists():
        shutil.copytree(runs / "quickstart", runs / "quickstart_at_200")
        CliRunner().invoke(cli, ["relabel", str(runs / "quickstart_at_200"), "--at-step", "200"])
    if (runs / "sweep").exists():
        return
    rng = np.random.default_rng(0)
    lr, wd = 10 ** rng.uniform(-4, 0, 160), 10 ** rng.uniform(-3, 1, 160)
    test = 1 / (1 + np.exp(-6 * (1.2 - np.abs(np.log10(lr) + 2) - 0.6 * np.abs(np.log10(wd) - 0.2))))
    table = pd.DataFrame(
        {"lr": lr, "wd": wd, "train_accuracy": np.maximum(test, (lr < 0.3) * 1.0), "test_accuracy": test}
    )
    with tempfile.TemporaryDirectory() as name:
        table.to_csv(Path(name) / "sweep.csv", index=False)
        (Path(name) / "rule.yaml").write_text(RULE)
        words = ["import", f"{name}/sweep.csv", "--axes", "lr,wd", "--rule", f"{name}/rule.yaml"]
        words += ["-o", str(runs / "sweep")]
        if (result := CliRunner().invoke(cli, words)).exit_code:
            sys.exit(result.output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), before="--before" in sys.argv)
