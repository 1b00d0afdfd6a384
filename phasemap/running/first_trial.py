"""The first trial of a program: timed for a plan, or the one that tells what no signature tells of its quantities."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from phasemap.planning.packs import make_pack
from phasemap.planning.plan import check_folder, make_plan
from phasemap.results.folder import RunFolder
from phasemap.results.lock import locked
from phasemap.results.schema import PREFIXES
from phasemap.running.devices import DeviceChoice
from phasemap.running.program_packs import train_programs
from phasemap.running.retries import storage_errors
from phasemap.running.runner import Event, Failed, LocalRunner, Runner
from phasemap.running.worker import Workload, store_results
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.file import load_resolved
from phasemap.study.program_study import ProgramStudy, ProgramTrial, with_told
from phasemap.study.programs import quantity_mistakes
from phasemap.study.spec import Study
from phasemap.study.writing import dump_study
from phasemap.training.program_values import usual_kinds

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
        return "nothing to measure: all trials are trained already"
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


FIRST = "the first trial, which should show the quantities,"


def untold(study: Study) -> bool:
    """Whether a study's quantities are not known yet."""
    return isinstance(study, ProgramStudy) and not study.signature.quantities


def told_before(study: Study, folder: RunFolder) -> Study:
    """Return a study with the quantities that its run knows already."""
    if not (isinstance(study, ProgramStudy) and untold(study) and folder.fetch(folder.study)):
        return study
    old = load_resolved(folder.study)
    same = isinstance(old, ProgramStudy) and (old.signature.name, old.version) == (study.signature.name, study.version)
    return with_told(study, dict(old.signature.quantities)) if same and isinstance(old, ProgramStudy) else study


def told_by_first(study: Study, trial: ProgramTrial, runner: Runner, workload: Workload) -> Study:
    """Train a trial and return the study with what it reported; UserError where it failed."""
    assert isinstance(study, ProgramStudy)
    pack, failures = make_pack([trial]), list[str]()

    def tell(event: Event) -> None:
        if isinstance(event, Failed):
            if event.outside:
                raise UnreachableError(event.error)
            failures.append(event.error)

    runner.run([pack], workload, tell)
    shard = workload.folder.shard(pack.pack_id)
    if failures or not workload.folder.fetch(shard):
        raise UserError(f"{FIRST} failed: {(failures or ['no shard'])[0]}")
    return told_by_shard(study, shard)


def told_by_shard(study: ProgramStudy, shard: Path) -> ProgramStudy:
    """Return a study with the quantities of its first trial's shard; UserError, and no shard, where it failed."""
    table = pq.read_table(shard)
    if table["status"][0].as_py() == "failed":
        shard.unlink()
        raise UserError(f"{FIRST} failed: {table['error'][0].as_py()}")
    curve = PREFIXES["curve"]
    names = [name.removeprefix(curve) for name in table.column_names if name.startswith(curve)]
    quantities = usual_kinds(names)
    wrong = [*quantity_mistakes(quantities), *(f"reports {n}, a setting's name" for n in names if n in study.declared)]
    if wrong or not names:
        shard.unlink()
        raise UserError(f"program {study.program}: {'; '.join(wrong) or 'its first trial reported nothing'}")
    return with_told(study, quantities)
