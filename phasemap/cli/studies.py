"""Commands about study files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from phasemap.cli.complete import complete_shipped
from phasemap.cli.shared import guarded, json_option, print_result


@click.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors and other programs."""
    from phasemap.study.writing import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@json_option
def studies(as_json: bool) -> None:
    """List the studies that ship with phasemap; `phasemap init --from NAME` copies one."""
    from phasemap.study.templates import shipped_studies, summary_of

    rows = [{"name": name, "summary": summary_of(path)} for name, path in shipped_studies().items()]
    width = max((len(row["name"]) for row in rows), default=0)
    print_result(rows, "\n".join(f"{row['name']:<{width}}  {row['summary']}" for row in rows), as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--from", "source", metavar="NAME", shell_complete=complete_shipped,
              help="Copy a study that ships with phasemap; see `phasemap studies`.")  # fmt: skip
@click.option("--program", is_flag=True, help="Start from your own training function: a study and its .py file.")
@guarded
def init(file: Path | None, source: str | None, program: bool) -> None:
    """Write a commented study to start from into FILE; default study.yaml, or the copied study's name."""
    from phasemap.results.folder import write_text, written
    from phasemap.study.errors import UserError
    from phasemap.study.templates import FUNCTION, files_beside, program_template, shipped_study, template

    if source and program:
        raise UserError("--from and --program are both given; allowed: one of the two")
    copied = shipped_study(source) if source else None
    file = file or Path(copied.name if copied else "study.yaml")
    if copied:
        content = {file: copied.read_text(encoding="utf-8")}
        content |= {file.parent / path.name: path.read_text(encoding="utf-8") for path in files_beside(copied)}
    elif program:
        module = file.with_name("train.py")
        content = {file: program_template(_name(file)), module: FUNCTION}
    else:
        content = {file: template(_name(file))}
    for path in content:
        if path.exists():
            raise UserError(f"{path} exists already; allowed: a new file")
    for path, text in content.items():
        with written(path):
            write_text(path, text)
    measured = " --measure" if program else ""
    click.echo(f"{', '.join(map(str, content))}: now `phasemap plan {file}{measured}`, then `phasemap run {file}`")


def _name(file: Path) -> str:
    """Return a legal name for the study of a file."""
    return "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "_" for c in file.stem)[:64] or "study"
