"""How long the report of 20,000 trials takes, how large it is, and how soon a browser shows its picture.

    python benchmarks/report.py [--trials 20000]

The run is made up (see synthetic.py): curves as rough as real ones, without training. The report is made by a process
of its own, as `phasemap report` does, with nothing read before.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import report
from synthetic import write_synthetic

from phasemap.results.folder import RunFolder
from phasemap.running.outputs import write_results
from phasemap.study.file import load_resolved


def seconds_to_first_picture(page: Path) -> float | None:
    """Return the seconds from opening a page to its first cells; None without a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        started = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="commit")
        tab.wait_for_selector(".cells rect")
        found = time.perf_counter() - started
        browser.close()
    return round(found, 2)


def measure(folder: RunFolder) -> dict[str, Any]:
    """Make the report of a finished run and open it."""
    write_results(folder, load_resolved(folder.study), curves=False)
    page = folder.path / "report.html"
    started = time.perf_counter()
    command = [sys.executable, "-m", "phasemap", "report", str(folder.path), "-o", str(page)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {
        "report_seconds": round(time.perf_counter() - started, 2),
        "megabytes": round(page.stat().st_size / 1e6, 2),
        "first_picture_seconds": seconds_to_first_picture(page),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as root:
        results = measure(write_synthetic(Path(root) / "large", trials, pack=1000))
    report("report", results, n_trials=trials)


if __name__ == "__main__":
    main()
