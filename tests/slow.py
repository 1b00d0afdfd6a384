"""Which slow tests must be run: those of each group whose covered files differ from those that it last passed on.

`make test-slow` runs all groups and, where they pass, writes into slow.json what they passed on, to be committed.
`.ci/run` runs, after `make test`, the groups whose record is missing or is no longer true.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_name("slow.json")
EVERY = ("constraints.txt", "tests/slow.py")
GROUPS = {
    "chaos": (
        *("phasemap/running", "phasemap/cli/jobs.py", "phasemap/cli/run.py", "phasemap/training/population.py"),
        *("phasemap/results/folder.py", "phasemap/results/lock.py", "phasemap/results/shards.py"),
        *("phasemap/results/merge.py", "phasemap/planning", "phasemap/study/trials.py"),
        *("tests/running/chaos.py", "tests/running/clusters.py", "tests/running/test_chaos.py", "tests/processes.py"),
        *("tests/running/test_kill.py", "tests/running/test_adaptive.py", "tests/running/test_runners.py"),
        *("tests/running/test_memory.py", "tests/results/test_remote.py", "phasemap/results/remote.py"),
        *("tests/conftest.py", "tests/forks.py"),
    ),
    "clusters": (
        *("phasemap/running", "phasemap/cli/jobs.py", "phasemap/cli/run.py", "phasemap/results/folder.py", "cluster"),
        *("tests/running/clusters.py", "tests/running/test_jobs.py", "tests/running/test_growing.py"),
        *("tests/test_cluster_files.py", "tests/processes.py"),
    ),
    "programs": (
        *("phasemap/running", "phasemap/training/program_context.py", "phasemap/training/program_state.py"),
        *("tests/programs/program_tools.py", "tests/programs/test_program_kills.py", "tests/processes.py"),
        *("tests/programs/test_program_chaos.py", "tests/running/chaos.py", "tests/running/clusters.py"),
        *("phasemap/adapters", "examples", "tests/programs/test_adapters.py"),
    ),
    "kernels": (
        *("phasemap/training", "phasemap/tasks", "phasemap/phases"),
        *("tests/training/oracle.py", "tests/training/test_against_oracle.py", "tests/training/test_population.py"),
        *("tests/training/test_fused.py", "tests/running/test_extension.py"),
        *("phasemap/planning", "tests/planning/test_calibration.py"),
    ),
    "search": (
        *("phasemap/search", "phasemap/diagram/points.py", "phasemap/diagram/frontier.py", "phasemap/phases"),
        *("tests/search", "tests/stored_maps.py", "tests/data/search"),
        *("tests/benchmarks/test_search_rivals.py", "benchmarks/foreign", "benchmarks/foreign_search.py"),
    ),
    "report": (
        *("phasemap/figures", "phasemap/diagram", "phasemap/results", "tests/synthetic.py"),
        *("tests/figures/test_report.py", "tests/figures/test_inside.py", "tests/unpacking.py"),
    ),
    "statistics": ("phasemap/diagram", "tests/diagram"),
    "sweeps": ("phasemap/sweeps", "phasemap/study/imported.py", "tests/sweeps"),
}


def files_of(group, root=ROOT):
    """Return every file that a group covers, in order."""
    found = set()
    for name in (*EVERY, *GROUPS[group]):
        path = root / name
        if not path.exists():
            raise FileNotFoundError(f"the slow group {group} covers {name}, which is not there")
        found |= set(path.rglob("*")) if path.is_dir() else {path}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def digest(group, root=ROOT):
    """Hash the names and contents of the files that a group covers into 16 hexadecimal digits."""
    text = hashlib.sha256()
    for path in files_of(group, root):
        text.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return text.hexdigest()[:16]


def changed(recorded, root=ROOT):
    """Return the groups that were not recorded as passing on the files as they are."""
    return [group for group in GROUPS if recorded.get(group) != digest(group, root)]


def selection(groups):
    """Return pytest's expression for the slow tests of some groups."""
    return " or ".join(f"slow(group={group!r})" for group in groups)


def recorded():
    """Read what the groups last passed on; nothing where that is unknown."""
    try:
        return dict(json.loads(RECORD.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def run_pytest(chosen, options):
    """Run the tests that an expression chooses, and return pytest's exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", "-m", chosen, *options], cwd=ROOT).returncode


def main():
    """Run the slow tests whose record is no longer true, or every slow test and record that it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=["changed", "run"], help="run what has changed, or run all and record")
    parser.add_argument("options", nargs="*", help="options for pytest, after --")
    given = parser.parse_args()
    if given.do == "changed":
        groups = changed(recorded())
        print(f"slow tests to run: {', '.join(groups) or 'none, nothing that they test has changed'}", flush=True)
        return run_pytest(selection(groups), given.options) if groups else 0
    passed_on = {group: digest(group) for group in GROUPS}
    code = run_pytest("slow", given.options)
    if code == 0 and passed_on == {group: digest(group) for group in GROUPS}:
        RECORD.write_text(json.dumps(passed_on, indent=2) + "\n")
        print(f"recorded in {RECORD.relative_to(ROOT)}; commit it")
    return code


if __name__ == "__main__":
    sys.exit(main())
