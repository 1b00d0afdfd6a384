"""Run a study to its end: what is missing is planned, trained, retried and merged; what is finished is kept."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasemap.diagram.tables import Tables, derive
from phasemap.planning.kernels import check_card_kernels, mixture
from phasemap.planning.packs import Pack
from phasemap.planning.plan import Plan, check_budget, check_folder, check_own_file, make_plan
from phasemap.results.compact import compact
from phasemap.results.folder import RunFolder
from phasemap.results.lock import Lock, locked
from phasemap.results.provenance import Provenance
from phasemap.results.schema import shard_schema
from phasemap.results.shards import trained_devices
from phasemap.running.devices import DeviceChoice, check_precisions, named_devices, planned_card_share
from phasemap.running.first_trial import told_before, told_by_first, untold
from phasemap.running.measured_packs import MeasuredPacks
from phasemap.running.outputs import write_results
from phasemap.running.progress import Progress, RunLog
from phasemap.running.retries import retry, storage_errors
from phasemap.running.runner import Attempts, Event, Failed, Finished, LocalRunner, Runner
from phasemap.running.worker import Workload, store_failure
from phasemap.study.errors import DamagedShardError, UnreachableError
from phasemap.study.program_study import ProgramTrial
from phasemap.study.spec import NetworkStudy, ResourceSpec, Study
from phasemap.study.writing import dump_study, study_hash
from phasemap.training.cards import card_here

if TYPE_CHECKING:
    from phasemap.running.adaptive import PackSource

MERGE_SECONDS = 60.0
MERGE_SHARE = 0.05  # of the driver's time, at most
CURVES_WHILE_RUNNING = 10_000  # trials; the long table of more is written at the end only
IDLE_ROUNDS = 3

StartRunner = Callable[[], AbstractContextManager[Runner]]
"""Starts a runner, where there is something to train; the context decides when it ends."""

logger = logging.getLogger("phasemap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    n_trials: int  # that were to be trained in all, those of before among them
    n_trained: int
    n_reused: int
    failures: Sequence[str]  # ids of the trials that failed
    mixture: str | None = None  # says that two kernels trained the run's trials


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a study is run: what trains its packs, what of an earlier execution is kept, and who is told."""

    address: str | None = None  # of a Ray cluster; without one Ray is started on this machine
    cpus: int | None = None  # of the Ray that is started; by default all
    callbacks: Sequence[Any] = ()  # of Ray Tune, which see packs
    in_process: bool = False  # one pack after another, without Ray
    retry_failed: bool = False  # train only the trials that failed before
    fresh: bool = False  # what is there is set aside first
    accept_source: bool = False  # what a program trained counts as trained by its present code
    longer: bool = False  # the study may have another number of steps than the run
    quiet: bool = False  # show no progress
    picture: bool = True  # draw the diagram beside the tables
    on_plan: Callable[[Plan], None] = lambda _: None  # told what there is to do, before anything is done
    on_stored: Callable[[Path], None] = lambda _: None  # told of each shard that is there


def start_runner(resources: ResourceSpec, options: RunOptions) -> Runner:
    """Start what trains packs: Ray, or this process."""
    if options.in_process:
        return LocalRunner()
    from phasemap.running.ray_tune import RayRunner

    return RayRunner(resources, address=options.address, cpus=options.cpus, callbacks=options.callbacks)


def run_study(study: Study, folder: RunFolder, start_runner: StartRunner, options: RunOptions) -> Outcome:
    """Train what is missing of a study, by the runner that is started, and merge it with what is there.

    UserError and UnreachableError for what can't be run come before anything is changed. On KeyboardInterrupt the
    tables are made from what is finished, and the exception goes on.
    """
    changes = []
    if options.fresh:
        check_own_file(folder)
    else:
        changes = check_folder(study, folder, accept_source=options.accept_source, longer=options.longer)
        study = told_before(study, folder)
    with storage_errors(folder):
        folder.create()
        try:
            with locked(folder) as lock:
                while True:
                    try:
                        kept = None if options.fresh else folder
                        planned = partial(make_plan, study, kept, retry_failed=options.retry_failed, changes=changes)
                        card = None if study.resources.device == "cpu" else card_here()
                        plan = planned(card_share=planned_card_share(study, _trained_on(kept), card))
                        options.on_plan(plan)
                        check_budget(study, plan)
                        return _run_locked(_Run(study, folder, plan, lock, options), planned, start_runner)
                    except DamagedShardError as error:
                        target = folder.set_aside(error.path)
                        logger.warning(
                            "%s is damaged: set aside as %s, its trials are trained again", error.path, target
                        )
                        options = replace(options, fresh=False)
        finally:
            with suppress(OSError):  # what the storage refused is told by the error that ended the run
                folder.remove_if_empty()


