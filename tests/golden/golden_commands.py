"""What every command prints with --json, and its exit code; of mistakes also what stands on stderr."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from golden_files import DERIVED, Golden
from golden_process import phasemap
from golden_rules import normalised
from golden_runs import NAMES, PLANE, copied

ALWAYS = ("here", "version")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command as a user types it, and the rules for what it prints."""

    line: str
    rules: Sequence[str] = ()
    json: bool = True
    arguments: Sequence[str] = ()  # after those of the line, where one holds a blank
    before: Callable[[], object] = lambda: None

    def done(self) -> dict[str, Any]:
        self.before()
        given = [*self.line.split(), *self.arguments, *(["--json"] if self.json else [])]
        ended = phasemap(*given)
        rules = (*ALWAYS, *self.rules)
        printed = json.loads(ended.stdout) if self.json else ended.stdout
        result = {"exit_code": ended.exit_code, "stdout": {DERIVED: normalised(printed, *rules)}}
        if self.rules:
            result["rules"] = list(self.rules)
        if ended.exit_code == 2 or "error" in (printed if isinstance(printed, dict) else ()):
            result["stderr"] = normalised(ended.stderr, *rules)
        return result


def command(line: str, *rules: str, **settings: Any) -> Command:
    return Command(line=line, rules=rules, **settings)


def other_labels() -> None:
    """Put a copy of the plane beside it, labelled by the other rule; and one as it was at an earlier step."""
    for name, options in {"doshi": "--rule doshi2024", "early": "--at-step 60"}.items():
        shutil.copytree("runs/plane", f"runs/{name}")
        phasemap("relabel", f"runs/{name}", *options.split())


def write_studies() -> None:
    """Write the studies that the commands name, and a table to be audited."""
    Path("plane.yaml").write_text(PLANE)
    Path("contradiction.yaml").write_text(PLANE.replace("width: 48", "width: 16"))
    Path("new.yaml").write_text(SMALL)
    Path("search.yaml").write_text(SMALL.replace("name: new", "name: search") + SEARCH)
    Path("table.csv").write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(12)))
    Path("taken").write_text("")


SMALL = """\
name: new
task: {kind: modular_addition, modulus: 5}
model: {width: 8}
training: {steps: 20}
axes:
  corruption: [0, 0.5]
  weight_decay: [0, 2]
fixed: {data_fraction: 0.6}
seeds: 2
"""
SEARCH = "search: {kind: random, budget: 3}\n"

LOOK = (
    command("--version", json=False),
    command("schema", json=False),
    command("studies"),
    command("list"),
    command("list --storage nowhere"),
    *(command(f"status {name} --storage runs") for name in NAMES),
    *(command(f"show runs/{name}") for name in NAMES if name != "older"),
    command("logs runs/mixed"),
    command("cancel runs/mixed"),
    command("plot plane -o plane.png"),
    command("plot records --kind ipr -o ipr.svg"),
    command("report mixed -o mixed.html", "bytes"),
)
TABLES = (
    command("check plane"),
    command("check mixed"),
    command("check plane", arguments=("--claim", "area(forgetting) > 0.5", "--claim", "0.3 < test_accuracy < 0.9")),
    command("diff plane doshi", before=other_labels),
    command("diff plane early --fail-on-change"),
    command("diff plane plane --fail-on-change"),
    command("relabel mixed --rule doshi2024"),
    command("export plane -o trials.csv --table trials"),
    command("export records -o curves.parquet --table curves"),
    command("bundle records -o records.zip"),
)
TRAIN = (
    command("plan plane.yaml --cpus 2"),
    command("plan plane.yaml --cpus 2 --set seeds=4 --set resources.pack_size=8", "seconds"),
    command("run plane.yaml"),
    command("run new.yaml --in-process"),
    command("run new.yaml --in-process --set axes.weight_decay=[0,2,5]"),
    command("run search.yaml --in-process --set search.budget=2 --set search.seeds_per_point=1"),
    command("replay plane 8d3151e2", "met", "seconds"),
    command("init mine.yaml", json=False),
)
MISTAKES = (
    command("show none"),
    command("show"),
    command("nothing"),
    command("plan --jsn"),
    command("run none.yaml --in-process"),
    command("run contradiction.yaml --in-process"),
    command("run new.yaml --in-process --storage /proc/none"),
    command("run new.yaml --in-process --set axes.corruption=[2] --set training.widht=3"),
    command("plan new.yaml --set steps"),
    command("plot plane --metric nothing"),
    command("plot plane --kind ipr"),
    command("plot plane --fix corruption=0.7"),
    command("plot plane -o plane.bmp"),
    command("report plane -o plane.txt"),
    command("diff mixed records"),
    command("check plane", arguments=("--claim", "area(nothing) > 0.5", "--claim", "mean(test_accuracy >")),
    command("relabel plane --rule nothing"),
    command("relabel plane --at-step 1000"),
    command("extend plane --steps 1000"),
    command("replay plane abc"),
    command("replay plane 0123456789"),
    command("replay mixed b10f476f"),
    command("export plane -o points.xls"),
    command("import nothing.csv --axes lr"),
    command("bundle records -o taken"),
    command("logs runs/mixed --follow"),
    command("cancel none"),
    command("submit new.yaml --address http://127.0.0.1:1"),
    command("submit new.yaml --address http://127.0.0.1:1 --storage /golden", "reason"),
    command("status new --address http://127.0.0.1:1", "reason"),
    command("audit table.csv --label nothing"),
    command("audit table.csv --label y --drop z"),
    command("audit none.csv --label y"),
    command("init taken", json=False),
    command("serve --storage s3://bucket/runs", json=False),
    command("serve --storage runs --host 0.0.0.0", json=False),
)
GROUPS = {"look": LOOK, "tables": TABLES, "train": TRAIN, "mistakes": MISTAKES}


def make(group: str) -> dict[str, Any]:
    """Run the commands of a group, one after the other, over copies of the stored runs."""
    copied(*NAMES)
    write_studies()
    return {_name(one): one.done() for one in GROUPS[group]}


def _name(one: Command) -> str:
    quoted = (f'"{text}"' if " " in text else text for text in one.arguments)
    return " ".join(["phasemap", one.line, *quoted, *(["--json"] if one.json else [])])


GOLDEN = tuple(Golden(name=f"commands_{group}", make=partial(make, group)) for group in GROUPS)
