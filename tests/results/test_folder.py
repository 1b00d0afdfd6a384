"""A run's files: written whole or not at all, found by folder or name, and locked for one driver."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import forks
import pytest

from phasemap.results import lock
from phasemap.results.folder import RunFolder, find_run, list_runs, run_folder, write_text, write_whole
from phasemap.results.lock import holder_of, locked
from phasemap.results.provenance import Provenance, read_provenance
from phasemap.study.errors import UnreachableError, UserError


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.bin"
    path.write_bytes(b"old")

    def half(temporary):
        temporary.write_bytes(b"ne")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_whole(path, half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_storage_that_cannot_be_written_is_named():
    with pytest.raises(UnreachableError, match=r"the storage /proc/x/run can't be written"):
        RunFolder(Path("/proc/x/run")).create()


def test_storages_are_folders_or_uris():
    assert run_folder("file:///data/runs", "a").path == Path("/data/runs/a")
    assert run_folder(None, "a").path == Path("runs/a")
    with pytest.raises(UserError, match="nonsense://x/a: Protocol not known: nonsense; allowed: a folder, s3://"):
        find_run("nonsense://x/a")


def test_runs_are_found_by_folder_and_by_name(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "runs" / "mine")
    folder.create()
    write_text(folder.study, "name: mine")
    (tmp_path / "runs" / "other").mkdir()
    assert find_run(folder.path).path == folder.path
    assert find_run("mine", tmp_path / "runs").path == folder.path
    monkeypatch.chdir(tmp_path)
    assert find_run("mine").name == "mine"
    assert [run.name for run in list_runs(None)] == ["mine"]
    assert list_runs(tmp_path / "none") == []
    with pytest.raises(UserError, match=r"other is not a run: it has no study\.yaml"):
        find_run(tmp_path / "runs" / "other")


def test_a_folder_is_moved_aside_under_a_dated_name(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    folder.study.write_text("name: mine")
    folder.lock.write_text("held")
    target = folder.move_aside()
    assert target.name.startswith("mine.old-")
    assert target.study.read_text() == "name: mine"
    assert [path.name for path in folder.path.iterdir() if path.is_file()] == ["lock.json"]


def test_a_live_driver_keeps_others_off(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    with locked(folder), pytest.raises(UserError, match=f"is being run by process {os.getpid()}"), locked(folder):
        pass
    assert not folder.lock.exists()


def test_a_lock_of_a_dead_process_is_taken_over_at_once(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom phasemap.results.folder import RunFolder\n"
        "from phasemap.results.lock import locked\n"
        "with locked(RunFolder(Path(sys.argv[1]))):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert forks.finish("-c", code, folder.path).returncode == -signal.SIGKILL
    assert folder.lock.exists()
    with locked(folder):
        assert json.loads(folder.lock.read_text())["pid"] == os.getpid()


def test_a_process_number_used_again_is_not_taken_for_the_old_driver(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    folder.lock.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": "1"}))
    with locked(folder):
        assert json.loads(folder.lock.read_text())["started"] != "1"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A run that is locked by a process of another host, with all waiting made short."""
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    folder.lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    for name, seconds in {"BEAT_SECONDS": 0.1, "LEASE_SECONDS": 1.0, "LOOK_SECONDS": 0.05}.items():
        monkeypatch.setattr(lock, name, seconds)
    return folder


@pytest.mark.parametrize("skew", [-86_400, 0, 86_400])
def test_a_lock_of_another_host_is_respected_while_it_shows_life_whatever_its_clock_says(elsewhere, skew):
    end = threading.Event()

    def live():
        beats = 0
        while not end.wait(0.2):
            beats += 1
            os.utime(elsewhere.lock, (0, time.time() + skew + beats))

    holder = threading.Thread(target=live)
    holder.start()
    try:
        with pytest.raises(UserError, match="process 1 on elsewhere; allowed: one driver"), locked(elsewhere):
            pass
    finally:
        end.set()
        holder.join()


@pytest.mark.parametrize("skew", [-86_400, 0, 86_400])
def test_a_lock_of_another_host_without_life_is_taken_over(elsewhere, skew):
    os.utime(elsewhere.lock, (0, time.time() + skew))
    with locked(elsewhere):
        assert holder_of(elsewhere).pid == os.getpid()
    assert holder_of(elsewhere) is None


def test_a_holder_whose_lock_was_taken_over_is_told(elsewhere):
    elsewhere.lock.unlink()
    with locked(elsewhere) as mine:
        mine.check()
        write_text(elsewhere.lock, json.dumps({"host": "elsewhere", "pid": 2, "started": "1"}))
        time.sleep(0.5)
        with pytest.raises(UnreachableError, match="taken over by another driver"):
            mine.check()
    assert holder_of(elsewhere).pid == 2  # not ours to give back


def test_an_execution_that_was_killed_is_called_lost_by_the_next(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    Provenance(folder, study_hash="abc", runner="in-process")
    Provenance(folder, study_hash="abc", runner="in-process").end(outcome="done", devices=[], core_hours=0)
    assert [entry.outcome for entry in read_provenance(folder)] == ["lost", "done"]


def test_provenance_lists_every_execution(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    for outcome in ("interrupted", "done"):
        execution = Provenance(folder, study_hash="abc", runner="in-process")
        assert read_provenance(folder)[-1].outcome == "running"
        execution.end(outcome=outcome, devices=["cpu"], core_hours=0.5, n_trained=3)
    entries = read_provenance(folder)
    assert [entry.outcome for entry in entries] == ["interrupted", "done"]
    assert entries[0].versions["torch"]
    assert entries[0].versions["phasemap"]
    assert entries[1].trained
    assert entries[1].started <= entries[1].ended


def test_a_lock_that_the_storage_did_not_let_us_remove_is_no_hindrance_later(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    with locked(folder):
        kept = folder.lock.read_text()
    folder.lock.write_text(kept)
    with locked(folder):
        assert folder.lock.read_text() != kept


RACE = """
import os, sys, time
from pathlib import Path
from phasemap.results.folder import RunFolder
from phasemap.results.lock import locked
from phasemap.study.errors import UserError
folder, end, held = RunFolder(Path(sys.argv[1])), time.time() + 60, 0
while held < 20 and time.time() < end:
    try:
        with locked(folder):
            inside = os.open(folder.path / "inside", os.O_CREAT | os.O_EXCL)  # fails if another is inside
            os.close(inside)
            os.unlink(folder.path / "inside")
            held += 1
    except UserError:
        pass
print(held)
"""


def test_rivals_never_hold_the_lock_together(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    rivals = [forks.Forked(["-c", RACE, folder.path]) for _ in range(4)]
    assert [(rival.communicate(), rival.returncode) for rival in rivals] == [(("20\n", ""), 0)] * 4
    assert not list(folder.path.glob(".lock*"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_a_lock_that_says_nothing_is_taken_over(tmp_path, text):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    folder.lock.write_text(text)
    with locked(folder):
        assert "holder" in folder.lock.read_text()


def test_damaged_provenance_is_named(tmp_path):
    folder = RunFolder(tmp_path / "mine")
    folder.create()
    folder.provenance.write_text("{")
    with pytest.raises(UserError, match=r"provenance.json is damaged"):
        read_provenance(folder)
