"""What no signature tells of a program's quantities is told by its first trial, before the others start."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from phasemap.planning.packs import make_pack
from phasemap.results.folder import RunFolder
from phasemap.results.schema import PREFIXES
from phasemap.running.runner import Event, Failed, Runner
from phasemap.running.worker import Workload
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.file import load_resolved
from phasemap.study.names import QUANTITY_KINDS
from phasemap.study.program_study import ProgramStudy, ProgramTrial, with_told
from phasemap.study.programs import quantity_mistakes
from phasemap.study.spec import Study

FIRST = "the first trial, which was to tell the quantities,"


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
    found = [name.removeprefix(curve) for name in table.column_names if name.startswith(curve)]
    quantities = {name: QUANTITY_KINDS.get(name, "number") for name in found}
    wrong = [*quantity_mistakes(quantities), *(f"reports {n}, a setting's name" for n in found if n in study.declared)]
    if wrong or not found:
        shard.unlink()
        raise UserError(f"program {study.program}: {'; '.join(wrong) or 'its first trial reported nothing'}")
    return with_told(study, quantities)
