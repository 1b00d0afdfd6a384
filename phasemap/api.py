"""What ``import phasemap`` offers beside reading: run studies, label again, load networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from phasemap.maps import PhaseDiagram
from phasemap.phases.labelling import label_frame, needed_of
from phasemap.results.folder import RunFolder, run_folder
from phasemap.results.lock import locked
from phasemap.runs import Run, open_run
from phasemap.study.checks import check_rule
from phasemap.study.errors import StudyError, UserError
from phasemap.study.file import load_rule, load_study, parse_study, study_of, study_of_function
from phasemap.study.identity import Trial
from phasemap.study.names import BUILT_IN_RULES, FUSED_KERNEL
from phasemap.study.program_study import check_known
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.trials import find_trial, longest_training, networks
from phasemap.study.writing import dump_study
from phasemap.study.yaml_lines import parse_document

if TYPE_CHECKING:
    import torch

    from phasemap.running.driver import Outcome, RunOptions

__all__ = ["RULES", "PhaseDiagram", "Run", "execute", "extend", "label", "load_network", "open_run", "relabel", "run"]

RULES = BUILT_IN_RULES


def run(
    study: Study | str | Path | Mapping[str, Any] | Callable[..., Any],
    *,
    storage: str | Path | None = None,
    address: str | None = None,
    cpus: int | None = None,
    callbacks: Sequence[Any] = (),
    in_process: bool = False,
    quiet: bool = False,
    **content: Any,
) -> Run:
    """Run a study (or continue its run) and return the run.

    ``study`` is a study, the path of a study file, or a mapping with its content: {"name": ..., "task": {...}, ...}.
    It can also be a training function (see ``program``); the keywords in ``content`` are then the keys of a study file,
    at least axes={...}, and the run gets the function's name unless there is a ``name``.
    ``address`` names a Ray cluster; without it Ray is started on this machine with ``cpus`` CPUs. ``callbacks`` are Ray
    Tune callbacks, which see packs; loggers are refused (``phasemap run --track`` logs each trial). ``in_process``
    trains without Ray, one pack after another. Progress goes to stderr unless ``quiet``.
    Raises UserError for wrong input and UnreachableError for a cluster or storage that can't be used.
    """
    from phasemap.running.driver import RunOptions

    study = _study_of_function(study, content) if callable(study) else _study(study, content)
    folder = run_folder(storage, study.name)
    options = RunOptions(address=address, cpus=cpus, callbacks=callbacks, in_process=in_process, quiet=quiet)
    execute(study, folder, options)
    return Run(folder)


def _study_of_function(function: Callable[..., Any], content: Mapping[str, Any]) -> Study:
    from phasemap.running.shipping import code_of

    name = getattr(function, "__name__", "")
    return study_of_function(function, code_of, {"name": name, **content})


def _study(given: Study | str | Path | Mapping[str, Any], content: Mapping[str, Any]) -> Study:
    if content:
        raise UserError(f"{', '.join(content)}: allowed only with a function; a study file sets these itself")
    if isinstance(given, Study):
        return given
    if isinstance(given, str | Path):
        return load_study(given)
    if isinstance(given, Mapping):
        return study_of(given)
    raise UserError(
        f"{given!r:.60} is not a study; allowed: a study (pm.load_study), the path of its file, or a mapping like one"
    )


def execute(study: Study, folder: RunFolder, options: RunOptions) -> Outcome:
    """Run a study in a folder, on Ray or in this process, and say how it ended; see ``run_study``."""
    from phasemap.running.driver import run_study, start_runner

    if options.callbacks:
        from phasemap.running.ray_tune import refuse_loggers

        refuse_loggers(options.callbacks)

    return run_study(study, folder, partial(start_runner, study.resources, options), options)


def extend(
    run: Run | str | Path,
    steps: int,
    *,
    address: str | None = None,
    cpus: int | None = None,
    callbacks: Sequence[Any] = (),
    in_process: bool = False,
    quiet: bool = False,
) -> Run:
    """Train a run's networks for more steps, up to ``steps`` in total, and return the run.

    Its study then has that many steps; it needs ``record: [state]``. The steps that were trained before are not trained
    again: ``relabel(run, at_step=...)`` gives their labels. The other arguments are those of ``run``.
    UserError if the study can't be extended, or not to this number of steps.
    """
    from phasemap.running.driver import RunOptions
    from phasemap.running.extension import longer_study

    folder = _opened(run).folder
    options = RunOptions(
        address=address, cpus=cpus, callbacks=callbacks, in_process=in_process, quiet=quiet, longer=True
    )
    execute(longer_study(folder, steps), folder, options)
    return Run(folder)


def _opened(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else open_run(run)


def relabel(run: Run, rule: str | PhaseRule | None = None, at_step: int | None = None) -> Run:
    """Label a run again from its stored curves and return it; nothing is trained.

    ``rule`` is a rule's name, a rule file, or None for the run's own rule. ``at_step`` gives the labels at an earlier
    step; without it they are those at the end of the training. The rule is kept in the run's study.yaml and with its
    last execution, until the next relabel or run.
    """
    from phasemap.results.provenance import note_labels
    from phasemap.running.outputs import write_results
    from phasemap.running.retries import storage_errors

    own = run.study.phases.model_copy(update={"at_step": None})
    wanted = own if rule is None else _rule(rule, run.study)
    wanted = wanted if at_step is None else wanted.model_copy(update={"at_step": at_step})
    study = run.study.model_copy(update={"phases": wanted})
    steps = _longest(run) if wanted.at_step is not None else 0
    if wanted.at_step is not None and wanted.at_step > steps:
        raise UserError(f"--at-step {wanted.at_step} is after the end of the training; allowed: up to {steps}")
    _check_with_rule(study, run.folder.study)
    with storage_errors(run.folder), locked(run.folder):
        _check_shards(run)
        if wanted != run.study.phases:
            run.folder.remove_labelled()
            run.folder.write_text(run.folder.study, dump_study(study))
        write_results(run.folder, study, curves=not run.folder.fetch(run.folder.curves))
        note_labels(run.folder, wanted.model_dump(exclude_none=True))
    return Run(run.folder)


def _check_shards(run: Run) -> None:
    """Refuse to make tables again from less than they were made from, as in a bundle, which has no shards."""
    from phasemap.results.shards import finished_ids

    trained = set(run.trials.loc[run.trials["status"].isin(["ok", "diverged"]), "trial_id"])
    if lost := trained - finished_ids(run.folder):
        raise UserError(
            f"{run.location} has no shards of {len(lost)} of its {len(trained)} trained trials, so that their labels "
            "can't be made again; allowed: a run with all its shards (pm.label(run.curves, rule) needs none)"
        )


def _longest(run: Run) -> int:
    """Return the last step that a run's trials may have."""
    planned = longest_training(run.study)
    if planned is not None:
        return planned
    steps = run.curves["step"]  # the horizon is that of the labels of today, which may be earlier
    return int(steps.max()) if len(steps) else 0


