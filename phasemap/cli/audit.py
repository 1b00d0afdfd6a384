"""The command that audits a team's own data and model."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from phasemap.cli.run import interrupt_on_terminate
from phasemap.cli.shared import guarded, json_option, print_result, runner_options, verbose_option
from phasemap.study.errors import UserError

MONEY = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "--label",
    metavar="COLUMN",
    required=True,
    help="The column of labels; for arrays, the name of an array in the .npz, or a .npy file.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder to write; default ./NAME-audit.")
@click.option("--budget", metavar="MINUTES", type=MONEY, default=5.0, show_default=True, help="Time for training.")
@click.option("--lang", type=click.Choice(["en", "ja"]), default="en", show_default=True,
              help="The language of page, summary and progress.")  # fmt: skip
@click.option("--group", metavar="COLUMN", help="Rows with the same value stay on the same side of every split.")
@click.option("--time", metavar="COLUMN", help="Split rows by blocks of time.")
@click.option(
    "--rater", "raters", metavar="COLUMN", multiple=True, help="One rater's labels; give it three times or more."
)
@click.option("--verified-label", metavar="COLUMN", help="True labels, empty where a row was not verified.")
@click.option("--cost", metavar="COLUMN", help="The cost of reviewing each row.")
@click.option("--drop", metavar="COLUMN", multiple=True, help="A column to leave out.")
@click.option("--encoding", default="utf-8", show_default=True, help="The encoding of a CSV file.")
@click.option("--regularizer", type=click.Choice(["weight_decay", "dropout", "width"]),
              help="The second axis of the map, beside corruption; default weight_decay.")  # fmt: skip
@click.option(
    "--noise-model",
    type=click.Choice(["even"]),
    help="Declare that wrong labels are as common among clear rows, where models are sure, as among the others.",
)
@click.option(
    "--verify-sheet",
    metavar="ROWS",
    type=click.IntRange(min=1),
    help="Write a sheet of this many rows for people to verify.",
)
@click.option("--verified", type=click.Path(path_type=Path), help="That sheet, filled in.")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    help="Your model's predicted probabilities, for rows that it was trained on and others.",
)
@click.option("--program", "--estimator", "program", metavar="CODE:NAME",
              help="Your training in place of the small network: FILE.PY:FUNCTION or MODULE:CLASSIFIER.")  # fmt: skip
@click.option("--embed-rows", is_flag=True, help="Put the contents of the most suspect rows into the page.")
@click.option("--cost-label", type=MONEY, default=1.0, show_default=True, help="Cost of reviewing one row.")
@click.option("--cost-example", type=MONEY, default=5.0, show_default=True, help="Cost of one more labelled row.")
@click.option("--value-error", type=MONEY, default=1.0, show_default=True, help="Value of one wrong answer avoided.")
@click.option(
    "--volume", type=MONEY, default=100_000.0, show_default=True, help="How many answers the model will give."
)
@click.option("--relabel-error", type=click.FloatRange(0, 0.5), default=0.05, show_default=True,
              help="Share of reviews that end with a wrong label.")  # fmt: skip
@click.option("--spend", type=MONEY, help="The sum to spend; default: the cost of reviewing a tenth of the rows.")
@runner_options
@json_option
@verbose_option
@guarded
def audit(*, as_json: bool, **settings: Any) -> None:
    """Audit DATA: what is memorized, which labels are wrong, where to spend.

    DATA is a .csv or .parquet table, an .npz (X and labels), or a .npy of features beside a .npy of labels. The same
    command continues an audit that was interrupted. Without DATA, it audits the --predictions of two or more trainings.
    """
    from phasemap.auditing.audit import audit as run_audit
    from phasemap.auditing.output import write_findings
    from phasemap.auditing.page import summary
    from phasemap.results.folder import RunFolder
    from phasemap.running.driver import RunOptions, start_runner
    from phasemap.running.retries import storage_errors
    from phasemap.study.spec import ResourceSpec

    starting = RunOptions(**{name: settings.pop(name) for name in ("address", "cpus", "in_process")})
    if settings["data"] is None:
        _check_alone(_given(), settings["predictions"])
    options = _options(settings)
    interrupt_on_terminate()
    cores = 1 if starting.in_process else starting.cpus or os.cpu_count() or 1
    with storage_errors(RunFolder(options.output)):
        if options.data is None:
            content = _audit_alone(options)
        else:
            start = partial(start_runner, ResourceSpec(), starting)
            content = write_findings(run_audit(options, start, cores=cores))
    text = f"{summary(content, options.language)}\n{options.output / 'audit.html'}"
    print_result(content, text, as_json=as_json)


ALONE = ("label", "predictions", "output", "lang", "noise_model", "as_json", "verbose")
"""The options of an audit of predictions alone."""


def _given() -> list[str]:
    """Return the options that were given."""
    context = click.get_current_context()
    return [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]


def _check_alone(given: list[str], predictions: Path | None) -> None:
    """UserError where there are no data, and something is asked for that needs them."""
    if predictions is None:
        raise UserError("DATA is missing; allowed: a file of labelled data, or --predictions of two or more trainings")
    options = {option.name: option.opts[0] for option in audit.params}
    needing = [options[name] for name in given if name not in ALONE]
    if needing:
        raise UserError(f"{needing[0]} needs DATA: an audit of predictions alone has no features and trains nothing")


def _audit_alone(options: Any) -> Any:
    from phasemap.auditing.audit import make_output
    from phasemap.auditing.output import write_rounds
    from phasemap.auditing.predictions import read_rounds, tell

    rounds = read_rounds(options.predictions, options.columns.label)
    make_output(options.output)
    return write_rounds(tell(rounds, declared=options.noise_model is not None), options)


def _options(settings: dict[str, Any]) -> Any:
    from phasemap.auditing.inputs import Columns, Options, Prices

    prices = {name: settings.pop(name) for name in Prices.__slots__}
    columns = Columns(
        label=settings.pop("label"),
        group=settings.pop("group"),
        time=settings.pop("time"),
        raters=settings.pop("raters"),
        verified=settings.pop("verified_label"),
        cost=settings.pop("cost"),
        drop=settings.pop("drop"),
    )
    data: Path | None = settings.pop("data")
    return Options(
        data=data,
        columns=columns,
        output=settings.pop("output") or Path(f"{(data or settings['predictions']).stem}-audit"),
        language=settings.pop("lang"),
        budget_minutes=settings.pop("budget"),
        prices=Prices(**prices),
        **settings,
    )
