"""Write docs/reproduction.md and a page for each figure, from the folders in docs/reproduction.

Each folder is called as its study and holds ``check.json``, the output of ``phasemap check RUN --json``; beside it may
stand the run's ``provenance.json`` and ``points.parquet`` (what was trained, how long it took, what was inferred),
``notes.md`` (what was seen, how a failed claim was looked into) and pictures (``*.png``). ``figures.yaml`` says what
the pages are about.

    phasemap check RUN --json > docs/reproduction/STUDY/check.json
    make reproduction
"""

import json
import math
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from subgrid import Agreement, agreement

Content = Mapping[str, Any]

HERE = Path(__file__).parent
NAMED = re.compile(r"(small_|)fig0*(\d+)([a-z]?)_")
WORDS = {"holds": "holds", "fails": "refuted", "undecided": "undecided"}
HEAD = """\
---
hide: [toc]
---

# Reproduction

What Doshi et al. (ICLR 2024, [arXiv 2310.13061](https://arxiv.org/abs/2310.13061)) show, and what came out here. Each
figure has a page with its claims, numbers and pictures.

"""
BELOW = """

**Verdicts** are those of the claims in the study files, tested by `phasemap check` ([how](claims.md)). The numbers are
means over the seeds. In brackets: how many claims hold, the seeds and, where there are several, the difference between
the two sides of a claim with its 95 % interval, for the first claim on which the seeds differ. The pages have all.

**Scale.** *Paper*: the paper's networks (p 97, N 500). *Small*: smaller networks and fewer values, in seconds or
minutes; what holds or fails in them is no test at the paper's scale. *Own*: beyond the paper.

**Cost.** Core-hours are wall time of the training processes times their cores, on machines that were often busy with
other work. Commands name the study file of this repository, also where a copy of it was run, and storages by their last
name.

`make reproduction` writes these pages from the tables in `docs/reproduction/`.
"""
RECHECKED = "2026-11-26"
"""Since that day claims over areas and shares allow for the steps in which these move (decision 25)."""


@dataclass(frozen=True)
class Stored:
    """One study's folder, as it was read."""

    folder: Path
    content: Content

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.content["study"])

    @property
    def searched(self) -> pd.DataFrame | None:
        """The points of a search that inferred some of them; None of a grid, or where they are not stored."""
        points = self.read("points.parquet")
        return points if points is not None and "inferred" in points and points["inferred"].any() else None

    def read(self, name: str) -> Any:
        """Return a file of the folder: text, JSON or a table; None where it is not there."""
        path = self.folder / name
        if not path.exists():
            return None
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else text.strip()


