"""What a run has to do, and whether it may: planned before anything starts."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from phasemap.diagram.tables import known_trials
from phasemap.planning.calibration import Calibration, calibrate
from phasemap.planning.card_costs import measured_card_share
from phasemap.planning.kernels import KernelChoice, choose_kernel
from phasemap.planning.on_cards import CardShare, estimate_on_cards, gpus_each
from phasemap.planning.packs import TARGET_SECONDS, Pack, plan_packs
from phasemap.results.folder import RunFolder
from phasemap.results.schema import shard_schema
from phasemap.results.shards import failed_ids, finished_ids, read_shards
from phasemap.search.grid import coarse_to_fine
from phasemap.study.changes import changes, contradictions, ways_out
from phasemap.study.errors import OtherStudyError, UserError
from phasemap.study.file import load_resolved
from phasemap.study.identity import Trial
from phasemap.study.names import STATE
from phasemap.study.networks import NetworkTrial
from phasemap.study.own_parts import OwnTrial
from phasemap.study.own_study import OwnStudy
from phasemap.study.prefixes import STEPS, Prefixes, can_go_on, former_trial
from phasemap.study.program_study import ProgramStudy
from phasemap.study.spec import ResourceSpec, Study
from phasemap.study.trials import count_trials, expand, grid_ids, networks
from phasemap.training.costs import state_bytes

MOST_PROGRAMS = 256  # trials of a program in a pack
FEWEST_PACKS = 32  # that a grid of a program's trials is cut into, so that there is something for every slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run has to do: packs to train, and how many trials need no more training."""

    packs: Sequence[Pack]
    n_trials: int
    n_reused: int
    record: Sequence[str] = ()  # what is looked at inside the networks
    kernel: KernelChoice = field(default_factory=KernelChoice)
    changes: Sequence[str] = ()  # in words, what the study changes of the run that is there
    program: bool = False  # a user's program trains them
    trial_seconds: float = math.nan  # of a program's stored trials, the usual ones
    card_share: CardShare | None = None  # of each pack on a GPU; None on CPUs
    former: tuple[int, ...] = ()  # numbers of steps of the run's shorter trials, falling
    left: Mapping[str, float] = field(default_factory=dict)  # of trials that go on: the share of their steps to come
    adaptive: bool = False  # a search chooses the packs as it goes: these are as many as it may train
    modelled: str | None = None  # why a search models the labels themselves, where it does

    @property
    def n_missing(self) -> int:
        """Count the trials to train."""
        return sum(len(pack.trials) for pack in self.packs)

    @property
    def pack_words(self) -> str:
        """Say in how many packs they are trained; of a program that was never timed, that its trials tell."""
        single = all(len(pack.trials) == 1 for pack in self.packs)
        untimed = self.program and math.isnan(self.trial_seconds) and single
        return "one by one until one has ended" if untimed else f"in {len(self.packs)} packs"

    def core_seconds(self, calibration: Calibration) -> float:
        """Estimate one core's time for all packs."""
        return sum(self.pack_seconds(pack, calibration) for pack in self.packs)

    def pack_seconds(self, pack: Pack, calibration: Calibration) -> float:
        """Estimate one core's time for a pack."""
        return sum(
            calibration.seconds(trial) * self.left.get(trial.trial_id, 1.0) * own
            for trial, own in zip(pack.trials, _own_shares(pack), strict=True)
        )

    @property
    def state_bytes(self) -> int | None:
        """Estimate what the end states of the trials to train take of the storage; None of a program's, or of none."""
        if self.program or STATE not in self.record:
            return None
        return sum(state_bytes(trial) for pack in self.packs for trial in networks(pack.trials))

    def gpus_per_pack(self, resources: ResourceSpec) -> float:
        """Return what each pack gets of a GPU."""
        if self.card_share:
            return gpus_each(self.packs, resources, self.card_share)
        return 0.0 if resources.gpus_per_pack == "auto" else float(resources.gpus_per_pack)

    def calibration(self) -> Calibration:
        """Measure on this machine what its trials cost; of a program's, what is stored tells, and nothing is run.

        For networks on GPUs see ``measured``.
        """
        if self.program:
            return Calibration(stored=self.trial_seconds)
        return Calibration() if self.card_share else calibrate(self.packs, self.record, fused=self.kernel.fused)

    def measured(self) -> Plan:
        """Measure on this machine's GPU, if the plan is for such a one, what its trials take; its packs stay."""
        if self.card_share is None:
            return self
        return replace(self, card_share=measured_card_share(self.packs, self.card_share, self.record))


