"""Gather a run for others: one folder or zip with study, tables, figures, provenance and checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from phasemap.results.export import export_table
from phasemap.results.folder import written
from phasemap.results.provenance import read_provenance
from phasemap.runs import Run
from phasemap.study.errors import UserError

SUMS = "SHA256SUMS"
ZIP = ".zip"
OTHER_ARCHIVES = frozenset({".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold: the same content gives the same file


def write_bundle(run: Run, target: Path) -> list[str]:
    """Write a run's bundle to a new folder or zip, whole or not at all, and return the names of its files.

    UserError where the target exists or is named like another archive; UnreachableError where it can't be written.
    """
    if target.suffix.lower() in OTHER_ARCHIVES:
        raise UserError(f"{target} has the ending '{target.suffix}'; allowed: .zip, or a folder (without an ending)")
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists already; allowed: a new folder or a new .zip file")
    parent, prefix = target.absolute().parent, f".{target.name}."
    with written(target), tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as work:
        content = Path(work) / "content"
        content.mkdir()
        names = _gather(run, content)
        if target.suffix.lower() == ZIP:
            packed = Path(work) / "packed"
            _pack(content, names, packed)
            packed.rename(target)
        else:
            content.rename(target)
    return names


def _gather(run: Run, folder: Path) -> list[str]:
    """Write every file of a bundle, then their checksums."""
    for name, write in _parts(run).items():
        write(folder / name)
    for path in (run.folder.study, run.folder.measured, run.folder.neurons):
        if run.folder.fetch(path):
            shutil.copyfile(path, folder / path.name)
    if executions := read_provenance(run.folder):
        text = json.dumps([execution.content for execution in executions], indent=2) + "\n"
        (folder / run.folder.provenance.name).write_text(text, encoding="utf-8")
    names = sorted(path.name for path in folder.iterdir())
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    return [*names, SUMS]


def _parts(run: Run) -> Mapping[str, Callable[[Path], object]]:
    """Return what is made anew, by file name."""
    from phasemap.figures.static import save_figure

    tables = {"trials": run.trials, "points": run.points, "curves": run.curves}
    parts: dict[str, Callable[[Path], object]] = {
        f"{name}.parquet": partial(export_table, frame) for name, frame in tables.items()
    }
    spec = run.figure()
    parts |= {f"diagram.{ending}": partial(save_figure, spec) for ending in ("png", "svg", "pdf")}
    parts["report.html"] = run.report
    return parts


def _pack(folder: Path, names: list[str], target: Path) -> None:
    """Pack files into a zip in the order of their names, without dates."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