def write(target: Path) -> None:
    """Write the page and, in the folder beside it, a page for each figure; remove pages that nothing stands for."""
    folder = target.with_suffix("")
    pages = [(entry, stored) for entry, stored in entries(folder) if stored]
    target.write_text(HEAD + overview(folder.name, pages) + BELOW, encoding="utf-8")
    texts = {f"{entry['page']}.md": figure_page(entry, stored) for entry, stored in pages}
    for old in folder.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def entries(folder: Path) -> list[tuple[Content, list[Stored]]]:
    """Return what each page is about and its studies: those of figures.yaml, then studies that it does not name."""
    found = [Stored(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*/check.json")]
    found.sort(key=lambda stored: place(stored.name))
    listed = folder / "figures.yaml"
    known = yaml.safe_load(listed.read_text(encoding="utf-8")) if listed.exists() else []
    pages = [(entry, [stored for stored in found if named_by(stored.name, entry["studies"])]) for entry in known]
    taken = {stored.name for _, several in pages for stored in several}
    others = [stored for stored in found if stored.name not in taken]
    return [*pages, *((unlisted(stored), [stored]) for stored in others)]


def named_by(study: str, prefixes: Sequence[str]) -> bool:
    """Tell whether a study, or the one that it is a small version of, has one of the prefixes."""
    return study.removeprefix("small_").startswith(tuple(prefixes))


def unlisted(stored: Stored) -> Content:
    """Return what the page of a study that figures.yaml lacks is about."""
    return {"page": stored.name.replace("_", "-"), "figure": figure(stored.name), "claim": stored.content["question"]}


def overview(folder: str, pages: Sequence[tuple[Content, Sequence[Stored]]]) -> str:
    """Return the table of figures: claim, the paper, what was found, verdict."""
    return table(
        ["figure", "claim", "the paper", "here", "verdict"],
        (
            [
                f"[{entry['figure']}]({folder}/{entry['page']}.md)",
                entry["claim"],
                entry.get("paper", "not in the paper"),
                entry.get("found", ""),
                "<br>".join(
                    f"{words}: {judged(stored)}" for words, stored in zip(told_apart(several), several, strict=True)
                ),
            ]
            for entry, several in pages
        ),
    )


def told_apart(several: Sequence[Stored]) -> list[str]:
    """Return what each study of a figure is called: its scale, with its subject where several have the same scale."""
    scales = [kind(stored.name) for stored in several]
    subjects = [NAMED.sub("", stored.name).replace("_", " ") for stored in several]
    return [
        f"{found} ({subject})" if scales.count(found) > 1 else found
        for found, subject in zip(scales, subjects, strict=True)
    ]


def judged(stored: Stored) -> str:
    """Return a study's verdict in bold, its claims, and the difference of the first claim whose seeds differ."""
    counts, content = stored.content["counts"], stored.content
    told = f"**{verdict(content)}** ({counts['holds']} of {sum(counts.values())}"
    if stored.searched is not None:
        return f"{told}; a search of {content['n_done']} of {content['n_trials']} trials)"
    if content["n_seeds"] == 1:
        return f"{told}; one seed)"
    differ = [claim for claim in content["claims"] if claim["interval"] and len(set(claim["interval"])) > 1]
    interval = f"; {differing(differ[0], digits=2)}" if differ else ""
    return f"{told}; {content['n_seeds']} seeds{interval})"


def figure_page(entry: Content, several: Sequence[Stored]) -> str:
    """Return a figure's page: claim, paper, findings, then each study."""
    parts = [
        f"# {entry['figure']}",
        entry["claim"],
        f"**The paper.** {entry['paper']}" if "paper" in entry else "",
        f"**Here.** {entry['found']}" if "found" in entry else "",
        f"**What did not hold.** {entry['refuted']}" if "refuted" in entry else "",
        held_out(entry, several),
        *(section(stored) for stored in several),
        "[All figures](../reproduction.md)",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def held_out(entry: Content, several: Sequence[Stored]) -> str:
    """Return how a search's inferred points compare with points that were trained in full; nothing without both."""
    names = entry.get("held_out", [])
    tables = [stored.read("points.parquet") for name in names for stored in several if stored.name == name]
    if len(tables) != 2 or any(points is None for points in tables):
        return ""
    axes = next(list(stored.content["axes"]) for stored in several if stored.name == names[1])
    return compared(names, agreement(*tables, axes))


def compared(names: Sequence[str], found: Agreement) -> str:
    """Return the comparison in words."""
    return (
        f"**Inferred and trained.** `{names[1]}` was trained in full and not shown to the search of "
        f"`{names[0]}`. Of its {found.n_points} points the search inferred {found.n_inferred}: "
        f"{percent(found.share_right)} of them have the label that was trained, and {percent(found.share_right_away)} "
        f"of the {found.n_away} whose nearest border there is a cell or more away. The search expected "
        f"{percent(found.expected_wrong)} of the inferred points to be wrong; {percent(found.really_wrong)} are."
    )


def section(stored: Stored) -> str:
    """Return the section of one study: question, scale, cost, claims, notes, pictures."""
    content = stored.content
    parts = [
        f"## {content['study']}",
        f"{content['question']} **{verdict(content).capitalize()}.**".strip(),
        f"{kind(stored.name).capitalize()} study: {scale(content)}; {axes(content)}; labelled by {content['rule']}. "
        f"{cost(stored)}",
        claims(content),
        areas(stored),
        older(content),
        stored.read("notes.md") or "",
        *(
            f"![{path.stem}, {stored.name}]({stored.folder.name}/{path.name})\n*{caption(path, stored)}*"
            for path in pictures(stored)
        ),
    ]
    return "\n\n".join(filter(None, parts))


def areas(stored: Stored) -> str:
    """Return the share of each label on a search's map, inferred points too, for each value of the third axis."""
    points, names = stored.searched, list(stored.content["axes"])
    if points is None or len(names) < 3:
        return ""
    shares = pd.crosstab(points[names[2]], points["subphase"], normalize="index")
    rows = [
        [values(value), *(percent(share) for share in row)]
        for value, row in zip(shares.index, shares.values, strict=True)
    ]
    labels = [str(label).replace("_", " ") for label in shares.columns]
    return "Shares of the map, measured and inferred:\n\n" + table([names[2].replace("_", " "), *labels], rows)


def pictures(stored: Stored) -> list[Path]:
    """Return the pictures of a study."""
    return sorted(stored.folder.glob("*.png"))


def caption(path: Path, stored: Stored) -> str:
    """Return the title of a picture: the study that it belongs to, and what it shows."""
    return f"{figure(stored.name)}, study {stored.name}: {path.stem.replace('_', ' ')}"


def older(content: Content) -> str:
    """Say of claims over areas that were tested before they allowed for steps which verdicts may be too sure."""
    run = content["execution"]
    day = (run["ended"] or run["started"])[:10] if run else ""
    stepped = [
        claim["claim"]
        for claim in content["claims"]
        if claim["interval"] and claim["verdict"] != "undecided" and re.search(r"\b(area|share)\(", claim["claim"])
    ]
    if not day or day >= RECHECKED or not stepped:
        return ""
    return (
        f"Tested on {day}, before claims over areas and shares allowed for the steps in which these move "
        "([decision 25](../decisions/0025-claims-over-shares-and-paired-shifts.md)): intervals of claims with `area` "
        "or `share` would be wider now."
    )


def figure(study: str) -> str:
    """Return the figure that a study is named after: Figure 3a for fig03a_weight_decay; else the study's name."""
    match = NAMED.match(study)
    return f"Figure {match[2]}{match[3]}" if match else study


def kind(study: str) -> str:
    """Tell whether a study has the paper's scale, is a small version of one that has, or is none of the paper's."""
    match = NAMED.match(study)
    return ("small" if match[1] else "paper") if match else "own"


def place(study: str) -> tuple[float, str, str, bool]:
    """Return what studies are sorted by: figure, name, and the paper's scale before the small one; own studies last."""
    match = NAMED.match(study)
    if not match:
        return (float("inf"), "", study, False)
    return (int(match[2]), match[3], study.removeprefix(match[1]), bool(match[1]))


def verdict(content: Content) -> str:
    """Sum the claims up: all hold, some hold, none holds."""
    counts = content["counts"]
    total = sum(counts.values())
    if total == 0:
        return "no claims"
    if counts["holds"] == total:
        return "holds"
    if counts["holds"]:
        return "holds partly"
    return "refuted" if counts["fails"] else "undecided"


def scale(content: Content) -> str:
    """Return the size of the networks and of the study."""
    size = content["scale"]
    seeds = f"{content['n_seeds']} seed{'s' if content['n_seeds'] > 1 else ''}"
    parts = [("width", "width"), ("depth", "depth"), ("steps", "steps")]
    task = f"p {values(size['modulus'])}" if "modular" in str(size["task"]) else values(size["task"])
    model = [] if size["model"] == "mlp" else [values(size["model"])]
    return ", ".join([task, *model, *(f"{word} {values(size[name])}" for word, name in parts), seeds])


def axes(content: Content) -> str:
    """Return the axes with their values, in short."""
    return ", ".join(f"{name.replace('_', ' ')} {values(several)}" for name, several in content["axes"].items())


def values(found: Any) -> str:
    """Return a value or a list of values; of long lists the ends and the count."""
    if isinstance(found, bool):
        return str(found).lower()
    if not isinstance(found, list):
        return f"{found:g}" if isinstance(found, int | float) else str(found)
    if len(found) > 8:
        return f"{values(found[0])} to {values(found[-1])} ({len(found)} values)"
    return ", ".join(map(values, found))


def cost(stored: Stored) -> str:
    """Return what was trained, when, on what and at what cost."""
    content = stored.content
    done = f"{content['n_done']} of {content['n_trials']} trials, {content['core_hours']:.2g} core-hours{wall(stored)}"
    run = content["execution"]
    if run is None:
        return f"{done}."
    command = shlex.join(run["command"])
    libraries = ", ".join(
        f"{name} {run['versions'][name]}" for name in ("phasemap", "torch", "ray") if name in run["versions"]
    )
    machine = f"{run['processor']} ({', '.join(run['devices'])}), {run['platform']}"
    return f"{done}, ended {(run['ended'] or run['started'])[:10]} on {machine}, with {libraries}, by `{command}`."


def wall(stored: Stored) -> str:
    """Return a run's wall time from its provenance and, of a search, the share that it expects to be wrong."""
    executions = stored.read("provenance.json") or []
    ended = [execution for execution in executions if execution.get("ended")]
    seconds = sum((moment(execution["ended"]) - moment(execution["started"])).total_seconds() for execution in ended)
    taken = f"{seconds / 60:.2g} minutes" if seconds < 3600 else f"{seconds / 3600:.2g} hours"
    told = f", {taken} of wall time" if ended else ""
    points = stored.searched
    if points is None:
        return told
    inferred = points[points["inferred"].astype(bool)]
    wrong = (1 - inferred["confidence"]).sum() / len(points)
    return f"{told}; {len(inferred)} of {len(points)} points inferred, {percent(wrong)} of the map expected to be wrong"


def moment(text: str) -> datetime:
    """Return a time of provenance.json."""
    return datetime.fromisoformat(text)


def percent(value: float) -> str:
    """Return a share in percent."""
    return "none" if math.isnan(value) else f"{100 * value:.3g} %"


def claims(content: Content) -> str:
    """Return the table of claims; a chain has one row a comparison."""
    rows = []
    for claim in content["claims"]:
        first = [f"`{claim['claim']}`", f"**{WORDS[claim['verdict']]}**"]
        trials = f"{claim['n_trials']} of {claim['n_expected']}"
        for line in claim["links"] or [None]:
            rows.append([*first, *numbers(line), trials, claim["reason"]])
            first, trials = ["", ""], ""
    return table(["claim", "verdict", "left", "", "right", "difference", "trials", "remarks"], rows)


def numbers(line: Content | None) -> list[str]:
    """Return left, comparison, right and the difference with its interval."""
    if line is None:
        return ["", "", "", ""]
    return [number(line["left"]), line["comparison"], number(line["right"]), differing(line)]


def differing(line: Content, digits: int = 4) -> str:
    """Return the difference of both sides, with its interval where there are seeds."""
    interval = f" [{', '.join(number(end, digits) for end in line['interval'])}]" if line["interval"] else ""
    return number(line["difference"], digits) + interval


def number(value: float | None, digits: int = 4) -> str:
    """Return a number in some digits; a step time that is not reached has none."""
    return "not reached" if value is None else f"{value:.{digits}g}"


def table(names: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(text: str) -> str:
    """Return text as it may stand in a cell."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reproduction.md")