def _check_with_rule(study: Study, path: Path) -> None:
    """Make sure that a study can be read again with another rule: UserError where its claims or search need labels.

    Points that lie on no grid stand beside the study's file.
    """
    source = str(path) if study.scattered else f"{study.name} with rule {study.phases.rule}"
    try:
        parse_study(parse_document(dump_study(study), source), data_needed=False)
    except StudyError as error:
        raise UserError(f"the trials can't be labelled by this rule:\n{error}") from None


def _rule(rule: str | PhaseRule, study: Study | None = None) -> PhaseRule:
    if isinstance(rule, PhaseRule):
        for key, message in check_rule(rule):
            raise UserError(f"{key} {message}")
        return rule
    if rule in RULES:
        if study is not None:
            check_known(rule, study.recorded)
        return PhaseRule(rule=rule)
    if not Path(rule).exists():
        raise UserError(f"--rule {rule} is neither a rule nor a file; allowed: {', '.join(RULES)}, or a file")
    return load_rule(rule, study)


def label(curves: pd.DataFrame | Run, rule: str | PhaseRule = "memorized_fraction") -> pd.DataFrame:
    """Label trials from their curves in long form; return a table indexed by trial_id.

    Needs the columns trial_id, step, the accuracies, corruption and n_corrupted, as ``Run.curves`` has them, and
    whatever else the rule uses.
    """
    wanted = _rule(rule, curves.study if isinstance(curves, Run) else None)
    return label_frame(_with_facts(curves, wanted) if isinstance(curves, Run) else curves, wanted)


def _with_facts(run: Run, rule: PhaseRule) -> pd.DataFrame:
    """Return a run's curves with the settings and facts that a rule looks at."""
    facts = [name for name in needed_of(rule)[1] if name not in run.curves]
    return run.curves.merge(run.trials[["trial_id", *facts]], on="trial_id") if facts else run.curves


def load_network(run: Run | str | Path, trial_id: str) -> torch.nn.Module:
    """Return a trained network as a PyTorch module that maps inputs (B, 2) or (B, F) to scores (B, C).

    Its weights come from the run if the study's ``record`` has ``weights``; otherwise the trial is trained again on
    this machine's CPU. The first 6 digits of ``trial_id`` are enough. UserError if the run has no such trial.
    """
    from phasemap.results.inside import read_weights
    from phasemap.training.population import network_of

    run = _opened(run)
    (trial,) = networks([find_trial(run.study, trial_id)])
    return network_of(trial, read_weights(run.folder, trial.trial_id), fused=_kernel_of(run, trial) == FUSED_KERNEL)


def _kernel_of(run: Run, trial: Trial) -> str | None:
    """Return the kernel that trained a trial; None if it is not trained, or by a release that stored none."""
    known = run.trials.set_index("trial_id")
    return known.at[trial.trial_id, "kernel"] if trial.trial_id in known.index else None
