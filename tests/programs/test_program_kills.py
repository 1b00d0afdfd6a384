"""Programs whose process, worker or driver is killed: nothing is lost, and nothing finished is run again."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import alive, children, end, kill, wait_for
from program_tools import HEAD, write_study

import phasemap as pm
from phasemap.cli import cli
from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.results.shards import finished_ids
from phasemap.running.program_packs import Kept, end_process, train_programs
from phasemap.study.file import load_study
from phasemap.study.trials import expand
from phasemap.training.program_state import loaded

CODE = HEAD + textwrap.dedent(
    """
    import os
    import random
    import time
    from pathlib import Path

    HERE = Path(__file__).parent

    @pm.program(quantities={"test_loss": "loss"})
    def train(trial: pm.TrialContext, *, lr: float, steps: int = 6, keeps: bool = True, pause: float = 0.05):
        with open(HERE / "started.txt", "a") as log:
            print(trial.settings["lr"], trial.seed, os.getpid(), file=log, flush=True)
        total = [0.0]
        state = (lambda: {"total": total[0]}, lambda saved: total.__setitem__(0, saved["total"])) if keeps else None
        for step in trial.steps(steps, state=state):
            with open(HERE / "steps.txt", "a") as log:
                print(trial.settings["lr"], trial.seed, step, file=log, flush=True)
            time.sleep(pause)
            total[0] += lr * random.random()
            trial.report(step, test_loss=total[0])
    """
)


def lines(folder, name):
    path = folder / f"{name}.txt"
    return path.read_text().splitlines() if path.exists() else []


def prepared(folder, **content):
    study = load_study(write_study(folder, CODE, **content))
    run = RunFolder(folder / "run")
    run.create()
    return study, list(expand(study)), Kept(folder=run, source=study.signature.source)


def curves(results):
    return [(result.trial.trial_id, result.steps, dict(result.curves)) for result in results]


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    end_process()


def kill_at(folder, count, victim):
    """Kill the process that ``victim`` names when so many steps were taken."""

    def wait():
        wait_for(lambda: len(lines(folder, "steps")) >= count, what="steps")
        kill(victim())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("keeps", [True, False])
def test_a_killed_process_goes_on_from_its_state_or_from_the_start(tmp_path, keeps):
    whole = tmp_path / "whole"
    study, trials, kept = prepared(whole, fixed={"keeps": keeps})
    expected = curves(train_programs(study, trials, device="cpu"))
    folder = tmp_path / "killed"
    study, trials, kept = prepared(folder, fixed={"keeps": keeps})
    thread = kill_at(folder, 4, lambda: int(lines(folder, "started")[-1].split()[-1]))
    found = train_programs(study, trials, device="cpu", kept=kept, save_seconds=0)
    thread.join()
    assert curves(found) == expected
    repeated = len(lines(folder, "steps")) - len(lines(whole, "steps"))
    assert repeated <= 2 if keeps else repeated >= 3


@pytest.mark.usefixtures("forked")
def test_the_last_state_of_a_program_is_kept_where_the_study_asks_for_it(tmp_path):
    path = write_study(tmp_path, CODE, record=["state"], fixed={"pause": 0.0}, seeds=2)
    assert invoke("run", path, "--storage", tmp_path, "--in-process").exit_code == 0
    run = pm.open_run(tmp_path / "mine")
    for _, trial in run.trials.iterrows():
        state = loaded(run.folder.state_file(trial["trial_id"]).read_bytes())
        assert state["step"] == 6
        assert state["state"]["total"] == trial["test_loss"]
    assert run.folder.names(run.folder.checkpoints) == set()
    told = invoke("run", write_study(tmp_path, CODE, record=["ipr"]), "--storage", tmp_path)
    assert told.exit_code == 2
    assert "record[0] = ipr looks into phasemap's own networks; allowed: state" in told.output
    told = invoke("extend", run.path, "--steps", 12)
    assert told.exit_code == 2
    assert "only a program itself knows how long it trains" in told.output


@pytest.mark.usefixtures("forked")
def test_what_is_kept_needs_no_second_run(tmp_path):
    study, trials, kept = prepared(tmp_path, axes={"lr": [0.1, 0.2, 0.3]}, fixed={"pause": 0.0})
    first = train_programs(study, trials, device="cpu", kept=kept)
    assert len(lines(tmp_path, "started")) == 3
    again = train_programs(study, trials, device="cpu", kept=kept)
    assert len(lines(tmp_path, "started")) == 4  # the last one's shard would have followed at once
    assert curves(again) == curves(first)
    other = Kept(folder=kept.folder, source="other")
    train_programs(study, trials[:2], device="cpu", kept=other)
    assert len(lines(tmp_path, "started")) == 6


WORKER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from test_program_kills import prepared
from phasemap.running.program_packs import train_programs
study, trials, kept = prepared(Path({folder!r}), fixed={{"pause": {pause}}})
train_programs(study, trials, device="cpu", kept=kept, save_seconds=0)
"""


