"""Freeze golden data: ``PYTHONPATH=. python tests/golden/freeze.py --all``; see README.md in this folder.

What is missing is written. What differs is shown, and written with ``--accept`` only; a stored run with ``--runs`` too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import golden_runs  # noqa: E402
from golden_all import GOLDEN  # noqa: E402
from golden_files import Golden, dumped  # noqa: E402
from golden_runs import RUNS, StoredRun, stored, sums  # noqa: E402

RUN = "runs/"


def main(arguments: list[str] | None = None) -> int:
    """Freeze what is asked for, and return 1 if something differs and was not accepted."""
    known = [*(f"{RUN}{run.name}" for run in RUNS), *(golden.name for golden in GOLDEN)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    parser.add_argument("--all", action="store_true", help="freeze all of them")
    parser.add_argument("--accept", action="store_true", help="write also what differs")
    parser.add_argument("--runs", action="store_true", help="with --accept: write stored runs that differ, too")
    options = parser.parse_args(arguments)
    if options.all == bool(options.names):
        parser.error("give the names of golden files, or --all")
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"{', '.join(unknown)}: not a golden file; allowed: {', '.join(known)}")
    wanted = known if options.all else options.names
    runs = [run for run in RUNS if f"{RUN}{run.name}" in wanted]
    left = [f"{RUN}{run.name}" for run in runs if not freeze_run(run, accept=options.accept and options.runs)]
    left += [golden.name for golden in GOLDEN if golden.name in wanted and not freeze(golden, accept=options.accept)]
    if left:
        print(f"differ, and stay as they are: {', '.join(left)}; to write them: --accept (stored runs: --runs too)")
    return int(bool(left))


def freeze(golden: Golden, *, accept: bool) -> bool:
    """Write a golden file that is missing, or differs and is accepted; False if it differs and is not."""
    found = golden.made()
    told = golden.compare(golden.read(), found) if golden.path.exists() else None
    write = told is None or bool(told and accept)
    tell(golden.name, told, written=write)
    if write:
        golden.path.parent.mkdir(parents=True, exist_ok=True)
        golden.path.write_text(dumped(found), encoding="utf-8")
    return write or not told


def freeze_run(run: StoredRun, *, accept: bool) -> bool:
    """Store a run that is missing, or differs and is accepted; False if it differs and is not."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        found = Path(folder) / run.name
        run.made(found)
        told = run.changes(found) if stored(run.name).exists() else None
        write = told is None or bool(told and accept)
        tell(f"{RUN}{run.name}", told, written=write)
        if write:
            shutil.rmtree(stored(run.name), ignore_errors=True)
            shutil.copytree(found, stored(run.name))
            golden_runs.SUMS.write_text(sums(), encoding="utf-8")
    return write or not told


def tell(name: str, told: list[str] | None, *, written: bool) -> None:
    """Say what became of a golden file, and all that differs."""
    state = "new" if told is None else "unchanged" if not told else f"{len(told)} differences"
    print(f"{name}: {state}{', written' if written else ''}", flush=True)
    for line in told or []:
        print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
