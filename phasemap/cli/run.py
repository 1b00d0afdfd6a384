"""Commands that train, or say what training would take."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasemap.cli.shared import (
    EXIT_FAILED,
    common,
    duration,
    print_result,
    runner_options,
    search_words,
    set_option,
    summary,
)

if TYPE_CHECKING:
    from phasemap.api import Run
    from phasemap.planning.plan import Plan
    from phasemap.results.folder import RunFolder
    from phasemap.running.driver import Outcome
    from phasemap.study.spec import Study
    from phasemap.sweeps.tracking import Tracking

UNKNOWN = "unknown until the first trial"  # what a program would take


TRACKERS = ("tensorboard", "mlflow", "wandb")


def _tracking(folder: RunFolder, names: tuple[str, ...], *, fresh: bool) -> Tracking:
    """Return what logs a run's trials; with --fresh the old folder must be set aside first, not with the new logs."""
    from phasemap.study.errors import UserError
    from phasemap.sweeps.tracking import tracking

    if fresh and folder.study.exists():
        raise UserError("--track and --fresh are not allowed together; allowed: another --storage, or one of the two")
    return tracking(folder, names)


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@common
@set_option
@runner_options
@click.option("--retry-failed", is_flag=True, help="Train only the trials that failed before.")
@click.option("--fresh", is_flag=True, help="Move the run's old folder aside and start over.")
@click.option("--track", type=click.Choice(TRACKERS), multiple=True, help="Log each trial when it ends.")
@click.option("--accept-source", is_flag=True, help="Continue although the program's code has changed.")
def run(
    study: Path, storage: str | None, as_json: bool, overrides: tuple[str, ...], track: tuple[str, ...], **options: Any
) -> None:
    """Run STUDY, or continue its run: only what is missing is trained."""
    from phasemap.api import Run, execute
    from phasemap.results.folder import run_folder
    from phasemap.running.driver import RunOptions
    from phasemap.study.file import load_study

    loaded = load_study(study, overrides)
    folder = run_folder(storage, loaded.name)
    interrupt_on_terminate()
    tracked = _tracking(folder, track, fresh=options["fresh"]) if track else None
    on_stored = tracked.stored if tracked else lambda _: None
    told = RunOptions(on_plan=partial(_tell_plan, loaded), on_stored=on_stored, **options)
    outcome = execute(loaded, folder, told)
    if tracked:
        tracked.ended()
        for name, why in tracked.failed.items():
            click.echo(f"--track {name} stopped: {why}", err=True)
    _tell_outcome(loaded, Run(folder), outcome, as_json=as_json)


@click.command()
@click.argument("run")
@common
@click.option("--steps", type=click.IntRange(min=1), required=True, help="The new number of steps.")
@runner_options
def extend(run: str, storage: str | None, as_json: bool, steps: int, **options: Any) -> None:
    """Train the networks of RUN for more steps, from where they ended; its study needs record: [state]."""
    from phasemap.api import Run, execute
    from phasemap.results.folder import find_run
    from phasemap.running.driver import RunOptions
    from phasemap.running.extension import longer_study

    folder = find_run(run, storage)
    study = longer_study(folder, steps)
    interrupt_on_terminate()
    outcome = execute(study, folder, RunOptions(longer=True, on_plan=partial(_tell_plan, study), **options))
    _tell_outcome(study, Run(folder), outcome, as_json=as_json)


def _tell_outcome(study: Study, done: Run, outcome: Outcome, *, as_json: bool) -> None:
    """Say how a run ended, and end with its exit code."""
    for trial_id in outcome.failures:
        error = done.trials.set_index("trial_id").at[trial_id, "error"]
        click.echo(f"failed: trial {trial_id}: {error}", err=True)
    if outcome.mixture:
        click.echo(outcome.mixture, err=True)
    content = {
        "run": done.location,
        "n_trials": outcome.n_trials,
        "n_trained": outcome.n_trained,
        "n_reused": outcome.n_reused,
        "failures": list(outcome.failures),
        "n_diverged": done.counts("status").get("diverged", 0),
        "phase_counts": done.counts("phase"),
    }
    if study.search.kind != "grid":
        content |= {"expected_wrong": done.expected_wrong, "map": search_words(done)}
    print_result(content, summary(content), as_json=as_json)
    sys.exit(EXIT_FAILED if outcome.failures else 0)


