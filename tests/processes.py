"""Real processes, found in /proc and killed for real."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def children(pid):
    """Return all living descendants of a process: {pid: command line}."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - asked for many times a second
        if name.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = {}, [pid]
    while waiting:
        for child in parents.get(waiting.pop(), ()):
            with suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                waiting.append(child)
    return found


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def listening(pid):
    """Return the addresses, as /proc writes them, at which a process and its descendants listen."""
    sockets, rows = set(), []
    for one in [pid, *children(pid)]:
        with suppress(OSError):
            names = [str(entry.readlink()) for entry in Path(f"/proc/{one}/fd").iterdir()]
            sockets |= {name[8:-1] for name in names if name.startswith("socket:[")}
    for table in ("tcp", "tcp6"):
        rows += [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets]


def alive(pid):
    """Whether a process runs (a zombie doesn't)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=240, what="the condition"):
    """Return the first true answer of a condition."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise TimeoutError(f"waited {seconds} s for {what}")


def kill(pid):
    """Kill a process as the kernel would for want of memory."""
    os.kill(pid, signal.SIGKILL)


def end(process):
    """Kill a process and what it started; its pipes are not read, since Ray's agents hold them for another minute."""
    if process.poll() is None:  # else its number may be another's
        for pid in [process.pid, *children(process.pid)]:
            with suppress(ProcessLookupError):  # it may end meanwhile
                kill(pid)
    process.wait()
    process.stdout.close()
    process.stderr.close()
