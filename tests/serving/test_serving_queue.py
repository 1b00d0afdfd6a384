"""Submitted studies: queued, run as processes of their own, cancelled, resumed, and found again after a restart."""

import asyncio
import json
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from click.testing import CliRunner
from conftest import run_in_process, study_of
from processes import alive, wait_for
from services import ANN, YAML, small

import phasemap as pm
from phasemap.cli import cli
from phasemap.results.folder import RunFolder
from phasemap.results.lock import locked
from phasemap.results.shards import shard_files
from phasemap.serving.queue import QueueFiles, Supervisor
from phasemap.serving.store import Cache, Store
from phasemap.serving.summaries import Followers, Summaries
from phasemap.study.errors import ConflictError, OtherStudyError, UnknownRunError

API = "/api/v1"


@pytest.fixture
def supervisor(tmp_path, forked):
    """A supervisor over an empty storage, whose runs train in their process; its queue is looked at by hand."""
    opened = []

    def open_supervisor(**options):
        found = Supervisor(tmp_path, run_options=["--in-process"], **options)
        found.take()
        opened.append(found)
        return found

    yield open_supervisor
    for one in opened:
        one.close()
        for job in one.jobs():
            if job.alive:
                os.killpg(job.pid, signal.SIGKILL)
        for child in one._children.values():
            child.wait()


def ended(supervisor, name):
    """Look at the queue until a job has no process any more and wants none."""

    def look():
        supervisor.tick()
        job = supervisor.job(name)
        return job if job.pid is None and not job.wanted else None

    return wait_for(look, what=f"the end of {name}")


def long(name):
    return study_of(name=name, training={"steps": 200_000})


def test_jobs_run_one_after_the_other_in_their_order(supervisor):
    found = supervisor()
    for name in ("first", "second"):
        assert found.submit(study_of(name=name), "ann", complete=False)
    found.tick()
    assert found.job("first").alive
    assert found.queue() == ["second"]
    ended(found, "first")
    assert found.job("second").pid is not None
    ended(found, "second")
    assert len(pm.open_run(found.root / "second").trials) == 8


def test_the_same_study_is_submitted_once_and_another_of_its_name_is_refused(supervisor):
    found = supervisor()
    study = study_of()
    assert found.submit(study, "ann", complete=False)
    assert not found.submit(study, "bob", complete=False)
    assert found.job("small").by == "ann"
    with pytest.raises(ConflictError, match="small is under way"):
        found.submit(study_of(seeds=3), "bob", complete=False)
    assert found.cancel(RunFolder(found.root / "small"), "bob")
    assert found.queue() == []


def test_a_finished_run_is_not_trained_again_but_widened(supervisor, tmp_path):
    study = study_of()
    folder = run_in_process(study, tmp_path)
    found = supervisor()
    assert not found.submit(study, "ann", complete=True)
    with pytest.raises(OtherStudyError, match=r"training.steps: was 60, is now 90"):
        found.submit(study_of(name="small", training={"steps": 90}), "ann", complete=True)
    assert found.submit(study_of(seeds=3), "ann", complete=True)
    ended(found, "small")
    assert len(pm.open_run(folder.path).trials) == 12


def test_a_cancelled_run_keeps_what_is_finished_and_goes_on_when_resumed(supervisor):
    found = supervisor()
    study = study_of(name="slow", resources={"pack_size": 1}, training={"steps": 4000})
    found.submit(study, "ann", complete=False)
    found.tick()
    folder = RunFolder(found.root / "slow")
    wait_for(lambda: shard_files(folder), what="a shard")
    assert found.cancel(folder, "bob")
    job = ended(found, "slow")
    assert (job.cancelled_by, job.error) == ("bob", None)
    kept = len(pm.open_run(folder.path).trials)
    assert 1 <= kept < 8
    assert not found.cancel(folder, "bob")
    assert found.resume(folder, "ann")
    ended(found, "slow")
    executions = json.loads(folder.provenance.read_text())
    assert [execution["outcome"] for execution in executions] == ["interrupted", "done"]
    assert executions[1]["n_reused"] == kept


