"""Objectives of Ray Tune and Optuna, run as they are: what they report becomes a trial's curve."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

from phasemap.study.signature import ProgramKind
from phasemap.training.program_context import TrialContext
from phasemap.training.program_values import ReportError, is_taken

VALUE = "value"


def call_objective(function: Callable[..., Any], kind: ProgramKind, context: TrialContext) -> None:
    """Call an objective with the study's values."""
    if kind == "tune":
        _call_tune(function, context)
    else:
        _call_optuna(function, context)


def _call_tune(function: Callable[..., Any], context: TrialContext) -> None:
    """Call a function of Ray Tune inside a session of its own; what it returns or yields is a report too."""
    from ray.train._internal import session

    own = _TuneSession(context)
    session._session = own  # type: ignore[assignment]
    try:
        returned = function({**context.settings, "seed": context.seed})
        for metrics in returned if isinstance(returned, types.GeneratorType) else [returned]:
            if isinstance(metrics, Mapping):
                own.report(metrics)
            elif isinstance(metrics, int | float) and not isinstance(metrics, bool):
                own.report({"_metric": metrics})
    finally:
        session._session = None


class _TuneSession:
    """What ``tune.report`` and ``tune.get_context`` find of a session."""

    world_rank = None
    loaded_checkpoint = None
    metadata: Mapping[str, Any] = types.MappingProxyType({})
    experiment_name = "phasemap"
    trial_resources = None
    storage = None

    def __init__(self, context: TrialContext) -> None:
        self._context, self._iteration = context, 0

    @property
    def trial_name(self) -> str:
        return f"seed_{self._context.seed}"

    @property
    def trial_id(self) -> str:
        return self.trial_name

    @property
    def trial_dir(self) -> str:
        return str(self._context.folder)

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None, **_: Any) -> None:
        """Record the numbers among the metrics, at ``training_iteration`` or the number of the report."""
        if checkpoint is not None:
            raise ReportError(
                "tune.report with a checkpoint can't be run; allowed: without one, or a program of phasemap, "
                "which goes on by trial.steps(n, state=...)"
            )
        self._iteration += 1
        numbers = numbers_of(metrics, self._context.settings)
        self._context.report_some(metrics.get("training_iteration", self._iteration), numbers)


def valid_name(name: str) -> str:
    """Return a name of Ray Tune's, ``eval/loss``, as one of phasemap's."""
    return re.sub(r"\W+", "_", name).strip("_")


def numbers_of(metrics: Mapping[str, Any], settings: Collection[str]) -> dict[str, Any]:
    """Return what of a report of Ray Tune's may be a number, by valid names: ``_metric`` ends one that is taken."""
    numbers = {
        valid_name(name): value
        for name, value in metrics.items()
        if name != "training_iteration" and not isinstance(value, bool | str | Mapping | list | tuple)
    }
    return {f"{name}_metric" if is_taken(name, settings) else name: value for name, value in numbers.items()}


def _call_optuna(function: Callable[..., Any], context: TrialContext) -> None:
    """Call an objective of Optuna: its suggestions are the study's values, what it returns the last ``value``."""
    import optuna

    class StudyTrial(optuna.trial.FixedTrial):
        """A trial that suggests given values; its reports are the curve."""

        def _suggest(self, name: str, distribution: optuna.distributions.BaseDistribution) -> Any:
            if name not in context.settings:
                raise ReportError(
                    f"the objective suggests {name}, which the study lacks; needed: {name} under axes or fixed, also "
                    "where only some trials suggest it (a grid has no conditional parameters)"
                )
            return super()._suggest(name, distribution)

        def report(self, value: float, step: int) -> None:
            offset.append(1 if not offset and step == 0 else 0)
            context.report_some(step + offset[0], {VALUE: value})

    offset: list[int] = []
    returned = function(StudyTrial(context.settings, number=context.seed))
    if isinstance(returned, list | tuple):
        raise ReportError(f"the objective returned {len(returned)} values; allowed: one number")
    if returned is None:
        raise ReportError("the objective returned nothing; needed: a number")
    record = context.record
    if not record.steps or record.curves[VALUE][-1] != float(returned):
        context.report_some(record.steps[-1] + 1 if record.steps else 1, {VALUE: returned})
