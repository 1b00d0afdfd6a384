"""Runs on a cluster that is reached from outside: submitted through Ray Jobs, found again by their names."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from phasemap._version import __version__
from phasemap.running import start
from phasemap.running.shipping import copy_files, needed_modules, shipped_files
from phasemap.running.tokens import PLACES, find_token
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.spec import Study
from phasemap.study.writing import dump_study

CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.5
STOP_SECONDS = 60  # for a cancelled driver to write its tables, before Ray kills it (Ray's own default is 3)
OLDEST_RAY = (2, 40)
RUN, STORAGE = "phasemap_run", "phasemap_storage"  # a job's metadata
CHATTY = (
    "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging",
)  # loggers that tell of each upload  # fmt: skip
NO_FILES: Mapping[str, Path] = MappingProxyType({})
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
NEEDS = (
    f"every node needs phasemap {__version__} in the Python that runs Ray (pip install 'phasemap[cluster]'), "
    "or its dependencies and submit --wheel FILE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A submitted run as the cluster's job server tells of it."""

    job_id: str
    run: str
    storage: str
    status: str  # PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED
    message: str
    started: datetime | None
    ended: datetime | None
    driver_exit_code: int | None

    @property
    def state(self) -> str:
        """The status in phasemap's words, which are also those of a run's record."""
        return {"SUCCEEDED": "done", "STOPPED": "interrupted"}.get(self.status, self.status.lower())

    @property
    def exit_code(self) -> int:
        """The exit code of the run; 3 where its driver was lost, 130 where it was cancelled."""
        if self.status == "STOPPED":
            return 130
        code = 0 if self.status == "SUCCEEDED" else self.driver_exit_code
        return code if code in (0, 1, 2, 3, 130) else 3