@pytest.mark.parametrize("outcome", ["done", "interrupted", "failed", "lost"])
def test_the_service_and_the_command_line_call_an_end_by_the_same_word(serve, tmp_path, outcome):
    folder = run_in_process(study_of(), tmp_path / "s")
    entry = json.loads(folder.provenance.read_text())[-1]
    folder.provenance.write_text(json.dumps([entry | {"outcome": "running" if outcome == "lost" else outcome}]))
    told = serve(tmp_path / "s").get(f"{API}/runs/small", headers=ANN).json()["summary"]["state"]
    assert CliRunner().invoke(cli, ["status", str(folder.path)]).stdout.startswith(f"small: {outcome}, ")
    assert told == pm.open_run(folder.path).status.state == outcome


def test_a_run_that_others_interrupt_is_interrupted_and_not_failed(supervisor):
    found = supervisor()
    study = study_of(name="slow", resources={"pack_size": 1}, training={"steps": 4000})
    found.submit(study, "ann", complete=False)
    found.tick()
    wait_for(lambda: shard_files(RunFolder(found.root / "slow")), what="a shard")
    os.kill(found.job("slow").pid, signal.SIGTERM)
    job = ended(found, "slow")
    assert job.error is None
    assert Summaries(Store(found.root), found).of("slow").state == "interrupted"


def test_a_job_s_error_is_forgotten_once_the_command_line_ran_the_study_to_its_end(supervisor):
    found = supervisor()
    study = study_of(resources={"max_core_hours": 1e-9})
    found.submit(study, "ann", complete=False)
    ended(found, "small")
    summaries = Summaries(Store(found.root), found)
    assert summaries.of("small").state == "failed"
    run_in_process(study_of(), found.root)
    summary = summaries.of("small")
    assert (summary.state, summary.error, summary.n_done) == ("done", None, 8)


def test_a_run_that_is_refused_says_why(supervisor):
    found = supervisor()
    found.submit(
        study_of(name="dear", training={"steps": 10**7}, resources={"max_core_hours": 1e-6}), "ann", complete=False
    )
    job = ended(found, "dear")
    assert "resources.max_core_hours = 1e-06, but the plan is estimated at" in job.error
    assert not (found.root / "dear").exists()


def test_a_lost_process_is_started_again_but_not_for_ever(supervisor, monkeypatch):
    found = supervisor()
    found.submit(long("lost"), "ann", complete=False)
    for attempt in (1, 2, 3):
        found.tick()
        job = found.job("lost")
        assert job.attempts == attempt
        os.killpg(job.pid, signal.SIGKILL)
        wait_for(lambda pid=job.pid: not alive(pid), what="its death")
    found.tick()
    job = found.job("lost")
    assert (job.wanted, job.error) == (False, "its process was lost 3 times")


def test_another_service_finds_the_run_that_goes_on(supervisor):
    first = supervisor()
    first.submit(long("long"), "ann", complete=False)
    first.submit(long("next"), "ann", complete=False)
    first.tick()
    pid = first.job("long").pid
    first.close()  # a service that is killed leaves no more than this: its processes and files
    second = supervisor()
    second.tick()
    assert second.job("long").pid == pid
    assert second.queue() == ["next"]
    second.cancel(RunFolder(second.root / "long"), "ann")
    wait_for(lambda: not alive(pid) or first._children["long"].poll() is not None, what="its end")
    second.cancel(RunFolder(second.root / "next"), "ann")
    assert not second.job("next").wanted


def test_a_process_of_the_same_number_is_not_taken_for_the_run(supervisor):
    found = supervisor()
    found.submit(long("long"), "ann", complete=False)
    found.tick()
    job = found.job("long")
    assert job.alive
    assert not replace(job, started="1").alive
    assert not replace(job, host="elsewhere").alive


