"""What a new study starts from: commented templates, and the studies that ship with phasemap."""

from __future__ import annotations

from pathlib import Path

from phasemap.study.errors import UserError, did_you_mean

NETWORKS = """\
# A phasemap study. Check it with `phasemap plan {name}.yaml`, run it with `phasemap run {name}.yaml`.
name: "{name}"                   # also the name of the run's folder
question: Where does weight decay turn memorization into generalization?

task:
  kind: modular_addition         # or modular_multiplication, images (dataset: digits), arrays (path: mine.npz)
  modulus: 31                    # the number of classes; the data set is all modulus^2 pairs
  corruption_kind: symmetric     # or asymmetric (matrix: file.csv), pair_flip, shift, region, instance

model:                           # f(m, n) = W phi(U e_m + V e_n)
  activation: square             # or relu
  width: 128                     # hidden units

training:
  steps: 1000
  learning_rate: 0.01
  loss: mse                      # or cross_entropy

axes:                            # every combination is one point of the map; any trial setting can be an axis
  corruption: {{start: 0.0, stop: 0.6, num: 7}}        # share of training labels that are corrupted
  weight_decay: [0, 1, 3, 5, 10, 15, 20, 30]         # or start, stop, num and scale: log

fixed:                           # what is not an axis
  data_fraction: 0.75            # share of the pairs that is trained on
  dropout: 0.0

seeds: 3                         # networks per point

phases: {{rule: memorized_fraction, generalized: 0.9, memorized: 0.9}}    # or rule: doshi2024

claims:                          # tested by `phasemap check`: each holds, fails or is undecided over the seeds
  - area(full_inversion, weight_decay=10) > area(full_inversion, weight_decay=0)
"""

PROGRAM = """\
# A phasemap study of your own training function. Check it with `phasemap plan {name}.yaml --measure`, which runs one
# trial, and run it with `phasemap run {name}.yaml`.
name: "{name}"                   # also the name of the run's folder
program: train.py:train          # the function; its keyword parameters are the settings

axes:                            # every combination is one point of the map; any parameter can be an axis
  learning_rate: {{start: 0.01, stop: 1, num: 5, scale: log}}
  corruption: [0, 0.1, 0.2, 0.3, 0.4]

fixed:                           # what is not an axis; the others keep their default
  steps: 200

seeds: 3                         # trainings per point
"""

FUNCTION = '''\
"""A training function to start from: logistic regression on made-up data. Replace it with your own."""

import numpy as np

import phasemap as pm

ROWS, FEATURES = 400, 30


@pm.program(quantities={"test_accuracy": "accuracy", "train_loss": "loss"})
def train(trial: pm.TrialContext, *, learning_rate: float, corruption: float = 0.0, steps: int = 200):
    rng = trial.rng("data")  # of the trial's seed: the same data at every point of the map
    inputs = rng.normal(size=(2 * ROWS, FEATURES))
    true = (inputs @ rng.normal(size=FEATURES) > 0).astype(int)
    labels = trial.corrupt(true[:ROWS], corruption)  # .given: some are wrong now
    weights = np.zeros(FEATURES)
    for step in trial.steps(steps):  # 1, 2, ..., steps; with state=... it goes on after a kill
        answers = 1 / (1 + np.exp(-inputs @ weights))
        given = np.asarray(labels.given)
        loss = np.mean(np.logaddexp(0, -(2 * given - 1) * (inputs[:ROWS] @ weights)))
        predicted = (answers > 0.5).astype(int)
        trial.report(step, train_loss=loss, **trial.score(labels, predicted[:ROWS], predicted[ROWS:], true[ROWS:]))
        weights -= learning_rate * inputs[:ROWS].T @ (answers[:ROWS] - given) / ROWS
'''
INSTALLED, CHECKOUT = "_studies", "studies"  # where the studies are: inside a wheel, and beside the package


def template(name: str) -> str:
    """Return a commented study to start from."""
    return NETWORKS.format(name=name)


def program_template(name: str) -> str:
    """Return a commented study of the function in train.py beside it."""
    return PROGRAM.format(name=name)


def shipped_studies() -> dict[str, Path]:
    """Return the studies that ship with phasemap, by their names: quickstart, paper/small/fig02_grokking and so on."""
    package = Path(__file__).parents[1]
    inside = package / INSTALLED
    root = inside if inside.is_dir() else package.parent / CHECKOUT
    paths = sorted(root.rglob("*.yaml"), key=lambda path: (len(path.relative_to(root).parts), path))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}


def shipped_study(name: str) -> Path:
    """Return a shipped study's file; UserError if there is none of this name."""
    known = shipped_studies()
    if name not in known:
        hint = did_you_mean(name, known)
        raise UserError(f"--from {name} is not a study that ships with phasemap{hint}; allowed: see phasemap studies")
    return known[name]


def summary_of(path: Path) -> str:
    """Return the first sentence of the comment that a study starts with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("# "):
            break
        comment.append(line.removeprefix("# ").strip())
    text = " ".join(comment)
    return text.partition(". ")[0].rstrip(".")


def files_beside(path: Path) -> list[Path]:
    """Return the data files that a shipped study names."""
    text = path.read_text(encoding="utf-8")
    return [other for other in path.parent.iterdir() if other.suffix not in (".yaml", ".md") and other.name in text]