def make_plan(
    study: Study,
    folder: RunFolder | None,
    *,
    retry_failed: bool = False,
    changes: Sequence[str] = (),
    card_share: CardShare | None = None,
) -> Plan:
    """Plan what is missing of a study in a run's folder (None: an empty one); ``retry_failed``: only what failed.

    ``card_share`` is what a pack may take of a GPU, where packs train on GPUs; UserError if a trial doesn't fit there.
    """
    if study.search.kind != "grid" and not retry_failed:
        return _adaptive_plan(study, folder, changes, card_share)
    trials = list(expand(study, coarse_to_fine(study)))
    done = finished_ids(folder) if folder else set()
    wanted = trials
    if retry_failed:
        failed = failed_ids(folder) if folder else set()
        wanted = [trial for trial in trials if trial.trial_id in failed]
    packs = plan_packs(wanted, done=done, pack_size=pack_size_of(study, folder), card_share=card_share)
    n_reused = sum(trial.trial_id in done for trial in trials)
    former = former_steps(study, folder) if folder else ()
    return Plan(
        packs=packs,
        n_trials=len(trials),
        n_reused=n_reused,
        changes=changes,
        card_share=card_share,
        former=former,
        left=_shares_left(study, folder, packs, former) if folder and former else {},
        **_by_program(study, folder),
    )


def former_steps(study: Study, folder: RunFolder) -> tuple[int, ...]:
    """Return the smaller numbers of steps of a run's stored trials, which its own may go on from, falling."""
    if not can_go_on(study):
        return ()
    stored = read_shards(folder, [STEPS], schema=shard_schema(study), skip_damaged=True)[STEPS]
    return tuple(sorted((n for n in pc.unique(stored).to_pylist() if n < study.setting(STEPS)), reverse=True))


def _shares_left(study: Study, folder: RunFolder, packs: Sequence[Pack], former: Sequence[int]) -> dict[str, float]:
    """Return of each trial whose shorter one's end is kept which share of its steps is to come."""
    kept, shares = folder.names(folder.states), {}
    for trial in networks(trial for pack in packs for trial in pack.trials):
        for before in (former_trial(study, trial, steps) for steps in former):
            if folder.state_file(before.trial_id).name in kept:
                shares[trial.trial_id] = 1 - before.horizon / trial.horizon
                break
    return shares


def _by_program(study: Study, folder: RunFolder | None) -> dict[str, Any]:
    """Return what of a plan depends on who trains: phasemap by one of its kernels, or a program."""
    if isinstance(study, ProgramStudy):
        return {"program": True, "trial_seconds": stored_seconds(folder)}
    kernel = choose_kernel(folder)
    if isinstance(study, OwnStudy) and study.parts.code:
        kernel = KernelChoice(notice=alone_notice(study))
    return {"record": study.record, "kernel": kernel}


def _own_shares(pack: Pack) -> list[float]:
    """Return each trial's part of the steps that its pack takes, as a share of its own: common ones are taken once."""
    first = pack.trials[0]
    if isinstance(first, NetworkTrial) and any(trial.changing for trial in networks(pack.trials)):
        return [steps / first.horizon for steps in Prefixes(networks(pack.trials)).costs(first.horizon)]
    return [1.0] * len(pack.trials)


def alone_notice(study: OwnStudy) -> str | None:
    """Say that a user's networks are trained one after the other, and why; None where they are trained at once."""
    from phasemap.training.own_probe import probe

    first = next(expand(study))
    alone = probe(first).alone if isinstance(first, OwnTrial) else None
    part = study.parts.get("model") or study.parts.get("loss")
    return f"networks of {part.name} are trained one after another: {alone}" if alone and part else None


def pack_size_of(study: Study, folder: RunFolder | None) -> int | None:
    """Return the most trials of a pack; None where the estimates of networks decide.

    Of a program: as many as take some seconds, by the stored trials; one where none ended yet, as a run begins.
    """
    size = study.resources.pack_size
    if size != "auto":
        return size
    if not isinstance(study, ProgramStudy):
        return None
    seconds = stored_seconds(folder)
    if math.isnan(seconds):
        return 1
    spread = math.ceil(count_trials(study) / FEWEST_PACKS)
    return max(1, min(MOST_PROGRAMS, spread, round(TARGET_SECONDS / max(seconds, 1e-3))))


