"""Runs of any size made without training: noisy curves that rise and fall, in shards like those of a real run."""

import numpy as np

from phasemap.results.folder import RunFolder, write_text
from phasemap.results.shards import write_shard
from phasemap.study.names import QUANTITIES
from phasemap.study.trials import expand
from phasemap.study.writing import dump_study
from phasemap.tasks.corruption import data_facts
from phasemap.training.recording import TrialResult, record_steps

EXAMPLES = 480
SHARD = 1000


def synthetic_run(study, root, *, status=lambda number: "ok", error=None):
    """Write a run of ``study`` below ``root``; ``status`` says how the trial of a number ended. Returns its folder."""
    folder = RunFolder(root / study.name)
    folder.create()
    write_text(folder.study, dump_study(study))
    trials = list(expand(study))
    for start in range(0, len(trials), SHARD):
        part = trials[start : start + SHARD]
        results = [result_of(trial, status(start + i), error) for i, trial in enumerate(part)]
        write_shard(folder, f"pack{start:06d}", [result for result in results if result is not None])
    return folder


def result_of(trial, status, error=None):
    """Return the result of a trial that ended so; None where it is missing."""
    if status == "missing":
        return None
    random = np.random.default_rng([int(trial.trial_id[:8], 16), trial.seed])
    steps = record_steps(trial.steps) if status != "failed" else ()
    if status == "diverged":
        steps = steps[: len(steps) // 2]
    n_corrupted = round(trial.corruption * EXAMPLES)
    return TrialResult(
        trial=trial,
        status=status,
        steps=steps,
        curves={
            name: values.tolist() for name, values in _curves(trial, np.asarray(steps), n_corrupted, random).items()
        },
        facts=data_facts(EXAMPLES, n_corrupted, 31),
        train_seconds=1.0,
        device="cpu",
        finals={"mean_ipr": float(random.random())} if status == "ok" else {},
        error=error if status == "failed" else None,
    )


def _curves(trial, steps, n_corrupted, random):
    """Return every quantity (T,); accuracies are shares of counted examples, so that they are as rough as real ones."""
    log = np.log(np.maximum(steps, 1)) / np.log(trial.steps)
    decay = trial.weight_decay / 20
    rise = 0.35 + 0.5 * trial.corruption + 0.05 * random.standard_normal()
    fit = 1 / (1 + np.exp(-20 * (log - 0.3)))
    rule = (
        1
        / (1 + np.exp(-25 * (log - rise)))
        * (decay < 0.9)
        * (trial.corruption < 0.2 + 0.5 * decay + 0.02 * random.random())
    )
    memory = fit * (1 - np.clip(1.6 * decay - trial.corruption, 0, 1) * log)

    def counted(share, n):
        noisy = np.clip(share + 0.02 * random.standard_normal(len(steps)), 0, 1)
        return np.round(noisy * n) / n if n else np.full(len(steps), np.nan)

    clean, memorized = counted(np.maximum(fit, rule), EXAMPLES - n_corrupted), counted(memory, n_corrupted)
    share = n_corrupted / EXAMPLES
    values = {
        "train_accuracy": (1 - share) * np.nan_to_num(clean) + share * np.nan_to_num(memorized),
        "test_accuracy": counted(rule, EXAMPLES),
        "clean_accuracy": clean,
        "memorized_accuracy": memorized,
        "recovered_accuracy": counted(rule * (1 - memory), n_corrupted),
        "train_loss": np.exp(-10 * fit) * (1 + 0.1 * random.random(len(steps))),
        "test_loss": np.exp(-9 * rule) * (1 + 0.1 * random.random(len(steps))),
    }
    norms = {name: 12 - 8 * decay * log + random.random(len(steps)) for name in QUANTITIES if name.startswith("weight")}
    nothing = np.full(len(steps), np.nan)
    return {name: (values | norms).get(name, nothing) for name in QUANTITIES}
