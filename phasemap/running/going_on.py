"""Trials that go on where shorter ones of the same run ended: what is kept of these, and which pack starts where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from phasemap.planning.packs import Pack, make_pack
from phasemap.results.folder import RunFolder
from phasemap.study.prefixes import former_trial
from phasemap.study.spec import Study
from phasemap.study.trials import networks

if TYPE_CHECKING:
    from phasemap.training.states import Start

Starts = Mapping[str, "Start"]


def starts_of(pack: Pack, study: Study, folder: RunFolder, former: Sequence[int]) -> Starts:
    """Return by the trials' ids where they go on from; ``former`` are the run's shorter numbers of steps, falling."""
    if not former:
        return {}
    from phasemap.training.states import read_start

    found = {}
    for trial in networks(pack.trials):
        for steps in former:
            before = former_trial(study, trial, steps)
            path = folder.state_file(before.trial_id)
            start = read_start(path, before, trial, study.record) if folder.fetch(path) else None
            if start is not None:
                found[trial.trial_id] = start
                break
    return found


def by_start(pack: Pack, starts: Starts) -> list[Pack]:
    """Cut a pack into those trials that start at the same step; a pack whose trials all do stays as it is."""
    groups: dict[int, list[int]] = {}
    for number, trial in enumerate(pack.trials):
        step = starts[trial.trial_id].step if trial.trial_id in starts else 0
        groups.setdefault(step, []).append(number)
    if len(groups) == 1:
        return [pack]
    return [make_pack([pack.trials[number] for number in members]) for members in groups.values()]