def stored_seconds(folder: RunFolder | None) -> float:
    """Return the usual seconds of a run's stored trials; nan where there are none."""
    if folder is None:
        return math.nan
    table = read_shards(folder, ["status", "train_seconds"], skip_damaged=True)
    seconds = table.filter(pc.not_equal(table["status"], "failed"))["train_seconds"].drop_null().to_pylist()
    return statistics.median(seconds) if seconds else math.nan


def _adaptive_plan(
    study: Study, folder: RunFolder | None, changes: Sequence[str], card_share: CardShare | None
) -> Plan:
    """Plan what a search trains at most; which trials they are turns out as it goes."""
    from phasemap.search.study_map import budget_trials
    from phasemap.search.study_model import usable, why_labels

    done = finished_ids(folder) if folder else set()
    table = known_trials(study, folder) if folder else None
    return Plan(
        packs=plan_packs(likely_trials(study, table), pack_size=pack_size_of(study, folder), card_share=card_share),
        n_trials=budget_trials(study),
        n_reused=len(done & set(grid_ids(study))),
        changes=changes,
        card_share=card_share,
        adaptive=True,
        modelled=why_labels(study, None if table is None else usable(study, table)),
        **_by_program(study, folder),
    )


def likely_trials(study: Study, table: pd.DataFrame | None) -> list[Trial]:
    """Return as many trials as a search may still train, spread over the grid as its own would be; for estimates.

    ``table`` has the trials that are known.
    """
    from phasemap.search.study_map import budget_trials, is_known

    done: set[str] = set()
    if table is not None:
        if is_known(study, table):
            return []
        done = set(table.loc[table["status"] != "failed", "trial_id"]) & set(grid_ids(study))
    left = max(0, budget_trials(study) - len(done))
    trials = (trial for trial in expand(study, coarse_to_fine(study)) if trial.trial_id not in done)
    return list(itertools.islice(trials, left))


def check_folder(study: Study, folder: RunFolder, *, accept_source: bool = False, longer: bool = False) -> list[str]:
    """Compare a study with the one that a folder was made by, and return in words what changed.

    UserError where a study file of the user lies there; OtherStudyError if the two are different experiments: with
    ``accept_source`` a program's code may be another, with ``longer`` the number of steps.
    """
    check_own_file(folder)
    if not folder.fetch(folder.study):
        return []
    old = load_resolved(folder.study)
    wrong = contradictions(old, study, accept_source=accept_source, longer=longer)
    if wrong:
        raise OtherStudyError(study.name, wrong, ways_out(study))
    return list(changes(old, study))


def check_own_file(folder: RunFolder) -> None:
    """UserError where a run's folder holds a study file that no run wrote: it would be overwritten, or moved aside."""
    # A run has a log before its study is written; its empty folder of shards a refused rival may have removed.
    a_run_s = folder.remote is not None or folder.shards.is_dir() or folder.log.exists()
    if folder.study.exists() and not a_run_s:
        raise UserError(
            f"{folder.study} is a study file of yours, and the run would use its folder; "
            "allowed: another --storage, or another name"
        )


def check_budget(study: Study, plan: Plan) -> None:
    """Refuse a plan that costs more than a study's ``max_core_hours`` or ``max_gpu_hours``, before anything starts."""
    resources = study.resources
    limits = {"core": resources.max_core_hours, "gpu": resources.max_gpu_hours}
    if plan.card_share is None:
        limits.pop("gpu")  # a plan for CPUs takes none
    if not plan.packs or all(limit == "none" for limit in limits.values()):
        return
    hours = _hours(resources, plan.measured())
    for kind, limit in limits.items():
        if limit != "none" and hours[kind] > limit:
            words = f"{hours[kind]:.3g} {'GPU' if kind == 'gpu' else kind}-hours"
            raise UserError(f"resources.max_{kind}_hours = {limit:g}, but the plan is estimated at {words}")


def _hours(resources: ResourceSpec, plan: Plan) -> dict[str, float]:
    if plan.card_share is None:
        return {"core": plan.core_seconds(plan.calibration()) * resources.cpus_per_pack / 3600}
    costs = estimate_on_cards(plan.packs, resources, 1, plan.card_share)
    return {"core": costs["core_hours"], "gpu": costs["gpu_hours"]}
