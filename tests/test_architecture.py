"""The house: imports go one way, and heavy libraries stay in their rooms."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import phasemap

ROOT = Path(phasemap.__file__).parent
ORDER = [
    "study", "tasks", "phases", "representations", "training", "results",
    "diagram", "search", "planning", "figures", "running", "auditing", "adapters",
]  # fmt: skip
TOP = ["_version", "__init__", "maps", "runs", "bundle", "api", "sweeps", "serving", "cli", "__main__"]
ROOMS = {
    "torch": {"training", "representations", "adapters"},
    "numba": {"training"},
    "ray": {"running", "adapters"},
    "matplotlib": {"figures"},
    "lightning": {"adapters"},
    "transformers": {"adapters"},
    "jax": {"adapters"},
}


@cache
def tree_of(path):
    return ast.parse(path.read_text())


def modules():
    return [(path, path.relative_to(ROOT).parts[0].removesuffix(".py")) for path in sorted(ROOT.rglob("*.py"))]


def imports(path, *, typing_too=True):
    """Yield the dotted names that a module imports, also inside functions."""
    tree = tree_of(path)
    skipped = set()
    if not typing_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module


def may_import(room, name):
    """Whether modules of a room may import a name."""
    parts = name.split(".")
    if parts[0] != "phasemap" or len(parts) == 1 or parts[1] == "_version":
        return True
    if room in TOP:
        return parts[1] not in TOP or TOP.index(parts[1]) <= TOP.index(room) or room == "__init__"
    return parts[1] in ORDER and ORDER.index(parts[1]) <= ORDER.index(room)


def test_a_folder_imports_only_from_folders_before_it():
    assert [(path, name) for path, room in modules() for name in imports(path) if not may_import(room, name)] == []


def test_heavy_libraries_stay_in_their_rooms():
    for path, room in modules():
        for name in imports(path, typing_too=False):
            assert room in ROOMS.get(name.split(".")[0], {room}), f"{path} imports {name}"


def test_modules_have_no_import_cycle():
    graph = {}
    for path, _ in modules():
        name = ".".join(["phasemap", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        graph[name] = {n for n in imports(path, typing_too=False) if n.startswith("phasemap.")}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"cycle: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name in done:
            return
        open_.append(name)
        for other in graph.get(name, ()):
            visit(other)
        open_.pop()
        done.add(name)

    for name in graph:
        visit(name)


LATE = {  # what takes a second to import, and what must start without it
    ("ray", "torch"): ("phasemap", "phasemap.cli", "phasemap.api"),
    ("ray", "sklearn", "scipy.stats", "optuna"): (
        *("phasemap.running.driver", "phasemap.runs", "phasemap.training.population", "phasemap.serving.server"),
    ),
}
LOADED = f"""
import importlib, sys
for late, names in {LATE}.items():
    for name in names:
        importlib.import_module(name)
        print(name, *(module for module in late if module in sys.modules))
"""


def test_runs_tables_and_workers_start_without_what_takes_a_second_to_import():
    found = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [name for names in LATE.values() for name in names]


def test_the_public_face_is_small_and_resolves():
    assert len(phasemap.__all__) <= 22
    for name in phasemap.__all__:
        assert getattr(phasemap, name) is not None
    with pytest.raises(AttributeError, match="nothing_there"):
        phasemap.nothing_there  # noqa: B018
