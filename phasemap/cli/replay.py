"""The command that trains one trial again."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from phasemap.cli.complete import complete_run
from phasemap.cli.shared import EXIT_FAILED, common, duration, print_result

if TYPE_CHECKING:
    from phasemap.results.curve_comparison import Deviation, Ending
    from phasemap.running.replay import Replay


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("trial_id")
@common
def replay(run: str, trial_id: str, storage: str | None, as_json: bool) -> None:
    """Train one trial of RUN alone again, and compare its curve with the stored one.

    The first 6 digits of TRIAL_ID are enough. The curve may be identical bit for bit, equal within tolerance (the same
    phase, and every quantity within 0.1 % over the first 50 steps), or different; then the exit code is 1. A diverged
    trial is equal if it diverges after the same recorded step.
    """
    from phasemap.api import open_run

    done = open_run(run, storage).replay(trial_id)
    print_result(_content(done), _text(done), as_json=as_json)
    sys.exit(EXIT_FAILED if done.comparison.verdict == "not_met" else 0)


def _text(done: Replay) -> str:
    from phasemap.results.curve_comparison import EARLY_STEPS, TOLERANCE

    comparison = done.comparison
    words = {
        "bit": "identical to the stored curve, bit for bit",
        "tolerance": f"equal to the stored curve within tolerance (relative {TOLERANCE:g} over the first {EARLY_STEPS} "
        "steps, and the same phase)",
        "not_met": "NOT equal to the stored curve",
    }
    stored, replayed = _ending(comparison.stored), _ending(comparison.replayed)
    lines = [f"trial {done.trial}: {words[comparison.verdict]}"]
    lines.append(f"stored: {stored}; replayed: {replayed}, in {duration(done.seconds)}")
    for name, deviation in comparison.deviations.items():
        if not deviation.equal:
            lines.append(
                f"{name:<20} largest deviation {deviation.largest:.3g} at step {deviation.at_step}; "
                f"relative, first {EARLY_STEPS} steps: {deviation.relative:.3g}"
            )
    return "\n".join([*lines, *done.differences])


def _ending(ending: Ending) -> str:
    after = "before the first record" if ending.last_step is None else f"after step {ending.last_step}"
    return (ending.subphase or "no label").replace("_", " ") if ending.status == "ok" else f"{ending.status} {after}"


def _content(done: Replay) -> dict[str, Any]:
    comparison = done.comparison
    return {
        "trial_id": done.trial.trial_id,
        "seed": done.trial.seed,
        "verdict": comparison.verdict,
        "stored": {**asdict(comparison.stored), "device": done.devices[0], "kernel": done.kernels[0]},
        "replayed": {**asdict(comparison.replayed), "device": done.devices[1], "kernel": done.kernels[1]},
        "quantities": {name: _deviation(deviation) for name, deviation in comparison.deviations.items()},
        "differences": list(done.differences),
        "seconds": round(done.seconds, 3),
    }


def _deviation(deviation: Deviation) -> dict[str, Any]:
    """JSON has no infinity: where only one of both curves is defined the numbers are null, and the step says where."""
    return {
        "equal": deviation.equal,
        "largest": deviation.largest if math.isfinite(deviation.largest) else None,
        "at_step": deviation.at_step,
        "relative_early": deviation.relative if math.isfinite(deviation.relative) else None,
    }
