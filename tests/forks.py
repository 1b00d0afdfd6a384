"""Processes of their own that need not start Python: forked from one that has imported what a run needs.

``python -m phasemap run`` takes 4 s of CPU to start, ``show`` one. Where a test needs a process, for its exit code,
its signals or its death, but not its start, it is forked here. One server serves all workers of a session.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

SHARED = "PHASEMAP_TESTS"  # names a folder that all processes of a session share; its name ends with the session's pid
TESTS = Path(__file__).parent
MODULES = (  # not Ray, which reads its settings from the environment when it is imported
    *("phasemap.cli", "phasemap.api", "phasemap.runs", "phasemap.running.driver", "phasemap.running.runner"),
    *(
        "phasemap.training.population",
        "phasemap.training.passes",
        "phasemap.training.timing",
        "phasemap.figures.report",
    ),
    *("phasemap.figures.static", "phasemap.diagram.robustness", "matplotlib.backends.backend_agg", "rich.progress"),
)
SHIM = """#!{python} -IS
import sys
sys.path.insert(0, {tests!r})
import forks
forks.stand_for(sys.argv[1:])
"""


class Forked:
    """A process, as ``subprocess.Popen`` has them, whose output goes to files: nobody must read it."""

    def __init__(self, words, *, cwd=None, env=None, stdout=None, stderr=None, pass_fds=()):
        self.args, self.returncode = [PYTHON, *map(str, words)], None
        self.stdout, self.stderr = stdout or _file(), stderr or _file()
        fds = {1: self.stdout.fileno(), 2: self.stderr.fileno()} | {fd: fd for fd in pass_fds}
        request = {"words": self.args[1:], "cwd": str(cwd or Path.cwd()), "env": dict(env or os.environ), "fds": [*fds]}
        self._answers = _connect()
        socket.send_fds(self._answers, [json.dumps(request).encode()], [*fds.values()])
        self.pid = int(self._answers.recv(100))

    def poll(self):
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout=None):
        """Return the exit code, negative for a signal, as soon as it has ended."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(100))
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout) from None
            self._answers.close()
        return self.returncode

    def communicate(self, timeout=None):
        """Wait for its end and return what it said, once."""
        self.wait(timeout)
        said = tuple(os.pread(file.fileno(), 1 << 30, 0).decode() for file in (self.stdout, self.stderr))
        self.stdout.close()
        self.stderr.close()
        return said

    def send_signal(self, number):
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it may end meanwhile
                os.kill(self.pid, number)


def _file():
    return tempfile.TemporaryFile("w+")


def finish(*words, cwd=None, env=None, timeout=200):
    """Run a process to its end, as ``subprocess.run`` does."""
    process = Forked(words, cwd=cwd, env=env)
    said = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def write_shim(folder):
    """Write a program into a folder that stands for Python where that is given -c or -m, maybe after -P."""
    path = Path(folder) / "python"
    path.write_text(SHIM.format(python=PYTHON, tests=str(TESTS)))
    path.chmod(0o755)
    return path


def stand_for(words):
    """Be, for whoever started this process, the process that is forked: its output, its signals, its exit code."""
    inherited = [int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists() and int(path.name) > 2]
    process = Forked(words[1:] if words[0] == "-P" else words, stdout=sys.stdout, stderr=sys.stderr, pass_fds=inherited)
    for fd in inherited:
        os.close(fd)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: process.send_signal(number))
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def shared_folder():
    """Return the folder that the workers of a session share; the first process of the session makes it."""
    if SHARED not in os.environ:
        os.environ[SHARED] = tempfile.mkdtemp(prefix="pm-tests-", suffix=f"-{os.getpid()}")
    return Path(os.environ[SHARED])


def _connect():
    path = shared_folder() / "forks"
    with (shared_folder() / "forks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with path.with_suffix(".log").open("w") as log:
                quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
                subprocess.run([PYTHON, __file__, str(path)], env=ENVIRONMENT, check=True, **quiet)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    connection.connect(str(path))
    return connection


def _serve(path):
    """Fork for each connection, until the session has ended."""
    _import()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(100)
    if os.fork():  # whoever started it goes on
        return
    os.setsid()
    session = os.pidfd_open(int(path.split("/")[-2].rpartition("-")[2]))
    while session not in select.select([listener, session], [], [])[0]:
        connection, _ = listener.accept()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
        if os.fork() == 0:
            _keep(connection, [listener.fileno(), session])
        connection.close()


def _import():
    """Import what a run needs, read the packaged rules; no collection of garbage looks through it."""
    sys.path[0] = ""  # not this folder
    for name in MODULES:
        importlib.import_module(name)
    from phasemap.planning.plan import make_plan
    from phasemap.study.file import load_study

    make_plan(load_study(TESTS.parent / "studies" / "quickstart.yaml"), None)
    gc.collect()
    gc.freeze()


def _keep(connection, inherited):
    """Fork the process, tell its pid, and at its end its exit code; end it where nobody listens any more."""
    text, fds, _, _ = socket.recv_fds(connection, 1 << 20, 100)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        for fd in (connection.detach(), *inherited):
            os.close(fd)
        _become(json.loads(text), fds)
    for fd in fds:
        os.close(fd)
    connection.send(str(pid).encode())
    if connection in select.select([connection, os.pidfd_open(pid)], [], [])[0]:  # it was closed
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request, fds):
    """Go on as Python started with these words: a module after -m, a program after -c."""
    os.setsid()  # a program that kills its group kills no other
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD, 500) for fd in fds]
    for fd in fds:
        os.close(fd)
    for number, fd in zip(request["fds"], aside, strict=True):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through="PYTHONUNBUFFERED" in os.environ)
    _run(*request["words"])


def _run(kind, name, *rest):
    """Run a module or a program and end as Python does, but without taking all modules apart: that takes .5 s."""
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in sys.path]
    sys.path[:1] = [str(Path.cwd()), *filter(None, places)]
    sys.argv[:] = [kind if kind == "-c" else name, *rest]
    code = 0
    try:
        if kind == "-m":
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            exec(compile(name, "<string>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as error:
        code = error.code or 0
        if not isinstance(code, int):  # a message
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        code = -signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
else:
    PYTHON, ENVIRONMENT = sys.executable, {**os.environ, "PYTHONHASHSEED": "0"}  # as programs of a study have it
