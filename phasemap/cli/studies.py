"""Commands about study files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from phasemap.cli.shared import guarded


@click.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors and other programs."""
    from phasemap.study.writing import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="study.yaml")
def init(file: Path) -> None:
    """Write a commented study to start from."""
    guarded(_init, file)


def _init(file: Path) -> None:
    from phasemap.results.folder import write_text, written
    from phasemap.study.errors import UserError
    from phasemap.study.writing import template

    if file.exists():
        raise UserError(f"{file} exists already; allowed: a new file")
    name = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "_" for c in file.stem)[:64] or "study"
    with written(file):
        write_text(file, template(name))
    click.echo(f"{file}: now `phasemap plan {file}`, then `phasemap run {file}`")
