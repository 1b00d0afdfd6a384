"""The command line: parse, call, print."""

from __future__ import annotations

import gc
import json
import sys

import click

from phasemap._version import __version__
from phasemap.cli.audit import audit
from phasemap.cli.check import check
from phasemap.cli.compare import diff
from phasemap.cli.importing import import_command
from phasemap.cli.jobs import cancel, logs, status, submit
from phasemap.cli.look import list_command, plot, show
from phasemap.cli.replay import replay
from phasemap.cli.run import extend, plan, run
from phasemap.cli.serve import serve
from phasemap.cli.shared import EXIT_INTERRUPTED
from phasemap.cli.studies import init, schema, studies
from phasemap.cli.tables import bundle, export, relabel, report


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="phasemap")
def cli() -> None:
    """Map where neural networks generalize and where they memorize.

    A study (a YAML file) goes in; its trials are trained on Ray, labelled, and merged into a phase diagram.

    \b
    Start:  phasemap init --from quickstart      (phasemap studies lists what ships; init alone writes a new study)
            phasemap run quickstart.yaml
            phasemap show runs/quickstart

    Completion of commands, runs, axes and metrics:  eval "$(_PHASEMAP_COMPLETE=bash_source phasemap)"
    (or zsh_source; fish: _PHASEMAP_COMPLETE=fish_source phasemap | source)
    """


COMMANDS = (
    run, extend, plan, submit, status, logs, cancel, list_command, show, plot, report, diff, check, replay, relabel,
    export, bundle, studies, init, schema, audit, serve, import_command,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line; with --json, mistakes in the command itself are told as JSON too."""
    gc.set_threshold(50_000)  # what imports make stays, and looking through it again and again takes time
    try:
        sys.exit(cli.main(prog_name="phasemap", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        if "--json" in sys.argv:
            click.echo(json.dumps({"error": error.format_message(), "exit_code": error.exit_code}))
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(EXIT_INTERRUPTED)
