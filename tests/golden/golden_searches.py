"""What searches ask for, round by round, with fixed answers: of studies, and of the sampler in a plain Optuna study.

The answers are made up and coarse (accuracies in fortieths) and the maps are small, so that the model of a boundary
search prefers a point by more than the last bits of a number, which differ between processors.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from golden_files import Golden

import phasemap as pm
from phasemap.results.merge import trial_table
from phasemap.results.shards import shard_table
from phasemap.search.study_search import StudySearch
from phasemap.study.file import load_study
from phasemap.study.identity import Trial
from phasemap.study.names import QUANTITIES
from phasemap.study.spec import PhaseRule
from phasemap.tasks.corruption import data_facts
from phasemap.training.recording import TrialResult

STUDY = """
name: asked
task: {{kind: modular_addition, modulus: 23}}
training: {{steps: 100}}
axes:
  corruption: {{start: 0, stop: 0.5, num: 7}}
  weight_decay: [0, 1, 2, 4, 8, 16]
seeds: {seeds}
search: {search}
"""

SEARCHES = {
    "boundary": (2, "{kind: boundary, budget: 30, tolerance: 0}"),
    "boundary, one seed, inversion": (1, "{kind: boundary, budget: 24, tolerance: 0, metric: inversion}"),
    "boundary, another seed": (2, "{kind: boundary, budget: 24, tolerance: 0}"),
    "random": (2, "{kind: random, budget: 24}"),
    "sobol": (2, "{kind: sobol, budget: 24}"),
}
SEEDS = {"boundary, another seed": 7}
AT_ONCE = 6
EXAMPLES, STEPS = 400, (1, 10, 50, 100)
GRAIN = 40


def answer(trial: Trial) -> pd.DataFrame:
    """Return the row of a trial: the more decay the less is memorized, the more corruption the less is learnt."""
    place = 0.09 * math.log2(1 + trial.weight_decay) - trial.corruption + 0.02 * trial.seed
    test = _share(1 / (1 + math.exp(-14 * (place + 0.18))))
    memorized = _share(1 / (1 + math.exp(9 * (place + 0.02)))) if trial.weight_decay < 12 else _share(0.1)
    n_corrupted = round(trial.corruption * EXAMPLES)
    share = n_corrupted / EXAMPLES
    final = {
        "test_accuracy": test,
        "clean_accuracy": max(test, memorized),
        "memorized_accuracy": memorized if n_corrupted else math.nan,
        "recovered_accuracy": _share(test * (1 - memorized)) if n_corrupted else math.nan,
        "train_accuracy": share * memorized + (1 - share) * max(test, memorized),
    }
    curves = {name: [final.get(name, math.nan)] * len(STEPS) for name in QUANTITIES}
    result = TrialResult(
        trial=trial, status="ok", steps=STEPS, curves=curves, facts=data_facts(EXAMPLES, n_corrupted, 23),
        train_seconds=1.0, device="cpu",
    )  # fmt: skip
    return trial_table(shard_table("pack", [result]), PhaseRule())


def _share(value: float) -> float:
    return round(GRAIN * value) / GRAIN


def asked(name: str) -> dict[str, Any]:
    """Return the points and seeds that a study's search asks for in each round, when all others are told."""
    seeds, search = SEARCHES[name]
    text = STUDY.format(seeds=seeds, search=search)
    Path("study.yaml").write_text(text)
    study, seed = load_study("study.yaml"), SEEDS.get(name, 0)
    empty = answer_of_none()
    driven, rounds = StudySearch(study, empty, seed=seed), []
    while trials := driven.ask(AT_ONCE):
        rounds.append([f"{t.corruption:.6g} {t.weight_decay:g} seed {t.seed}" for t in trials])
        driven.tell(pd.concat(map(answer, trials)))
    return {"study": text, "seed": seed, "at once": AT_ONCE, "rounds": rounds}


def answer_of_none() -> pd.DataFrame:
    return trial_table(shard_table("pack", []), PhaseRule())


def label(x: float, y: float) -> str:
    """Name a point of the sampler's map: a disc, and what is left and right of it."""
    if x**2 + math.log10(y) ** 2 < 0.5:
        return "inside"
    return "left" if x < 0.1 else "right"


def sampled(seed: int, kind: str) -> dict[str, Any]:
    """Return the points that the sampler takes one after the other, where each is told before the next is asked."""
    sampler = pm.BoundarySampler(seed=seed, resolution=9, batch_size=4)
    with quiet():
        study = optuna.create_study(sampler=sampler)
        study.optimize(OBJECTIVES[kind], n_trials=40)
    return {"seed": seed, "points": [[f"{v:.9g}" if isinstance(v, float) else v for v in t.params.values()]
                                     for t in study.trials]}  # fmt: skip


def numbers(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 0.1, 10, log=True)
    trial.set_user_attr("label", label(x, y))
    return 0.0


def choices(trial: optuna.Trial) -> float:
    n, kind = trial.suggest_int("n", 1, 13, step=2), trial.suggest_categorical("kind", ["a", "b", "c"])
    x = trial.suggest_float("x", 0.0, 0.5, step=0.1)
    trial.set_user_attr("label", "high" if n * x > 2 or (kind == "b" and n > 6) else "low")
    return 0.0


OBJECTIVES = {"numbers": numbers, "choices": choices}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


GOLDEN = (
    *(Golden(name=f"search_{n.replace(',', '').replace(' ', '_')}", make=partial(asked, n)) for n in SEARCHES),
    Golden(name="sampler_numbers", make=partial(sampled, 0, "numbers")),
    Golden(name="sampler_choices", make=partial(sampled, 3, "choices")),
)
