"""Interrupted runs are continued: what is kept, what is trained, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from golden_files import Golden
from golden_process import typed
from golden_runs import UNFINISHED, copied

import phasemap as pm
from phasemap.planning.packs import Pack
from phasemap.results.folder import RunFolder
from phasemap.results.shards import finished_ids
from phasemap.running.driver import Outcome, RunOptions, run_study
from phasemap.running.runner import Event, LocalRunner, More
from phasemap.running.worker import Workload
from phasemap.study.file import load_resolved


class WatchedRunner(LocalRunner):
    """Trains in this process, and remembers which packs it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.packs: list[Pack] = []

    def run(
        self, packs: Sequence[Pack], workload: Workload, tell: Callable[[Event], None], more: More | None = None
    ) -> None:
        self.packs.extend(packs)
        super().run(packs, workload, tell, more)


@dataclass(frozen=True, kw_only=True)
class Continued:
    """A copy of an interrupted run that was continued."""

    folder: RunFolder
    before: dict[str, bytes]  # shards by name
    finished: list[str]  # trials, before
    packs: list[Pack]  # that were trained
    outcome: Outcome

    @property
    def trained(self) -> list[str]:
        return [trial.trial_id for pack in self.packs for trial in pack.trials]


def shards(folder: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.shards.glob("*.parquet"))}


def continued(name: str) -> Continued:
    """Continue an interrupted run below the working directory."""
    (folder,) = copied(name)
    before, finished, runner = shards(folder), sorted(finished_ids(folder)), WatchedRunner()
    with typed("run", f"{name}.yaml", "--in-process"):
        outcome = run_study(load_resolved(folder.study), folder, lambda: runner, RunOptions(quiet=True))
    return Continued(folder=folder, before=before, finished=finished, packs=runner.packs, outcome=outcome)


def content(done: Continued) -> dict[str, Any]:
    """Return what the golden file says of a continued run."""
    return {
        "finished": done.finished,
        "shards before": list(done.before),
        "packs trained": {pack.pack_id: [trial.trial_id for trial in pack.trials] for pack in done.packs},
        "shards after": list(shards(done.folder)),
        "n_trained": done.outcome.n_trained,
        "n_reused": done.outcome.n_reused,
        "failures": list(done.outcome.failures),
        "trials after": sorted(finished_ids(done.folder)),
        "kernels": sorted({str(name) for name in pm.open_run(done.folder.path).trials["kernel"]}),
    }


GOLDEN = tuple(Golden(name=f"continued_{name}", make=lambda name=name: content(continued(name))) for name in UNFINISHED)