def _tell_plan(study: Study, plan: Plan) -> None:
    """Say what a run has to do, before it starts."""
    from phasemap.planning.calibration import Calibration
    from phasemap.planning.estimate import estimate
    from phasemap.study.trials import count_trials

    for change in plan.changes:
        click.echo(f"changed: {change}", err=True)
    calibration = plan.calibration() if plan.program else Calibration()
    seconds = plan.core_seconds(calibration)
    core_time = f"time {UNKNOWN}" if math.isnan(seconds) else f"about {duration(seconds)} of one core"
    if plan.card_share and plan.packs:
        hours = estimate(plan, study.resources, os.cpu_count() or 1, Calibration())["gpu_hours"]
        source = "" if plan.card_share.measured(plan.packs) else ", from assumed rates: see phasemap plan"
        core_time = f"about {duration(3600 * hours)} of {plan.card_share.card}{source}"
    if study.record:
        core_time += ", plus the time that record takes: see phasemap plan"
    if plan.adaptive:
        text = f"a search of {count_trials(study)} trials; {plan.n_reused} reused, at most {plan.n_missing} to train"
    else:
        text = f"{plan.n_trials} trials; {plan.n_reused} reused, {plan.n_missing} to train {plan.pack_words}"
    click.echo(f"{study.name}: {text} ({core_time})", err=True)
    if plan.former:
        click.echo(f"{len(plan.left)} of them continue from the end of a shorter training", err=True)
    for notice in _notices(plan):
        click.echo(notice, err=True)
    if plan.packs and plan.kernel.notice:
        click.echo(plan.kernel.notice, err=True)


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@common
@set_option
@click.option("--cpus", type=click.IntRange(min=1), help="CPUs to plan for; default those of this machine.")
@click.option(
    "--measure", is_flag=True, help="Time one trial of a program, for at most 60 s; it is kept if it finishes."
)
@click.option(
    "--gpu-memory", metavar="GB", type=click.FloatRange(min=1), help="Plan for a GPU of this memory on another machine."
)
def plan(
    study: Path,
    storage: str | None,
    as_json: bool,
    overrides: tuple[str, ...],
    cpus: int | None,
    measure: bool,
    gpu_memory: float | None,
) -> None:
    """Estimate what running STUDY would take: how many trials are missing, in how many packs, time and memory."""
    from phasemap.planning.estimate import estimate
    from phasemap.planning.plan import check_folder, make_plan
    from phasemap.results.folder import run_folder
    from phasemap.running.devices import card_share_for_plan
    from phasemap.study.file import load_study

    loaded = load_study(study, overrides)
    folder = run_folder(storage, loaded.name)
    if measure:
        _measure(loaded, folder)
    changes = check_folder(loaded, folder)
    share = card_share_for_plan(loaded, folder, gpu_memory)
    made = make_plan(loaded, folder, changes=changes, card_share=share).measured()
    cost = estimate(made, loaded.resources, cpus or os.cpu_count() or 1, made.calibration())
    known = {name: None if math.isnan(value) else value for name, value in cost.items()}
    print_result(_plan_content(loaded, made, known), _plan_text(loaded, made, cost, known), as_json=as_json)


def _plan_content(study: Study, made: Plan, known: Mapping[str, float | None]) -> dict[str, Any]:
    from phasemap.study.trials import count_trials

    content = {
        "study": study.name,
        "n_points": study.n_points,
        "n_grid_trials": count_trials(study),
        "n_trials": made.n_trials,
        "n_reused": made.n_reused,
        "n_missing": made.n_missing,
        "n_packs": len(made.packs),
        "changes": made.changes,
        **known,
    }
    if made.card_share:
        content |= {"card": str(made.card_share.card), "measured": made.card_share.measured(made.packs)}
    if made.state_bytes:
        content["state_bytes"] = made.state_bytes
    if notices := _notices(made):
        content["notices"] = notices
    return content


def _plan_text(study: Study, made: Plan, cost: Mapping[str, float], known: Mapping[str, float | None]) -> str:
    from phasemap.study.trials import count_trials

    most, how = ("", made.pack_words) if study.search.kind == "grid" else ("at most ", _search(study))
    lines = [
        f"{study.name}: {study.n_points} points x {len(study.seeds)} seeds = {count_trials(study)} trials",
        f"trained already: {made.n_reused}; to train: {most}{made.n_missing} {how}",
        f"estimated: {_estimated(known, most)}{_on_cards(made, cost)}",
    ]
    if made.state_bytes:
        lines.append(f"end states (record: state): {made.state_bytes / 1e9:.2g} GB of storage")
    return "\n".join([*lines, *_notices(made), *(f"changed: {change}" for change in made.changes)])


def _notices(plan: Plan) -> list[str]:
    """Say what a search does otherwise than usual."""
    from phasemap.search.completed import modelled_words

    return [modelled_words(plan.modelled)] if plan.modelled else []


def _estimated(cost: Mapping[str, float | None], most: str) -> str:
    """Say what a plan would take; of a program of which no trial ran yet nothing is known."""
    if cost["wall_seconds"] is None or cost["core_hours"] is None:
        return f"{UNKNOWN} (phasemap plan --measure runs one)"
    return (
        f"{most}{duration(cost['wall_seconds'])} with {cost['slots']} packs at a time, "
        f"{cost['core_hours']:.3g} core-hours, {(cost['memory_bytes'] or 0) / 1e9:.2g} GB"
    )


def _measure(study: Study, folder: RunFolder) -> None:
    """Run one trial of a program and say what came of it."""
    from phasemap.running.first_trial import measure

    click.echo(measure(study, folder), err=True)


def _on_cards(made: Plan, cost: Mapping[str, float]) -> str:
    """Say what a plan takes of GPUs, and what that rests on."""
    if made.card_share is None or not made.packs:
        return ""
    source = "measured" if made.card_share.measured(made.packs) else "from assumed rates, not measured on such a GPU"
    return (
        f"\non {made.card_share.card}: {cost['gpu_hours']:.3g} GPU-hours, "
        f"{cost['gpu_memory_bytes'] / 1e9:.3g} GB of its memory ({source})"
    )


def _search(study: Study) -> str:
    """Say what a search's plan rests on."""
    search = study.search
    if search.kind != "boundary" or not search.tolerance:
        return f"by the search ({search.kind})"
    return f"by the search ({search.kind}); fewer if less than {100 * search.tolerance:g} % is expected to be wrong"


def interrupt_on_terminate() -> None:
    """Let SIGTERM end a run as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
