"""The site beyond docs/: README and others as pages, an index of decisions, links that lead somewhere, no network."""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository's root, and the pages that they are."""
INDEX = """\
# Decisions

What could well have been decided otherwise, or was decided by a measurement: the question, what was tried, the choice,
and what it costs.

"""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^\s():#]+)(#[^\s)]*)?\)")
LOADED = re.compile(r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* rel="(?:stylesheet|icon)"[^>]* href="https?:')
log = logging.getLogger("mkdocs.hooks.docs")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that stand elsewhere in the repository, and the index of decisions."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    paths = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    titles = [path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ") for path in paths]
    lines = [f"- [{title}]({path.name})\n" for title, path in zip(titles, paths, strict=True)]
    files.append(File.generated(config, "decisions/index.md", content=INDEX + "".join(lines)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links that leave docs/ at pages of the site; of a link to another file of the repository keep the label."""
    name = page.file.src_uri
    source = next((file for file, made in PAGES.items() if made == name), f"docs/{name}")

    def moved(match: re.Match[str]) -> str:
        picture, label, path, anchor = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if target in PAGES:
            target = f"docs/{PAGES[target]}"
        elif target == "docs/decisions":
            target = "docs/decisions/index.md"
        if target.startswith("docs/"):
            there = posixpath.relpath(target, posixpath.dirname(f"docs/{name}"))
            return f"{picture}[{label}]({there}{anchor or ''})"
        if not (ROOT / target).exists():
            log.warning("%s: there is no %s", name, target)
        return label

    return LINK.sub(moved, markdown)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Take the one script that the theme would load from elsewhere from the site; refuse what else comes from there."""
    here = posixpath.relpath("iframe-worker.js", posixpath.dirname(page.file.dest_uri) or ".")
    output = output.replace("https://unpkg.com/iframe-worker/shim", here)
    for match in LOADED.finditer(output):
        log.warning("%s loads from the network: %s", page.file.src_uri, match[0])
    return output
