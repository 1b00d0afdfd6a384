"""The service under load: 50 followers of a live run and 200 requests a second for points of a large one.

    python benchmarks/serve.py [--trials 20000] [--rounds 2] [--seconds 15]

A real run of equal trials goes on all the time, one network at a time on one core; the load is switched on and off in
turns, and the time that each trial took, compared in neighbouring windows, tells how much the service and its clients
cost the training. Latencies count from the moment a request was due, so that a service that falls behind can't hide it.
Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pyarrow.parquet as pq
from common import report
from synthetic import write_synthetic

FOLLOWERS, RATE = 50, 200
PAGE = 100
LIVE = """name: live
task: {kind: modular_addition, modulus: 31}
model: {width: 128}
training: {steps: 600}
axes: {weight_decay: [10]}
fixed: {corruption: 0.1, data_fraction: 0.75}
seeds: 2000
resources: {pack_size: 1}
"""


@contextmanager
def process(*arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command line while the block lasts."""
    command = [sys.executable, "-m", "phasemap", *arguments]
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        yield started
    finally:
        started.terminate()
        started.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def memory(pid: int, name: str) -> float:
    """Return VmRSS or VmHWM of a process in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e3, 1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, its children's left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(url: str, seconds: float, n_points: int) -> dict[str, Any]:
    """Follow and ask for a while; return latencies in milliseconds and how many events came."""
    events, latencies, failures = [0], [], [0]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(sock_read=60)) as session:
        followers = [asyncio.create_task(follow(session, events)) for _ in range(FOLLOWERS)]
        await asyncio.sleep(1)
        started, asked = time.perf_counter(), []
        offsets = itertools.cycle(range(0, max(n_points - PAGE, 1), PAGE // 4))
        for number in range(int(seconds * RATE)):
            due = started + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(asyncio.create_task(ask(session, next(offsets), due, latencies, failures)))
        await asyncio.gather(*asked)
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    return {"latencies": latencies, "events": events[0], "failures": failures[0]}


async def follow(session: aiohttp.ClientSession, events: list[int]) -> None:
    async with session.get("/api/v1/runs/live/events") as answer:
        async for line in answer.content:
            events[0] += line.startswith(b"data:")


async def ask(
    session: aiohttp.ClientSession, offset: int, due: float, latencies: list[float], failures: list[int]
) -> None:
    async with session.get(f"/api/v1/runs/synthetic/points?offset={offset}&limit={PAGE}") as answer:
        await answer.read()
        failures[0] += answer.status != 200
    latencies.append(1000 * (time.perf_counter() - due))


def wait_for(path: Path, count: int) -> None:
    """Wait until a folder holds so many shards."""
    while len(list(path.glob("*.parquet"))) < count:
        time.sleep(0.2)


def trial_seconds(shards: Path, windows: list[tuple[float, float]]) -> list[list[float]]:
    """Return for each window the time of each trial that was trained whole in it."""
    found: list[list[float]] = [[] for _ in windows]
    for path in shards.glob("*.parquet"):
        ended, took = path.stat().st_mtime, pq.read_table(path, columns=["train_seconds"])["train_seconds"][0].as_py()
        for times, (start, end) in zip(found, windows, strict=True):
            if start + 1 < ended - took and ended < end:
                times.append(took)
    return found


def measure(root: Path, trials: int, rounds: int, seconds: float) -> dict[str, Any]:
    write_synthetic(root / "synthetic", trials, 64)
    study, port = root.parent / "live.yaml", free_port()
    study.write_text(LIVE)
    n_points = 1 + trials // 10
    windows, answers, shards, service_busy, clients_busy = [], [], root / "live/shards", 0.0, 0.0
    with (
        process("serve", "--storage", str(root), "--port", str(port), log=root.parent / "serve.log") as service,
        process("run", str(study), "--storage", str(root), "--in-process", log=root.parent / "run.log"),
    ):
        wait_for(shards, 3)
        asyncio.run(load(f"http://127.0.0.1:{port}", 3, n_points))  # reads the tables and fills the caches
        before = memory(service.pid, "VmRSS")
        for loaded in [False, True] * rounds:
            start = time.time()
            if loaded:
                used, mine = cpu_seconds(service.pid), time.process_time()
                answers.append(asyncio.run(load(f"http://127.0.0.1:{port}", seconds, n_points)))
                service_busy += cpu_seconds(service.pid) - used
                clients_busy += time.process_time() - mine
            else:
                time.sleep(seconds)
            windows.append((start, time.time()))
        after, most = memory(service.pid, "VmRSS"), memory(service.pid, "VmHWM")
        took = trial_seconds(shards, windows)
    latencies = np.concatenate([answer["latencies"] for answer in answers])
    alone, loaded_ones = took[::2], took[1::2]
    pairs = [np.median(after) / np.median(before) for before, after in zip(alone, loaded_ones, strict=True)]
    under_load = sum(end - start for start, end in windows[1::2])
    return {
        "requests": len(latencies),
        "failures": sum(answer["failures"] for answer in answers),
        "events": sum(answer["events"] for answer in answers),
        "milliseconds": {f"p{q}": round(float(np.percentile(latencies, q)), 1) for q in (50, 95, 99)},
        "cpu_milliseconds_a_request": round(1000 * service_busy / len(latencies), 2),
        "cpus_used": {"service": round(service_busy / under_load, 3), "clients": round(clients_busy / under_load, 3)},
        "megabytes": {"before": before, "after": after, "most": most},
        "trials": {"loaded": sum(map(len, loaded_ones)), "alone": sum(map(len, alone))},
        "training_time_ratio": round(float(np.median(pairs)), 3),
        "ratios": [round(float(ratio), 3) for ratio in pairs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phasemap-serve-") as folder:
        root = Path(folder) / "storage"
        root.mkdir()
        results = measure(root, chosen.trials, chosen.rounds, chosen.seconds)
    report("serve", results, followers=FOLLOWERS, rate=RATE, trials=chosen.trials)


if __name__ == "__main__":
    main()
