"""One trial of a program, run to see what a study would take; what ends is kept for the run."""

from __future__ import annotations

from phasemap.planning.packs import make_pack
from phasemap.planning.plan import check_folder, make_plan
from phasemap.results.folder import RunFolder
from phasemap.results.lock import locked
from phasemap.running.devices import DeviceChoice
from phasemap.running.local import LocalRunner
from phasemap.running.program_packs import train_programs
from phasemap.running.retries import storage_errors
from phasemap.running.telling import told_before, told_by_shard, untold
from phasemap.running.worker import Workload, store_results
from phasemap.study.errors import UserError
from phasemap.study.program_study import ProgramStudy, ProgramTrial
from phasemap.study.spec import Study
from phasemap.study.writing import dump_study

MEASURE_MINUTES = 1.0


def measure(study: Study, folder: RunFolder) -> str:
    """Run a study's next trial for a minute at most, store it if it ends, and say what happened."""
    if not isinstance(study, ProgramStudy):
        raise UserError("--measure is for studies of a program; the time of networks is measured by every plan")
    check_folder(study, folder)
    with storage_errors(folder):
        folder.create()
        try:
            with locked(folder):
                return _measured(told_before(study, folder), folder)
        finally:
            folder.remove_if_empty()


def _measured(study: Study, folder: RunFolder) -> str:
    packs = make_plan(study, folder).packs
    trials = [trial for pack in packs[:1] for trial in pack.trials if isinstance(trial, ProgramTrial)]
    if not trials or not isinstance(study, ProgramStudy):
        return "nothing to measure: all trials are there"
    with LocalRunner() as runner:
        device = runner.choose_device(DeviceChoice(wanted=study.resources.device))
        resources = study.resources.model_copy(update={"max_trial_minutes": MEASURE_MINUTES})
        limited = study.model_copy(update={"resources": resources})
        (result,) = train_programs(limited, trials[:1], device=device, attempts=1)
    if result.status == "failed":
        return f"trial {trials[0]} was not measured: {result.error}"
    pack = make_pack(trials[:1])
    store_results(pack, [result], Workload(folder=folder, study=study, device=device))
    if not folder.fetch(folder.study):
        known = told_by_shard(study, folder.shard(pack.pack_id)) if untold(study) else study
        folder.write_text(folder.study, dump_study(known))
    return f"trial {trials[0]} took {result.train_seconds:.1f} s, and is kept"
