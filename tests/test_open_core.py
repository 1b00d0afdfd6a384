"""The open core: no module but those about phasemap's own networks knows the name of a built-in label or quantity."""

import ast
import re
from pathlib import Path

import pytest

import phasemap
from phasemap.study.names import FINALS, FRONTIERS, QUANTITIES, STEP_TIMES, SUBPHASES

ROOT = Path(phasemap.__file__).parent
NAMES = {*QUANTITIES, *SUBPHASES, "grokking", *STEP_TIMES, *FINALS, *FRONTIERS, "peak_test_accuracy"}
NAMES |= {"generalizes", "generalization_wins", "delayed"}
NAMES -= {"undetermined"}  # a label, but also what the sides of any frontier can be
FUNCTION = "generalization_wins"  # also the test of any two sides, in diagram/frontier.py
LISTS = {
    *(
        "ACCURACIES",
        "LOSSES",
        "NORMS",
        "QUANTITIES",
        "QUANTITY_KINDS",
        "STEP_TIMES",
        "FINALS",
        "SUMMARIES",
        "FRONTIERS",
    ),
    *("GROKKING", "PHASES", "SUBPHASES", "LETTERS"),
}
HOLDERS = {"phasemap.study.names"}
"""The modules from which these lists can be had."""

ROOMS = {"phases", "tasks", "representations", "training", "auditing"}
"""What is about phasemap's own networks, and how their trials are labelled."""
ALLOWED = {
    "study/names.py": "the names",
    "study/networks.py": "the program",
    "study/templates.py": "the commented study for a start",
    "study/spec.py": "the built-in rules' labels",
    "study/programs.py": "the accuracies that a user's program may record",
    "study/program_study.py": "when the built-in rules apply to a user's program",
    "study/rule_file.py": "what the packaged rules know",
    "study/rule_reader.py": "the columns that built-in rules give a meaning",
    "study/rule_groups.py": "a word that no label may have",
    "sweeps/columns.py": "the kinds of quantities that a source names so, and names that none may take",
    "sweeps/table.py": "the columns of phasemap's own tables",
    "results/inside.py": "records of what is inside a network",
}


def docstrings(tree):
    """Return the texts that stand alone: they are for readers."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def known(tree):
    """Return the built-in names that a module's code holds, reads or imports, with their lines."""
    words, found = docstrings(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words:
            found |= {(node.lineno, word) for word in re.findall(r"\w+", node.value) if word in NAMES}
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            found.add((node.lineno, node.attr))
        elif isinstance(node, ast.keyword | ast.arg) and node.arg in NAMES:
            found.add((node.lineno, node.arg))
        elif isinstance(node, ast.Name) and node.id in NAMES - {FUNCTION}:
            found.add((node.lineno, node.id))
        elif isinstance(node, ast.ImportFrom) and node.module in HOLDERS:
            found |= {(node.lineno, alias.name) for alias in node.names if alias.name in LISTS}
    return sorted(found)


def modules():
    """Return the modules that must hold none of the names."""
    names = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*.py"))]
    return [name for name in names if name.split("/")[0] not in ROOMS and name not in ALLOWED]


def test_a_module_holds_no_built_in_name():
    found = {name: known(ast.parse((ROOT / name).read_text())) for name in modules()}
    assert {name: words for name, words in found.items() if words} == {}


def test_the_lists_name_modules_that_there_are():
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")}
    assert set(ALLOWED) <= there


WAYS = ['x = "test_accuracy"', "f(test_loss=1)", "a.grokking_step", "grokking = 1", 'y = f"of {n} confusion"']


@pytest.mark.parametrize("text", [*WAYS, "from phasemap.study.names import QUANTITIES"])
def test_the_check_sees_every_way_to_know_a_name(text):
    assert known(ast.parse(text))


def pages():
    return [path for path in sorted(ROOT.rglob("*")) if path.suffix in (".js", ".html", ".css")]


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_page_holds_no_built_in_name(path):
    if path.name == "submit.html":  # the study to start from is written into it
        return
    assert not [word for word in re.findall(r"[A-Za-z_]+", path.read_text()) if word in NAMES]
