"""Times to an event, with trials that had not reached it by their horizon as censored."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scipy.stats import CensoredData, ecdf

from phasemap.phases.built_in import USUAL_TIME
from phasemap.study.errors import UserError
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import Study

CONFIDENCE = 0.95


def survival(study: Study, trials: pd.DataFrame, event: str | None = None, by: str | None = None) -> pd.DataFrame:
    """Return the Kaplan-Meier share of trials that have not reached an event yet, with 95 % intervals (log-log).

    One row a step at which the share falls or a trial is censored, per value of the axis ``by``: ``step``,
    ``survival``, ``low``, ``high`` (NaN while the share is 1 or 0, where no interval is defined), ``n_trials`` and
    ``n_reached``. The event is a step time, by default that of grokking or else the first. Trials that diverged or
    failed are left out. UserError for an unknown event or axis, or no trials.
    """
    events = [name for name, _ in rule_of(study.phases).times]
    event = event or next((name for name in (USUAL_TIME, *events) if name in events), None)
    if event not in events:
        known = f"allowed: {', '.join(events)}" if events else "the rule of the study declares no times"
        raise UserError(f"{event} is not an event; {known}")
    if by is not None and by not in study.axis_names:
        raise UserError(f"{by} is not an axis of {study.name}; allowed: {', '.join(study.axis_names)}")
    ok = trials[trials["status"] == "ok"]
    if ok.empty:
        raise UserError(f"no trial of {study.name} has ended yet; allowed: run it first")
    groups = [({}, ok)] if by is None else [({by: value}, rows) for value, rows in ok.groupby(by, dropna=False)]
    return pd.concat([_curve(rows, event).assign(**held) for held, rows in groups], ignore_index=True)


def _curve(rows: pd.DataFrame, event: str) -> pd.DataFrame:
    times, horizon = rows[event].to_numpy(dtype=float), rows["horizon"].to_numpy(dtype=float)
    late = np.isnan(times)
    function = ecdf(CensoredData(uncensored=times[~late], right=horizon[late])).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no interval where the share is 1 or 0
        interval = function.confidence_interval(CONFIDENCE, method="log-log")
    return pd.DataFrame(
        {
            "step": function.quantiles,
            "survival": function.probabilities,
            "low": interval.low.probabilities,
            "high": interval.high.probabilities,
            "n_trials": len(rows),
            "n_reached": int((~late).sum()),
        }
    )