def _run_locked(run: _Run, planned: Callable[..., Plan], start_runner: StartRunner) -> Outcome:
    """Run a plan, or the one that ``planned`` makes for the GPUs of the runner, where these are not this machine's."""
    with start_runner() if run.plan.packs else nullcontext() as runner:
        if runner is not None:
            _settle_device(run, runner, planned)
        return _run_with(runner, run)


def _settle_device(run: _Run, runner: Runner, planned: Callable[..., Plan]) -> None:
    """Settle the device of all packs, and plan anew where it is not the one that was planned for."""
    study, trained_on = run.study, _trained_on(None if run.options.fresh else run.folder)
    choice = DeviceChoice(wanted=study.resources.device, trained_on=trained_on)
    run.device = runner.choose_device(replace(choice, gpus=run.plan.gpus_per_pack(study.resources) or 1.0))
    if run.device == "cpu":
        check_precisions(study, None)
    elif isinstance(study, NetworkStudy) and not run.options.fresh:
        check_card_kernels(run.folder)
    if (run.device == "cuda") == (run.plan.card_share is not None):
        return
    card_share = planned_card_share(study, trained_on, runner.card()) if run.device == "cuda" else None
    if card_share is None and run.plan.card_share is None:  # a GPU that can't be looked at: packs as for a CPU
        return
    run.plan = planned(card_share=card_share)
    check_budget(study, run.plan)
    runner.choose_device(replace(choice, wanted=run.device, gpus=run.plan.gpus_per_pack(study.resources) or 1.0))
    logger.info("planned for %s: %d packs", card_share.card if card_share else "CPUs", len(run.plan.packs))


def _trained_on(folder: RunFolder | None) -> frozenset[str]:
    return trained_devices(folder) if folder else frozenset()


def _run_with(runner: Runner | None, run: _Run) -> Outcome:
    study, folder, plan = run.study, run.folder, run.plan
    if run.options.fresh and folder.fetch(folder.study):
        logger.info("moved %s to %s", folder.location, folder.move_aside().location)
    with RunLog(folder):
        if runner is not None and untold(study):
            study, plan = run.learn(runner)
        text = dump_study(study)
        if not folder.fetch(folder.study) or folder.study.read_text(encoding="utf-8") != text:
            folder.remove_derived()  # they are of another grid; until the next merge the shards speak
            folder.write_text(folder.study, text)
        logger.info(
            "%s: %d trials, %d to train in %d packs", study.name, plan.n_trials, plan.n_missing, len(plan.packs)
        )
        if plan.kernel.notice and runner is not None:
            logger.info(plan.kernel.notice)
        if plan.adaptive and runner is not None:
            from phasemap.running.adaptive import PackSource

            run.source = PackSource(study, folder, runner.slots, run.plan.card_share)
        elif plan.program and runner is not None and study.resources.pack_size == "auto":
            trials = [trial for pack in plan.packs for trial in pack.trials]
            known = [] if math.isnan(plan.trial_seconds) else [plan.trial_seconds]
            run.source = MeasuredPacks(trials, runner.slots, known)
        return run.execute(runner)