def start_worker(folder, pause):
    tests = Path(__file__).parent
    code = WORKER.format(path=[str(tests), str(tests.parent)], folder=str(folder), pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_program_ends_with_its_killed_worker_and_goes_on_in_another(tmp_path):
    worker = start_worker(tmp_path, 0.2)
    try:
        wait_for(lambda: len(lines(tmp_path, "steps")) >= 4, what="steps")
        program = int(lines(tmp_path, "started")[0].split()[-1])
        assert alive(program)
        kill(worker.pid)
        wait_for(lambda: not alive(program), 10, "the program's end")
    finally:
        end(worker)
    study, trials, kept = prepared(tmp_path, fixed={"pause": 0.2})
    before = len(lines(tmp_path, "steps"))
    found = train_programs(study, trials, device="cpu", kept=kept, save_seconds=0)
    assert [result.steps for result in found] == [tuple(range(1, 7))] * 2
    assert len(lines(tmp_path, "steps")) <= 12 + 2
    assert before >= 4


def test_a_program_that_never_lets_a_thread_run_ends_with_its_worker_too(tmp_path):
    code = HEAD + (
        "import ctypes, os\nfrom pathlib import Path\n\n@pm.program(quantities={'q': 'number'})\n"
        "def train(trial: pm.TrialContext, *, lr: float, pause: float = 0.0):\n"
        "    Path(__file__).with_name('started.txt').write_text(str(os.getpid()))\n"
        "    ctypes.PyDLL(None).sleep(600)\n"
    )
    write_study(tmp_path, code)
    text = WORKER.replace('prepared(Path({folder!r}), fixed={{"pause": {pause}}})', "hung(Path({folder!r}))")
    text = text.replace("import prepared", "import hung")
    tests = Path(__file__).parent
    worker = subprocess.Popen(
        [sys.executable, "-c", text.format(path=[str(tests), str(tests.parent)], folder=str(tmp_path))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        program = int(wait_for(lambda: (lines(tmp_path, "started") or [""])[0], what="the program"))
        time.sleep(0.5)
        kill(worker.pid)
        wait_for(lambda: not alive(program), 10, "the program's end")
        assert not alive(program)
    finally:
        end(worker)


def hung(folder):
    """Return what a worker needs to run the study that stands in a folder."""
    study = load_study(folder / "study.yaml")
    return study, list(expand(study)), None


def invoke(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.mark.slow(group="programs")
def test_a_run_on_ray_whose_program_worker_and_driver_are_killed_loses_nothing(tmp_path):
    axes = {"lr": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    content = {"axes": axes, "seeds": 2, "fixed": {"pause": 0.1}, "resources": {"pack_size": 3}}
    whole = tmp_path / "whole"
    write_study(whole, CODE, **content)
    assert invoke("run", whole / "study.yaml", "--storage", whole, "--in-process").exit_code == 0
    expected = derive(RunFolder(whole / "mine")).trials.set_index("trial_id")["test_loss"]
    path = write_study(tmp_path, CODE, **content)
    command = [sys.executable, "-m", "phasemap", "run", str(path), "--storage", str(tmp_path), "--cpus", "2"]

    def start():
        with open(tmp_path / "log.txt", "a") as log:  # noqa: PTH123 - nobody reads a pipe while the driver is waited for
            return subprocess.Popen(command, stdout=log, stderr=log)

    def stop(driver):
        for pid in [driver.pid, *children(driver.pid)]:
            if alive(pid):
                kill(pid)
        driver.wait()

    def processes(driver, words):
        return [pid for pid, command in children(driver.pid).items() if words in command]

    folder = RunFolder(tmp_path / "mine")
    driver = start()
    try:
        wait_for(lambda: len(lines(tmp_path, "steps")) >= 5, what="steps")
        kill(wait_for(lambda: processes(driver, "program_child"), what="a program")[0])  # a worker may be a new one
        wait_for(lambda: len(lines(tmp_path, "steps")) >= 12, what="more steps")
        kill(wait_for(lambda: processes(driver, "ray::ImplicitFunc"), what="a worker")[0])
        wait_for(lambda: len(finished_ids(folder)) >= 3, 120, "a shard")
        programs = processes(driver, "program_child")
        kill(driver.pid)
        wait_for(lambda: not any(map(alive, programs)), 60, "the end of all programs")
    finally:
        stop(driver)
    finished = finished_ids(folder)
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.shards.glob("*.parquet")}
    started = len(lines(tmp_path, "started"))
    driver = start()
    try:
        assert driver.wait(timeout=240) == 0, (tmp_path / "log.txt").read_text()
    finally:
        stop(driver)
    found = derive(folder).trials.set_index("trial_id")
    assert (found["status"] == "ok").all()
    assert len(found) == 12
    assert found["test_loss"].to_dict() == expected.to_dict()
    assert len(lines(tmp_path, "started")) - started <= 12 - len(finished)
    assert len(stamps) >= 1
    assert not list(folder.checkpoints.glob("*")) if folder.checkpoints.exists() else True
    shown = invoke("show", tmp_path / "mine")
    assert "12/12 trials" in shown.output, shown.output
    assert os.path.exists(folder.diagram)  # noqa: PTH110