def test_a_storage_has_one_service(supervisor, tmp_path):
    supervisor()
    with locked(RunFolder(tmp_path)), pytest.raises(pm.UserError, match="is served already"):
        Supervisor(tmp_path).take()


def test_a_run_that_the_command_line_runs_is_left_alone(supervisor, tmp_path):
    found = supervisor()
    folder = RunFolder(tmp_path / "small")
    folder.create()
    with locked(folder), pytest.raises(ConflictError, match="is being run by process"):
        found.submit(study_of(), "ann", complete=False)


def test_forty_submits_of_one_study_make_one_job(serve, tmp_path):
    client = serve(tmp_path / "s", max_runs=1)
    client.app.state.service.supervisor.tick = lambda: None  # nothing is started meanwhile

    def submit(number):
        return client.post(f"{API}/studies", content=small(), headers={**ANN, **YAML}).status_code

    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(submit, range(40)))
    assert sorted(codes) == [200] * 39 + [202]
    assert client.get(f"{API}/runs", headers=ANN).json()["n_runs"] == 1
    assert list(QueueFiles(tmp_path / "s").read()) == ["small"]


def test_followers_get_the_newest_state_and_no_backlog():
    async def follow():
        followers, got = Followers(), []
        followers.enter()

        async def read():
            async for event in followers.follow(None, lambda: len(got) < 2):
                got.append(event.data)
                await asyncio.sleep(0.05)

        followers.publish("a", "1")
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.02)
        for number in range(2, 500):
            followers.publish("a", str(number))
        await asyncio.wait_for(reading, 5)
        return got, followers.followers

    with ThreadPoolExecutor(1) as pool:  # a browser's driver may have a loop in this thread
        assert pool.submit(lambda: asyncio.run(follow())).result() == (["1", "499"], 0)


def test_followers_are_told_of_a_run_that_is_gone_and_those_of_it_alone_are_let_go():
    async def follow():
        followers, got = Followers(), []
        followers.publish("a", "1")
        followers.publish("b", "2")
        followers.forget({"b"})
        for name in ("a", None):
            followers.enter()
            async for event in followers.follow(name, lambda: len(got) < 3):
                got.append((event.event, event.data))
        return got

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(follow())).result() == [("gone", "a"), ("run", "2"), ("gone", "a")]


def test_a_submitted_run_whose_folder_was_deleted_is_gone_and_can_be_submitted_again(supervisor):
    found = supervisor()
    summaries = Summaries(Store(found.root), found)
    found.submit(study_of(), "ann", complete=False)
    assert summaries.names() == ["small"]  # before it has a folder
    ended(found, "small")
    shutil.rmtree(found.root / "small")
    assert summaries.names() == []
    with pytest.raises(UnknownRunError):
        summaries.of("small")
    assert found.submit(study_of(), "ann", complete=False)
    ended(found, "small")
    assert summaries.of("small").n_done == 8


def test_a_cache_forgets_the_least_used_when_it_is_full():
    cache, made = Cache(most_bytes=1000), []

    def get(key):
        return cache.get((key,), lambda: made.append(key) or b"x" * 200)

    for key in (1, 2, 3, 4, 5, 1, 6, 1, 2):
        get(key)
    assert made == [1, 2, 3, 4, 5, 6, 2]


def test_tables_are_read_again_when_the_files_change_of_a_live_run_not_at_once(tmp_path):
    folder = run_in_process(study_of(), tmp_path)
    store = Store(tmp_path)
    first = store.snapshot("small")
    assert store.snapshot("small") is first
    store._kept["small"].seconds = 1000.0  # reading takes so long
    with locked(folder):
        folder.study.touch()
        assert store.snapshot("small") is first
    run_in_process(study_of(seeds=3), tmp_path)  # a page asks once for what has ended
    threads = [threading.Thread(target=store.snapshot, args=("small",)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(store.snapshot("small").trials) == 12
