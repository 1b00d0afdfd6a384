"""Real processes, found in /proc and killed for real."""

import os
import signal
import time
from pathlib import Path


def children(pid):
    """Return all living descendants of a process: {pid: command line}."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = (int(fields[1]), command)
    found, waiting = {}, [pid]
    while waiting:
        parent = waiting.pop()
        for child, (its_parent, command) in parents.items():
            if its_parent == parent and child not in found:
                found[child] = command
                waiting.append(child)
    return found


def alive(pid):
    """Whether a process runs (a zombie doesn't)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=90, what="the condition"):
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
    for pid in [process.pid, *children(process.pid)]:
        if alive(pid):
            kill(pid)
    process.wait()
    process.stdout.close()
    process.stderr.close()
