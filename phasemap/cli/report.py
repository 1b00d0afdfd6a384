"""The command that writes a run's report."""

from __future__ import annotations

from pathlib import Path

import click

from phasemap.cli.complete import complete_run
from phasemap.cli.shared import common, print_result


@click.command()
@click.argument("run", shell_complete=complete_run)
@common
@click.option("-o", "--output", type=click.Path(path_type=Path), help="An .html file; default NAME.html here.")
def report(run: str, storage: str | None, as_json: bool, output: Path | None) -> None:
    """Write one HTML file to explore and share a run: diagram, curves, study card. It needs no network.

    It has at most 2 MB for up to 2,000 trials, and 5 MB for more: curves get fewer steps where necessary.
    """
    from phasemap.api import open_run

    found = open_run(run, storage)
    path = found.report(output or Path(f"{found.study.name}.html"))
    size = path.stat().st_size
    print_result({"file": str(path), "bytes": size}, f"{path} ({size / 1e6:.2g} MB)", as_json=as_json)