class JobServer:
    """The job server of a Ray cluster; UnreachableError where it can't be used."""

    def __init__(self, address: str) -> None:
        if not address.startswith(("http://", "https://")):
            raise UserError(f"--address {address} is not allowed; allowed: http://HEAD:8265, the head's job server")
        self.address = address.rstrip("/")
        token = find_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        _check_server(self.address, headers, token)
        try:
            from ray.job_submission import JobSubmissionClient

            with self._errors():
                self._client = JobSubmissionClient(self.address, headers=headers)
        except ModuleNotFoundError as error:
            raise UserError(f"{error.name} is missing; needed: pip install 'phasemap[cluster]'") from None

    def submit(self, study: Study, storage: str, wheel: Path | None = None, ship: Path | None = None) -> str:
        """Send a study with what starts it, and return the job's id; UserError if the run is at work already."""
        for job in self.jobs(study.name):
            if job.status not in ENDED and job.storage == storage:
                raise UserError(f"{study.name} is {job.state} as job {job.job_id}; allowed: phasemap logs or cancel")
        files = shipped_files(study, ship)
        job_id = f"{study.name}-{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
        arguments = ["run", "study.yaml", "--storage", storage, "--address", "auto", "--json"]
        with tempfile.TemporaryDirectory(prefix="pm-") as folder, self._errors():
            write_parcel(Path(folder), study, arguments, wheel, files)
            self._client.submit_job(
                entrypoint="python start.py",
                submission_id=job_id,
                runtime_env={"working_dir": folder, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}},
                metadata={RUN: study.name, STORAGE: storage},
            )
        return job_id

    def jobs(self, run: str | None = None) -> list[Job]:
        """List the cluster's submitted runs (or those of one name), the latest first."""
        with self._errors():
            submitted = [_job(details) for details in self._client.list_jobs() if RUN in (details.metadata or {})]
        jobs = [job for job in submitted if run in (None, job.run, job.job_id)]
        return sorted(jobs, key=lambda job: (job.started is None, job.started or datetime.min), reverse=True)

    def job(self, run: str) -> Job:
        """Return the latest job of a run, by the run's name or the job's id; UserError if there is none."""
        found = self.jobs(run)
        if not found:
            known = ", ".join(dict.fromkeys(job.run for job in self.jobs())) or "none"
            raise UserError(f"no run {run} was submitted to {self.address}; submitted were: {known}")
        return found[0]

    def log(self, job_id: str) -> str:
        """Return what a job has written."""
        with self._errors():
            text: str = self._client.get_job_logs(job_id)
        return text

    def wait_for_start(self, job_id: str) -> Job:
        """Wait until a job has checked its cluster and begun, or ended, and return it."""
        while True:
            job = self.job(job_id)
            if job.status in ENDED or (job.status == "RUNNING" and start.CHECKED in self.log(job_id)):
                return job
            time.sleep(POLL_SECONDS)

    def follow(self, job_id: str, tell: Callable[[str], None]) -> Job:
        """Tell each line of a job's log until it ends, and return the job."""
        told = 0
        while (job := self.job(job_id)).status == "PENDING":
            time.sleep(POLL_SECONDS)
        while True:
            with suppress(RuntimeError, OSError):  # a connection that was cut: look whether the cluster is still there
                told = asyncio.run(self._tail(job_id, told, tell))
            job = self.job(job_id)
            if job.status in ENDED:
                for line in self.log(job_id).splitlines()[told:]:
                    tell(line)
                return job
            time.sleep(POLL_SECONDS)

    async def _tail(self, job_id: str, told: int, tell: Callable[[str], None]) -> int:
        """Tell the whole lines of a log after the first ``told`` and return how many were told in all."""
        number = 0
        async for line in _lines(self._client.tail_job_logs(job_id)):
            number += 1
            if number > told:
                tell(line)
        return max(told, number)

    def cancel(self, run: str) -> Job:
        """Stop a run's job, wait for its end and return it; UserError if it has ended already."""
        job = self.job(run)
        if job.status in ENDED:
            raise UserError(f"job {job.job_id} of {job.run} has already ended: {job.state}")
        with self._errors():
            self._client.stop_job(job.job_id)
        deadline = time.monotonic() + STOP_SECONDS + CONNECT_SECONDS
        while (job := self.job(job.job_id)).status not in ENDED and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return job

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the client raises into an error that names the cluster."""
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        except ModuleNotFoundError:
            raise
        except ConnectionError:
            raise UnreachableError(
                f"the job server at {self.address} is gone; if its head was lost, its jobs were too: submit again"
            ) from None
        except Exception as error:  # its client raises many kinds, down to bare RuntimeError with the answer's text
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UnreachableError(f"the job server at {self.address}: {lines[-1]}") from None


def write_parcel(
    folder: Path, study: Study, arguments: Sequence[str], wheel: Path | None, files: Mapping[str, Path] = NO_FILES
) -> None:
    """Fill the folder that a job starts in: study, program, what starts them, and phasemap itself if it is sent."""
    copy_files(files, folder)
    (folder / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    (folder / "submission.json").write_text(
        json.dumps(
            {
                "phasemap": __version__,
                "arguments": list(arguments),
                "needs": NEEDS,
                "modules": needed_modules(study),
            }
        ),
        encoding="utf-8",
    )
    shutil.copy(start.__file__, folder / "start.py")
    if wheel is not None:
        try:
            with zipfile.ZipFile(wheel) as file:
                file.extractall(folder)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"--wheel {wheel} can't be read: {error}; allowed: a wheel of phasemap") from None
        if not (folder / "phasemap" / "_version.py").is_file():
            raise UserError(f"--wheel {wheel} does not contain phasemap; allowed: a wheel of phasemap")


def _job(details: Any) -> Job:
    metadata: Mapping[str, str] = details.metadata
    return Job(
        job_id=details.submission_id,
        run=metadata[RUN],
        storage=metadata[STORAGE],
        status=str(details.status.value),
        message=details.message or "",
        started=_time(details.start_time),
        ended=_time(details.end_time),
        driver_exit_code=details.driver_exit_code,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000).astimezone() if milliseconds else None


async def _lines(chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the whole lines of a text that comes in pieces."""
    rest = ""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            yield line


def _check_server(address: str, headers: Mapping[str, str], token: str | None) -> None:
    """UnreachableError unless a job server answers there, accepts the token and is of a Ray that we know."""
    _get(f"{address}/api/jobs/", headers, token)
    version = str(_get(f"{address}/api/version", headers, token).get("ray_version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_RAY:
        raise UnreachableError(
            f"the cluster at {address} runs Ray {version}; allowed: {'.'.join(map(str, OLDEST_RAY))} or newer"
        )


def _get(url: str, headers: Mapping[str, str], token: str | None) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as answer:
            content = json.load(answer)
            return content if isinstance(content, dict) else {}
    except urllib.error.HTTPError as error:
        error.close()  # it holds the answer's socket
        raise UnreachableError(_refusal(url, error.code, token)) from None
    except ValueError:
        raise UnreachableError(f"{url} is not a job server of Ray: its answer is not JSON") from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"{url} can't be reached: {getattr(reason, 'strerror', None) or reason}; "
            "needed: a head with ray[default], and its port 8265 open to you "
            "(ray dashboard, kubectl port-forward, ssh -L)"
        ) from None


def _refusal(url: str, code: int, token: str | None) -> str:
    if code == 401 and token is None:
        return f"{url} asks for Ray's token, and none was found; looked in: {PLACES}"
    if code in (401, 403):
        return f"{url} refuses the token that was found; looked in: {PLACES}"
    if code == 404:
        return f"{url} was not found: the head has no job server; needed there: ray[default]"
    return f"{url} answers with HTTP status {code}"
