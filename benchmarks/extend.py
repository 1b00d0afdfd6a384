"""What a training that goes on costs, and one whose beginning several trials share, against their steps alone.

    python benchmarks/extend.py [--repeats 9]

A run of 1,000 steps is trained on to 4,000, against what its missing 3,000 steps cost in one training of 4,000.

Both are trained as packs, with what a worker does beside: the states are written, read again and put in place. What the
missing steps cost is the time of the long training less that of the short one, by this process's own time. All three
take turns; the ratio is given of each turn, and their median, of which other work on the machine takes least.

Networks whose weight decay changes after three different steps, to two values, are trained as one pack, which takes
what they share once, against as many steps (each of them counted once) of the same networks without a change.

Says also whether all curves are equal to the bit: of the extension those of the long training, of the branches those of
each trial alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import report

from phasemap.study.file import parse_study
from phasemap.study.networks import NetworkTrial
from phasemap.study.prefixes import Prefixes, former_trial
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import expand, networks
from phasemap.study.yaml_lines import parse_document
from phasemap.training.population import train_pack
from phasemap.training.recording import TrialResult
from phasemap.training.states import read_start

SHORT, LONG = 1000, 4000
RECORD = ("state",)
CPU = torch.device("cpu")


def study_of(steps: int) -> Study:
    """Return four networks of the quickstart's shape."""
    text = (
        "name: extend\ntask: {kind: modular_addition, modulus: 31}\nmodel: {width: 128}\n"
        f"training: {{steps: {steps}}}\naxes: {{corruption: [0, 0.3], weight_decay: [0, 5]}}\n"
        "fixed: {data_fraction: 0.75}\nrecord: [state]\n"
    )
    return parse_study(parse_document(text, "extend.yaml"))


def branches() -> list[NetworkTrial]:
    """Return seven trials of each of four networks: one without a change, and six that leave it at three steps."""
    text = (
        "name: branches\ntask: {kind: modular_addition, modulus: 31}\nmodel: {width: 128}\n"
        f"training: {{steps: {LONG}}}\naxes: {{corruption: [0, 0.3], learning_rate: [0.003, 0.01], "
        "weight_decay_schedule: [null, {1000: 0}, {1000: 9}, {2000: 0}, {2000: 9}, {3000: 0}, {3000: 9}]}\n"
        "fixed: {data_fraction: 0.75, weight_decay: 3}\n"
    )
    return networks(expand(parse_study(parse_document(text, "branches.yaml"))))


def branching() -> tuple[float, bool]:
    """Return the time of a pack with branches by that of as many steps without; whether its curves are right."""
    trials = branches()
    plain = [trial for trial in trials if not trial.events]
    steps = sum(Prefixes(trials).costs(LONG))
    straight, _ = timed(lambda: train_pack(plain, device=CPU))
    branched, shared = timed(lambda: train_pack(trials, device=CPU))
    number = next(number for number, trial in enumerate(trials) if trial.events)
    (alone,) = train_pack([trials[number]], device=CPU)
    return branched / straight * len(plain) * LONG / steps, str(alone.curves) == str(shared[number].curves)


def timed(work: Callable[[], list[TrialResult]]) -> tuple[float, list[TrialResult]]:
    """Return this process's seconds, and what was trained."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def train(steps: int) -> list[TrialResult]:
    return train_pack(networks(expand(study_of(steps))), device=CPU, record=RECORD)


def extend(results: list[TrialResult], folder: Path) -> list[TrialResult]:
    """Write the ends of short trainings, and train them on."""
    study = study_of(LONG)
    assert isinstance(study, NetworkStudy)
    trials = networks(expand(study))
    starts = []
    for trial, result in zip(trials, results, strict=True):
        assert result.state is not None
        path = folder / f"{result.trial.trial_id}.pt"
        path.write_bytes(result.state)
        start = read_start(path, former_trial(study, trial, SHORT), trial, RECORD)
        assert start is not None
        starts.append(start)
    return train_pack(trials, device=CPU, record=RECORD, starts=starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    ratios, shares, rows, equal = [], [], [], True
    train(10)  # to warm up
    for _ in range(parser.parse_args().repeats):
        short, former = timed(lambda: train(SHORT))
        with tempfile.TemporaryDirectory() as folder:
            rest, extended = timed(lambda former=former, folder=folder: extend(former, Path(folder)))  # type: ignore[misc]
        whole, long = timed(lambda: train(LONG))
        ratios.append(rest / (whole - short))
        rows.append({"short": short, "extension": rest, "long": whole})
        equal &= all(str(a.curves) == str(b.curves) for a, b in zip(extended, long, strict=True))
        ratio, same = branching()
        shares.append(ratio)
        equal &= same
    shortest = {name: min(row[name] for row in rows) for name in rows[0]}
    results = {
        **{f"{name}_seconds": round(seconds, 3) for name, seconds in shortest.items()},
        "extension_against_the_missing_steps": round(statistics.median(ratios), 3),
        "of_each_turn": [round(ratio, 3) for ratio in ratios],
        "branches_against_their_distinct_steps": round(statistics.median(shares), 3),
        "branches_of_each_turn": [round(ratio, 3) for ratio in shares],
        "equal_to_the_bit": equal,
    }
    report("extend", results, steps=[SHORT, LONG], trials=4)


if __name__ == "__main__":
    main()
