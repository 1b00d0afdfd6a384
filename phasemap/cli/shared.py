"""What every command shares: options, exit codes, and how mistakes and results are printed."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from phasemap.api import Run

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130

storage_option = click.option(
    "--storage",
    metavar="DIR-or-URI",
    help="Where runs are kept; default ./runs. With it, RUN is just a name.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else, on stdout."
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show the run's log messages on stderr.")
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a study's value, e.g. training.steps=500.",
)

address_option = click.option(
    "--address", metavar="ADDR", help="A Ray cluster; 'auto' inside one. Default: Ray on this machine."
)
cpus_option = click.option("--cpus", type=click.IntRange(min=1), help="CPUs of the embedded Ray; default all.")
in_process_option = click.option("--in-process", is_flag=True, help="Train in this process, without Ray.")


def runner_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --address, --cpus and --in-process: what trains."""
    return address_option(cpus_option(in_process_option(command)))


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --storage, --json and -v, and what ``guarded`` does."""
    return storage_option(json_option(verbose_option(guarded(command))))


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn users' mistakes into messages with the contract's exit codes, and heed -v."""

    @wraps(command)
    def wrapped(*args: Any, verbose: bool = False, **kwargs: Any) -> Any:
        from phasemap.study.errors import PhasemapError

        if verbose:
            log_to_stderr()
        as_json = kwargs.get("as_json", False)
        try:
            return command(*args, **kwargs)
        except PhasemapError as error:
            _fail(str(error), error.exit_code, as_json=as_json)
        except KeyboardInterrupt:
            told = "interrupted; what was finished is kept, and the same command continues"
            _fail(told, EXIT_INTERRUPTED, as_json=as_json)

    return wrapped


def _fail(message: str, code: int, *, as_json: bool) -> None:
    from phasemap.study.errors import visible

    click.echo("phasemap: " + visible(message, keep="\n\t"), err=True)
    if as_json:
        click.echo(json.dumps({"error": message, "exit_code": code}))
    sys.exit(code)


def log_to_stderr() -> None:
    """Show phasemap's log messages."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("phasemap").addHandler(handler)


def grid_of(text: str | None) -> dict[str, str]:
    """Read --grid: the values of each axis."""
    from phasemap.study.errors import UserError

    grid = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name, equals, asked = part.partition("=")
        if not equals:
            raise UserError(f"--grid {part} is not allowed; allowed: AXIS=N or AXIS=N:log, with commas between")
        grid[name.strip()] = asked.strip()
    return grid


def words(counts: Any) -> str:
    """Write counts for people."""
    return ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in counts.items()) or "no labels"


def search_words(run: Run) -> str:
    """Say in a line how much of a search's map was measured, and how wrong the rest may be."""
    from phasemap.diagram.tables import Tables
    from phasemap.search.completed import map_words

    return map_words(Tables(study=run.study, trials=run.trials, points=run.points))


def summary(content: Mapping[str, Any]) -> str:
    """Write for people what a run came to."""
    mapped = f"map: {content['map']}\n" if "map" in content else ""
    diverged = f"{content['n_diverged']} diverged; " if content.get("n_diverged") else ""
    return (
        f"{content['n_trained']} trained, {content['n_reused']} reused, {len(content['failures'])} failed; "
        f"{diverged}{words(content['phase_counts'])}\n{mapped}tables and diagram.png: {content['run']}"
    )


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_result(content: Any, text: str, *, as_json: bool) -> None:
    """Print a command's result: the one JSON document, or text."""
    from phasemap.results.encoding import json_text

    click.echo(json_text(content) if as_json else text)
