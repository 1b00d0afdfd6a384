"""Write docs/reproduction.md from the folders in docs/reproduction.

Each folder is called as its study and holds ``check.json``, the output of ``phasemap check RUN --json``; beside it may
stand ``notes.md`` (what was seen, how a failed claim was looked into) and pictures (``*.png``).

    phasemap check RUN --json > docs/reproduction/STUDY/check.json
    make reproduction
"""

import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Content = Mapping[str, Any]

HERE = Path(__file__).parent
NAMED = re.compile(r"(small_|)fig0*(\d+)([a-z]?)_")
HEAD = """\
# Reproduction

What Doshi et al. (ICLR 2024, arXiv 2310.13061) show, the study that tests it, and what was seen. The claims are those
of the study files; `phasemap check` tests them ([how](claims.md)): the numbers are means over the seeds, and where
there are several seeds the difference of both sides has its 95 % interval. Core-hours are wall time of the training
processes, on machines that were often busy with other work; commands name the study file of this repository, also where
a copy of it was run, and storages by their last name. This page is written by `make reproduction`.

*Paper* studies have the paper's networks (p 97, N 500). *Small* ones look for the same with smaller networks and fewer
values, in seconds or minutes: what holds or fails in them is no test at the paper's scale. *Own* ones go beyond it.

Verdicts are those of the day of each run. Since 2026-11-26 claims over areas and shares allow for the steps in which
these move ([decision 25](decisions/0025-claims-over-shares-and-paired-shifts.md)): by the numbers below, six claims
of small studies with two or three seeds would be *undecided* now. They are those over inversion areas in
`small_fig05_batchnorm` (batch against none) and `small_fig10_minibatches` (batch 16 against 256), over full inversion
in both `small_fig16` studies, over confusion in `small_fig16_images_weight_decay`, and over generalization in
`small_fig07a_transformer_weight_decay`.
"""


def page(folder: Path) -> str:
    """Return the page for all studies in a folder, by figure: the paper's scale, then the small version."""
    found = [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*/check.json")]
    found.sort(key=lambda pair: place(pair[1]["study"]))
    overview = table(
        ["figure", "what the study asks", "study", "", "scale", "claims that hold", "verdict"],
        (
            [
                link(content),
                content["question"],
                f"`{content['study']}`",
                kind(content["study"]),
                scale(content),
                f"{content['counts']['holds']} of {sum(content['counts'].values())}",
                verdict(content),
            ]
            for _, content in found
        ),
    )
    return "\n".join([HEAD, overview, *(section(path, content) for path, content in found)])


def section(folder: Path, content: Content) -> str:
    """Return the section of one study: question, scale, cost, claims, notes, pictures."""
    notes = folder / "notes.md"
    parts = [
        f"## {title(content)}",
        f"{content['question']} **{verdict(content).capitalize()}.**".strip(),
        f"{kind(content['study']).capitalize()} study: {scale(content)}; {axes(content)}; "
        f"labelled by {content['rule']}. {cost(content)}",
        claims(content),
        notes.read_text(encoding="utf-8").strip() if notes.exists() else "",
        *(
            f"![{path.stem} of {content['study']}]({folder.parent.name}/{folder.name}/{path.name})"
            for path in sorted(folder.glob("*.png"))
        ),
    ]
    return "\n" + "\n\n".join(filter(None, parts)) + "\n"


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


def title(content: Content) -> str:
    """Return the heading of a study's section."""
    return f"{figure(content['study'])}: {content['study']}"


def link(content: Content) -> str:
    """Return the figure's name, linked to its section."""
    anchor = re.sub(r"[^a-z0-9_ -]", "", title(content).lower()).replace(" ", "-")
    return f"[{figure(content['study'])}](#{anchor})"


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
    return "does not hold" if counts["fails"] else "undecided"


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


def cost(content: Content) -> str:
    """Return what was trained, when, on what and at what cost."""
    done = f"{content['n_done']} of {content['n_trials']} trials, {content['core_hours']:.2g} core-hours"
    run = content["execution"]
    if run is None:
        return f"{done}."
    command = shlex.join(run["command"])
    libraries = ", ".join(
        f"{name} {run['versions'][name]}" for name in ("phasemap", "torch", "ray") if name in run["versions"]
    )
    machine = f"{run['processor']} ({', '.join(run['devices'])}), {run['platform']}"
    return f"{done}, ended {(run['ended'] or run['started'])[:10]} on {machine}, with {libraries}, by `{command}`."


def claims(content: Content) -> str:
    """Return the table of claims; a chain has one row a comparison."""
    rows = []
    for claim in content["claims"]:
        first = [f"`{claim['claim']}`", f"**{claim['verdict']}**"]
        trials = f"{claim['n_trials']} of {claim['n_expected']}"
        for line in claim["links"] or [None]:
            rows.append([*first, *numbers(line), trials, claim["reason"]])
            first, trials = ["", ""], ""
    return table(["claim", "verdict", "left", "", "right", "difference", "trials", "remarks"], rows)


def numbers(line: Content | None) -> list[str]:
    """Return left, comparison, right and the difference with its interval."""
    if line is None:
        return ["", "", "", ""]
    interval = f" [{number(line['interval'][0])}, {number(line['interval'][1])}]" if line["interval"] else ""
    return [number(line["left"]), line["comparison"], number(line["right"]), number(line["difference"]) + interval]


def number(value: float | None) -> str:
    """Return a number in four digits; a step time that is not reached has none."""
    return "not reached" if value is None else f"{value:.4g}"


def table(names: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(text: str) -> str:
    """Return text as it may stand in a cell."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reproduction.md"
    target.write_text(page(target.with_suffix("")), encoding="utf-8")
