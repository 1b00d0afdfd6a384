"""Commands about runs under way: on a cluster by its job server (--address), else by what is in the storage."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasemap.cli.complete import of_run
from phasemap.cli.shared import (
    STATE_UNKNOWN,
    guarded,
    json_option,
    print_json,
    print_result,
    set_option,
    summary,
    verbose_option,
    words,
)

if TYPE_CHECKING:
    from phasemap.running.jobs import Job, JobServer

server_option = click.option(
    "--address", metavar="URL", help="The job server of a Ray cluster, http://HEAD:8265. Default: look in the storage."
)


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--storage", metavar="PATH-or-URI", help="Where the nodes keep runs: a URI, or an absolute path that all share."
)
@json_option
@verbose_option
@guarded
@set_option
@click.option("--address", metavar="URL", required=True, help="The cluster's job server, http://HEAD:8265.")
@click.option("--follow", is_flag=True, help="Show the progress, and exit with the run's exit code.")
@click.option("--wheel", type=click.Path(path_type=Path), help="Send this wheel of phasemap along.")
@click.option(
    "--ship",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Send all of this folder with the program; it must be inside the study's folder.",
)
def submit(
    study: Path,
    storage: str | None,
    as_json: bool,
    overrides: tuple[str, ...],
    address: str,
    follow: bool,
    wheel: Path | None,
    ship: Path | None,
) -> None:
    """Send STUDY to a Ray cluster as a job; submitting it again continues its run.

    It sends the study and, for a program, its file and the modules beside it that it imports, or the
    folder of --ship. Every node needs this version of phasemap (or its dependencies and --wheel), and must
    reach --storage.
    """
    from phasemap.running.jobs import JobServer
    from phasemap.running.shipping import shipped_files
    from phasemap.study.file import load_study

    loaded, shared = load_study(study, overrides), _shared_storage(storage)
    for name in shipped_files(loaded, ship):
        click.echo(f"sending {name}", err=True)
    server = JobServer(address)
    job_id = server.submit(loaded, shared, wheel=wheel, ship=ship)
    click.echo(f"submitted {loaded.name} as job {job_id}", err=True)
    if follow:
        _follow(server, job_id, as_json=as_json)
    job = server.wait_for_start(job_id)
    if job.exit_code and job.status in ("FAILED", "STOPPED"):
        _end_with(job, _result(server.log(job_id)), as_json=as_json)
    text = (
        f"{loaded.name} runs as job {job_id}\n"
        f"phasemap logs {loaded.name} --address {address}   (or status, cancel)\n"
        f"results: {_place(shared, loaded.name)}"
    )
    print_result({"job": job_id, "run": _place(shared, loaded.name), "status": job.status}, text, as_json=as_json)


def _place(storage: str, run: str) -> str:
    return f"{storage.rstrip('/')}/{run}"


def _shared_storage(storage: str | None) -> str:
    from phasemap.study.errors import UserError

    if storage is None or ("://" not in storage and not Path(storage).is_absolute()):
        raise UserError(
            f"--storage {storage or 'is missing'}: the cluster's nodes write there; "
            "allowed: a URI such as s3://bucket/runs, or an absolute path that all nodes share"
        )
    return storage


def _follow(server: JobServer, job_id: str, *, as_json: bool) -> None:
    """Show a job's progress on stderr until it ends, print its result and exit with its exit code."""
    try:
        job = server.follow(job_id, _tell)
    except KeyboardInterrupt:
        click.echo(f"job {job_id} goes on; to stop it: phasemap cancel {job_id} --address {server.address}", err=True)
        sys.exit(130)
    _end_with(job, _result(server.log(job_id)), as_json=as_json)


def _tell(line: str) -> None:
    if not _result(line):
        click.echo(line, err=True)


