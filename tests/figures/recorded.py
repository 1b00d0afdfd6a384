"""Plausible records of the inside of networks: what neurons.parquet holds, made without training."""

import numpy as np
import pandas as pd

FLOATS = (
    "value", "ipr", "ipr_no_constant", "ipr_relative", "gain", "norm_u", "norm_v", "norm_w",
    "weight_u", "weight_v", "weight_w", "power_u", "power_v", "power_w",
    "train_accuracy", "test_accuracy", "clean_accuracy", "memorized_accuracy", "recovered_accuracy",
    "train_loss", "test_loss", "logit", "logit_true", "logit_given", "logit_other",
)  # fmt: skip
INTEGERS = ("neuron", "true_class", "given_class")
COLUMNS = ("trial_id", "record", "step", "series", "index", *INTEGERS, *FLOATS)


def neuron_frame(trials, *, records=("ipr", "neurons", "pruning", "logits", "norms", "extracted"), p=31, gain=False):
    """Return the records of trials (with trial_id, width, steps, seed) as the table of a run."""
    makers = {
        "ipr": _ipr, "neurons": _neurons, "pruning": _pruning, "logits": _logits, "norms": _norms,
        "extracted": _extracted,
    }  # fmt: skip
    parts = []
    for row in trials.itertuples():
        random = np.random.default_rng([int(row.trial_id[:8], 16), int(row.seed)])
        for record in records:
            for step, series, columns in makers[record](row, p, random, gain):
                parts.append(
                    pd.DataFrame(columns).assign(trial_id=row.trial_id, record=record, step=step, series=series)
                )
    frame = pd.concat(parts).reindex(columns=COLUMNS)
    kinds = dict.fromkeys(FLOATS, "float64") | dict.fromkeys(INTEGERS, "Int64") | {"index": "int64"}
    return frame.astype(kinds).reset_index(drop=True)


def steps_of(row):
    return np.unique(np.geomspace(1, row.steps, 18).round().astype(int))


def _iprs(row, share, random):
    """Two heaps: a share of the neurons has become periodic."""
    periodic = random.random(row.width) < 0.6
    return np.clip(np.where(periodic, 0.08 + 0.8 * share, 0.08) + 0.03 * random.standard_normal(row.width), 0.03, 1)


def _ipr(row, p, random, gain):
    for step in steps_of(row):
        values = _iprs(row, np.log(step) / np.log(row.steps), random)
        yield step, "all", {
            "index": range(row.width), "ipr": values, "ipr_no_constant": values * 0.97, "ipr_relative": values / 0.08,
        }  # fmt: skip


def _neurons(row, p, random, gain):
    for step, share in ((1, 0.0), (row.steps, 1.0)):
        values = _iprs(row, share, random)
        norms = {f"norm_{part}": 1 + 0.1 * random.standard_normal(row.width) for part in "uvw"}
        gains = np.ones(row.width) if step == 1 else values + 0.1 * random.standard_normal(row.width)
        yield step, "all", {"index": range(row.width), "ipr": values, **({"gain": gains} if gain else {}), **norms}
        for series, periodic in (("highest", share), ("lowest", 0.0)):
            tokens = np.arange(p)
            columns = {"index": tokens, "neuron": 3 if series == "highest" else 5}
            for number, part in enumerate("uvw"):
                wave = periodic * np.cos(2 * np.pi * 4 * tokens / p + number) + 0.3 * random.standard_normal(p)
                power = np.full(p, np.nan)
                power[: p // 2 + 1] = np.abs(np.fft.rfft(wave)) ** 2
                columns |= {f"weight_{part}": wave, f"power_{part}": power / np.nansum(power)}
            yield step, series, columns


def _pruning(row, p, random, gain):
    levels = np.unique(np.linspace(0, row.width, min(row.width + 1, 128)).astype(int))
    share = levels / row.width
    memorized = {
        "lowest_first": 1 / (1 + np.exp(20 * (share - 0.2))),
        "highest_first": 1 - share**6,
        "random": 1 - share,
    }
    test = {"lowest_first": 1 - share**8, "highest_first": 1 / (1 + np.exp(20 * (share - 0.3))), "random": 1 - share**3}
    for order in ("lowest_first", "highest_first", "random"):
        yield row.steps, order, {
            "index": levels, "memorized_accuracy": memorized[order], "test_accuracy": test[order],
            "clean_accuracy": test[order], "recovered_accuracy": test[order] * (1 - memorized[order]),
            "train_accuracy": 0.7 * test[order] + 0.3 * memorized[order],
            "train_loss": 0.001 + 0.03 * share, "test_loss": 0.002 + 0.03 * share,
        }  # fmt: skip


def _logits(row, p, random, gain):
    if row.corruption == 0:
        return
    n = 200
    true, given = random.integers(0, p, n), random.integers(0, p, n)
    yield row.steps, "corrupted", {
        "index": range(n), "true_class": true, "given_class": given,
        "logit_true": 0.8 + 0.1 * random.standard_normal(n), "logit_given": 0.4 + 0.1 * random.standard_normal(n),
        "logit_other": 0.1 + 0.03 * random.standard_normal(n),
    }  # fmt: skip
    for number in range(6):
        logits = 0.05 * random.standard_normal(p)
        logits[true[number]], logits[given[number]] = 0.8, 0.4
        yield row.steps, f"example-{number}", {
            "index": range(p), "logit": logits, "true_class": true[number], "given_class": given[number],
        }  # fmt: skip


def _norms(row, p, random, gain):
    for step in steps_of(row):
        for name in ("U", "V", "W"):
            yield step, name, {"index": [0], "value": [5 + np.log(step)]}


def _extracted(row, p, random, gain):
    for step in steps_of(row):
        yield step, "extracted_accuracy", {"index": [0], "value": [np.log(step) / np.log(row.steps)]}
