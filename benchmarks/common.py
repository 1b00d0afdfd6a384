"""What every benchmark prints: the machine, its load, the versions, and the results, as one JSON document."""

from __future__ import annotations

import json
import os
import platform
import resource
import secrets
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("torch", "ray", "numpy", "pandas", "pyarrow", "matplotlib")


def machine() -> dict[str, Any]:
    """Describe where the numbers come from; a load above the number of cores says that they are not to be trusted."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "platform": platform.platform(),
        "processor": next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def report(benchmark: str, results: Any, **settings: Any) -> None:
    """Print a benchmark's results."""
    print(json.dumps({"benchmark": benchmark, "machine": machine(), **settings, "results": results}, indent=2))


def half_interval(values: Sequence[float]) -> float:
    """Return half the 95 % interval of the mean of a few values; NaN of one."""
    from scipy.stats import t  # not by those benchmarks that tell their memory

    n = len(values)
    return float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def start_ray() -> None:
    """Start Ray as a user would, but with a token in the environment, for which it else writes a file at home."""
    import ray

    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
    ray.init(address="local", include_dashboard=False, log_to_driver=False, runtime_env=environment)


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Run something once: seconds by the clock, and of this process on the CPU, which other processes change little."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }
