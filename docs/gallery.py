"""Draw the gallery: every kind of picture, with its command, as docs/gallery.md and docs/images/gallery/*.png.

    python docs/gallery.py RUNS

RUNS holds the run of studies/quickstart.yaml; pictures of what is inside networks come from a stored run of the tests.
"""

import shlex
import shutil
import sys
from pathlib import Path

from click.testing import CliRunner

from phasemap.cli import cli

HERE = Path(__file__).parent
IMAGES = HERE / "images" / "gallery"
SMALL = HERE.parent / "tests" / "data" / "golden" / "runs"
HEAD = """\
# Gallery

Each kind of picture with the command that draws it, made by `python docs/gallery.py RUNS`. `quickstart` is the run of
`studies/quickstart.yaml`; `records` is a tiny network (p 7, 40 steps) that recorded its inside, too small to mean
anything. `--size one-column` or `two-column` draws any of them for a page, and `-o FILE.pdf` or `.svg` as vectors.
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
    ("neurons", "The most and the least periodic neuron", "plot records --kind neurons --fix corruption=0.2"),
    ("pruning", "Pruning neurons", "plot records --kind pruning --fix corruption=0.2"),
    ("logits", "Logits of corrupted examples", "plot records --kind logits"),
)  # fmt: skip


def main(runs: Path) -> None:
    """Draw all pictures and write the page."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for name, title, command in PICTURES:
        words = [str(place(runs, word)) if number else word for number, word in enumerate(shlex.split(command))]
        result = CliRunner().invoke(cli, [*words, "-o", str(IMAGES / f"{name}.png")])
        if not (IMAGES / f"{name}.png").exists():
            sys.exit(f"{command}: {result.output}")
        parts.append(f"## {title}\n\n    phasemap {command}\n\n![{title}](images/gallery/{name}.png)\n")
    (HERE / "gallery.md").write_text("\n".join(parts), encoding="utf-8")


def place(runs: Path, word: str) -> Path | str:
    """Return the folder of a run that a command names."""
    if word == "records" and not (runs / word).exists():
        shutil.copytree(
            SMALL / word, runs / word
        )  # looking at a run writes its cache, and what is stored stays as it is
    return runs / word if word in ("quickstart", "records") else word


if __name__ == "__main__":
    main(Path(sys.argv[1]))