@dataclass
class _Run:
    study: Study
    folder: RunFolder
    plan: Plan
    lock: Lock
    options: RunOptions
    device: str = "cpu"  # that all packs train on, or any
    source: PackSource | MeasuredPacks | None = None  # where it turns out as it goes which packs there are
    trained: int = 0
    next_merge: float = field(default_factory=lambda: time.monotonic() + MERGE_SECONDS)
    failures: dict[str, Failed] = field(default_factory=dict)  # of the round, by pack id

    def learn(self, runner: Runner) -> tuple[Study, Plan]:
        """Train the first trial, which tells what is recorded, and plan the rest."""
        workload = Workload(folder=self.folder, study=self.study, device=self.device)
        first = next(trial for trial in self.plan.packs[0].trials if isinstance(trial, ProgramTrial))
        self.study = told_by_first(self.study, first, runner, workload)
        plan = make_plan(self.study, self.folder, changes=self.plan.changes)
        self.plan, self.trained = replace(plan, n_reused=plan.n_reused - 1), 1
        return self.study, self.plan

    def execute(self, runner: Runner | None) -> Outcome:
        before = derive(self.folder, self.study).trials
        known, reused = set(before["trial_id"]), Counter(before["phase"].dropna())
        outcome = "failed"
        provenance = Provenance(
            self.folder,
            study_hash=study_hash(self.study),
            runner=runner.name if runner else "nothing to train",
        )
        try:
            if runner is not None:
                self.folder.remove(self.folder.curves)  # until it is written again the shards speak
                search = self.study.search if self.plan.adaptive else None
                with Progress(self.plan.packs, reused=reused, search=search, quiet=self.options.quiet) as progress:
                    self._rounds(runner, progress)
                compact(self.folder, schema=shard_schema(self.study))
            outcome = "done"
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            tables = self._end(provenance, outcome, known, trained=runner is not None)
        failed = tables.trials.loc[tables.trials["status"] == "failed", "trial_id"]
        mixed = mixture(tables.trials)
        if mixed:
            logger.info(mixed)
        return Outcome(
            n_trials=self.plan.n_trials,
            n_trained=self.trained,
            n_reused=self.plan.n_reused,
            failures=list(failed),
            mixture=mixed,
        )

    def _end(self, provenance: Provenance, outcome: str, known: set[str], *, trained: bool) -> Tables:
        """Make the tables and complete the provenance, which is done also where the former is interrupted."""
        self.lock.check()
        devices, core_hours = [], 0.0
        try:
            curves = trained or not self.folder.fetch(self.folder.curves)
            tables = retry(lambda: write_results(self.folder, self.study, curves=curves, picture=self.options.picture))
            new = tables.trials[~tables.trials["trial_id"].isin(known)]
            devices = named_devices(set(tables.trials["device"].dropna()), self.plan.card_share)
            core_hours = float(new["train_seconds"].sum()) * self.study.resources.cpus_per_pack / 3600
        finally:
            counts = {"n_trained": self.trained, "n_reused": self.plan.n_reused}
            provenance.end(outcome=outcome, devices=devices, core_hours=core_hours, **counts)
            logger.info("%s: %s, %d trained, %d reused", self.study.name, outcome, self.trained, self.plan.n_reused)
        return tables

    def _rounds(self, runner: Runner, progress: Progress) -> None:
        """Give packs to the runner until each is stored: those that fail again, then halved, down to the bad trial."""
        workload = Workload(
            folder=self.folder,
            study=self.study,
            device=self.device,
            fused=self.plan.kernel.fused,
            former=self.plan.former,
        )
        pending = {} if self.source else {pack.pack_id: pack for pack in self.plan.packs}
        attempts, idle = Attempts(), 0

        def tell(event: Event) -> None:
            self._take(event, pending, progress)

        def more() -> list[Pack] | None:
            further = self.source.more() if self.source else None
            progress.expect(further or ())
            pending.update({pack.pack_id: pack for pack in further or ()})
            return further

        while pending or more():
            before, trained = len(pending), self.trained
            self.failures = {}
            packs, alone = attempts.next(pending)
            if self.source and not alone:
                runner.run(packs, workload, tell, more)
            else:
                runner.run(packs, workload, tell)
            idle = 0 if self.trained > trained or self.failures else idle + 1
            if idle >= IDLE_ROUNDS:
                raise UnreachableError(
                    f"{runner.name} ended {IDLE_ROUNDS} times without training any of {before} packs"
                )
            refused = [failed.error for failed in self.failures.values() if failed.outside]
            if refused and self.trained == trained:
                raise UnreachableError(refused[0])
            for pack_id, failed in self.failures.items():
                pack = pending.pop(pack_id)
                again = attempts.after(pack, failed)
                pending |= {one.pack_id: one for one in again}
                if not again:
                    self._give_up(pack, failed, workload, progress)

    def _give_up(self, pack: Pack, failed: Failed, workload: Workload, progress: Progress) -> None:
        report = store_failure(pack, failed.error, workload)
        if self.source:
            self.source.take(report)
        progress.tell(Finished(report=report))

    def _take(self, event: Event, pending: dict[str, Pack], progress: Progress) -> None:
        self.lock.check()
        if isinstance(event, Failed):
            self.failures[event.pack_id] = event
        if isinstance(event, Finished):
            self.trained += len(pending.pop(event.report.pack_id).trials)
            if self.source:
                self.source.take(event.report)
            self.options.on_stored(self.folder.shards / event.report.shard)
            logger.info("pack %s stored: %s", event.report.pack_id, dict(event.report.phase_counts))
        progress.tell(event)
        if time.monotonic() >= self.next_merge:
            self._merge()

    def _merge(self) -> None:
        """Make the tables while the run goes on, and again after a minute, or later where making them takes long."""
        started = time.monotonic()
        try:
            curves = self.plan.n_trials <= CURVES_WHILE_RUNNING
            write_results(self.folder, self.study, curves=curves, picture=self.options.picture)
            self.folder.publish(self.folder.log)
        except (OSError, UnreachableError) as error:  # the tables are not the truth: made again in a minute
            logger.warning("the tables were not written: %s", error)
        ended = time.monotonic()
        self.next_merge = ended + max(MERGE_SECONDS, (ended - started) / MERGE_SHARE)