def _result(log: str) -> dict[str, Any]:
    """Return the JSON document that ends a run's output; empty where there is none."""
    for line in reversed(log.splitlines()):
        if line.startswith("{"):
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if {"run", "error"} & set(document):
                return dict(document)
    return {}


def _end_with(job: Job, result: dict[str, Any], *, as_json: bool) -> None:
    if not result:
        lost = job.status == "FAILED"
        text = "its driver was lost; submit the study again to continue" if lost else job.state
        result = {"error": f"job {job.job_id}: {text}", "exit_code": job.exit_code}
        click.echo(f"phasemap: {result['error']}\n{job.message}".rstrip(), err=True)
    elif "error" in result:
        click.echo(f"phasemap: {result['error']}", err=True)
    if as_json:
        print_json(json.dumps({"job": job.job_id, **result}))
    elif "n_trained" in result:
        click.echo(summary(result))
    sys.exit(job.exit_code)


@click.command()
@of_run
@server_option
def status(run: str, storage: str | None, as_json: bool, address: str | None) -> None:
    """Say whether RUN is being trained, where, and how far it has come."""
    if address:
        from phasemap.running.jobs import JobServer

        server = JobServer(address)
        job = server.job(run)
        content = _job_content(job) | {"last_line": _last_line(server.log(job.job_id))}
        lines = [f"{job.run}: {job.state} (job {job.job_id})", content["last_line"], f"results: {job.storage}"]
    else:
        from phasemap.api import open_run

        found = open_run(run, storage).status
        names = ("name", "run", "state", "n_trials", "n_done", "phase_counts", "at_step")
        content = {name: getattr(found, name) for name in names}
        lines = [f"{found.name}: {found.state or STATE_UNKNOWN}, {found.progress}"]
        horizon = f"labels at step {content['at_step']}" if content["at_step"] is not None else ""
        lines += [words(content["phase_counts"]), horizon, f"results: {content['run']}"]
    print_result(content, "\n".join(line for line in lines if line), as_json=as_json)


def _job_content(job: Job) -> dict[str, Any]:
    times = {
        name: value.isoformat() if value else None for name in ("started", "ended") for value in [getattr(job, name)]
    }
    return {**asdict(job), **times, "exit_code": job.exit_code if job.ended else None}


def _last_line(log: str) -> str:
    return next((line for line in reversed(log.splitlines()) if line.strip() and not _result(line)), "")


@click.command()
@of_run
@server_option
@click.option(
    "--follow", is_flag=True, help="With --address: keep printing what is written, then exit with the run's exit code."
)
def logs(run: str, storage: str | None, as_json: bool, address: str | None, follow: bool) -> None:
    """Print the log of RUN: run.log in the storage or, with --address, what its job has written."""
    from phasemap.study.errors import UserError

    if address:
        from phasemap.running.jobs import JobServer

        server = JobServer(address)
        job = server.job(run)
        if follow:
            _follow(server, job.job_id, as_json=as_json)
        text = server.log(job.job_id)
    elif follow:
        raise UserError("--follow needs --address, the job server to follow")
    else:
        from phasemap.api import open_run

        path = open_run(run, storage).folder.log
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    print_result({"run": run, "log": text}, text.rstrip("\n"), as_json=as_json)


@click.command()
@of_run
@server_option
def cancel(run: str, storage: str | None, as_json: bool, address: str | None) -> None:
    """Stop RUN. What is finished is kept; running or submitting the study again continues it."""
    if address:
        from phasemap.running.jobs import JobServer

        job = JobServer(address).cancel(run)
        content: dict[str, Any] = _job_content(job)
        text = f"job {job.job_id}: {job.state}"
    else:
        from phasemap.api import open_run
        from phasemap.results.lock import interrupt_holder

        opened = open_run(run, storage)
        pid = interrupt_holder(opened.folder)
        content, text = {"run": opened.location, "pid": pid}, f"{opened.study.name}: process {pid} was interrupted"
    print_result(content, text, as_json=as_json)
