"""Write docs/laws.md from the folders in docs/laws: one for each study of studies/laws, made as in reproduction.py.

phasemap check RUN --json > docs/laws/STUDY/check.json
python docs/laws.py
"""

import json
import sys
from pathlib import Path

from reproduction import Content, Stored, axes, claims, cost, scale, table, verdict

HERE = Path(__file__).parent
HEAD = """\
# The law book

Claims from the literature on grokking, each as a study in [studies/laws](../studies/laws) that anybody can run. The
claims of a law were committed before its run; learning rates and the like were chosen with seeds 100 and 101, and the
verdicts are from seeds 0 to 4 (of hysteresis, 0 to 19). The networks are small (24 elements or fewer, up to 256 hidden
units): a claim that fails here is not refuted at its author's scale, and one that holds is not confirmed there.
`phasemap check` tests the claims ([how](claims.md)); claims that were refuted are kept as they were written. The tables
give means over the seeds of what a claim names; where a verdict speaks of medians over the seeds, it has other numbers.
The runs were made in one process, without Ray. Those made on an Intel Xeon were made again
on an AMD EPYC, with the same verdicts but for one, which the page of hysteresis tells. `python docs/laws.py` writes
this page.
"""


def page(folder: Path) -> str:
    """Return the page for all laws in a folder, in the order of ``order.txt``."""
    names = (folder / "order.txt").read_text(encoding="utf-8").split()
    found = [(folder / name, json.loads((folder / name / "check.json").read_text(encoding="utf-8"))) for name in names]
    overview = table(
        ["law", "question", "claims that hold", "verdict"],
        (
            [
                f"[{content['study']}](#{content['study']})",
                content["question"],
                f"{content['counts']['holds']} of {sum(content['counts'].values())}",
                verdict(content),
            ]
            for _, content in found
        ),
    )
    rest = (folder / "not_run.md").read_text(encoding="utf-8").strip()
    return "\n".join([HEAD, overview, *(section(path, content) for path, content in found), f"\n{rest}\n"])


def section(folder: Path, content: Content) -> str:
    """Return the section of one law: source and claim, what was run, verdict, claims, notes, pictures."""
    parts = [
        f"## {content['study']}",
        (folder / "source.md").read_text(encoding="utf-8").strip(),
        f"**Run.** {scale(content)}; {axes(content)}. {cost(Stored(folder=folder, content=content))}",
        f"**Verdict: {verdict(content)}.** {(folder / 'notes.md').read_text(encoding='utf-8').strip()}",
        claims(content),
        *(
            f"![{path.stem} of {content['study']}](laws/{folder.name}/{path.name})"
            for path in sorted(folder.glob("*.png"))
        ),
    ]
    return "\n" + "\n\n".join(filter(None, parts)) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "laws.md"
    target.write_text(page(HERE / "laws"), encoding="utf-8")
