"""A storage that fails: waited out for a while, then named; what is finished is kept, and the run continues later."""

import os
import subprocess

import pytest
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.results.provenance import read_provenance
from phasemap.results.shards import finished_ids, shard_files
from phasemap.running import retries
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import Finished, LocalRunner

STUDY = study_of(resources={"pack_size": 2})


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=3m", "phasemap-test", path):
        pytest.skip("mounting a small disk is not allowed here")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(retries, "PAUSES", (0.05, 0.05))


def fill(disk):
    """Leave no byte on a disk."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def after_first_pack(harm):
    """Return a runner that harms the storage when the first pack is stored."""

    class Harming(LocalRunner):
        def run(self, packs, workload, tell):
            def told(event):
                nonlocal harm
                tell(event)
                if isinstance(event, Finished) and harm:
                    harm, now = None, harm
                    now()

            super().run(packs, workload, told)

    return Harming


def rows(folder):
    return derive(folder).trials.drop(columns=["train_seconds", "host"]).to_csv(index=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return rows(run_in_process(STUDY, tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize(
    ("harm", "mend", "message"),
    [
        (fill, lambda disk: (disk / "filler").unlink(), "No space left on device"),
        (
            lambda disk: mount("--bind", "-o", "ro", disk, disk),  # over the one on which the log is open
            lambda disk: subprocess.run(["umount", disk], check=True),
            "Read-only file system",
        ),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_fails_stops_the_run_which_continues_when_it_is_mended(disk, harm, mend, message, undisturbed):
    folder = RunFolder(disk / "small")
    with pytest.raises(pm.UnreachableError, match=f"{disk}.* can't be written or read: {message}"):
        run_study(STUDY, folder, after_first_pack(lambda: harm(disk)), RunOptions(quiet=True))
    assert len(finished_ids(folder)) == 2
    with pytest.raises(pm.UnreachableError, match=message):  # refused before anything is trained
        run_study(STUDY, folder, LocalRunner, RunOptions(quiet=True))
    mend(disk)
    kept = {path: path.stat().st_mtime_ns for path in shard_files(folder)}
    run_study(STUDY, folder, LocalRunner, RunOptions(quiet=True))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert rows(folder) == undisturbed
    assert [entry.outcome for entry in read_provenance(folder)] == ["lost", "done"]
    assert not list(folder.path.rglob("*.tmp*"))


def test_a_disk_that_fails_for_a_moment_is_waited_for(disk, monkeypatch, undisturbed):
    folder = RunFolder(disk / "small")
    waited = []

    def mend_after(seconds):
        waited.append(seconds)
        (disk / "filler").unlink(missing_ok=True)

    monkeypatch.setattr(retries.time, "sleep", mend_after)
    run_study(STUDY, folder, after_first_pack(lambda: fill(disk)), RunOptions(quiet=True))
    assert waited
    assert rows(folder) == undisturbed
    assert len(read_provenance(folder)) == 1


def test_a_damaged_shard_is_set_aside_and_its_trials_are_trained_again(tmp_path, undisturbed):
    folder = run_in_process(STUDY, tmp_path)
    first, second, third, _ = shard_files(folder)
    first.write_bytes(b"")
    content = bytearray(second.read_bytes())
    content[200:600] = os.urandom(400)  # its footer is whole: seen when its columns are read
    second.write_bytes(content)
    kept = third.stat().st_mtime_ns
    with pytest.raises(pm.UserError, match=r"parquet is damaged: .*needed: phasemap run"):
        derive(folder)
    assert run_in_process(STUDY, tmp_path) == folder
    assert rows(folder) == undisturbed
    assert third.stat().st_mtime_ns == kept
    assert sorted(path.name for path in folder.damaged.iterdir()) == [first.name, second.name]
