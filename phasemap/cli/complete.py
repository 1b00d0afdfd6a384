"""What a shell completes: runs, and of the run that is named its axes, their values and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from phasemap.cli.shared import common

if TYPE_CHECKING:
    from phasemap.study.spec import Study

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_run(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a run: its name in the storage that is named, else its folder; also a folder on the way to one."""
    storage = ctx.params.get("storage")
    if storage is not None:
        root = Path(str(storage).removeprefix("file://"))
        names = sorted(path.parent.name for path in root.glob("*/study.yaml"))  # of an object store none: too slow
        return _starting(names, incomplete)
    runs = sorted(path.parent.as_posix() for path in Path("runs").glob("*/study.yaml"))
    return _starting(runs, incomplete) or [CompletionItem(incomplete, type="dir")]


def of_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument RUN, which a shell completes, and what every command shares."""
    return click.argument("run", shell_complete=complete_run)(common(command))


def complete_shipped(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a study that ships with phasemap."""
    from phasemap.study.templates import shipped_studies

    return _starting(shipped_studies(), incomplete)


def _of_study(words: Callable[[Study], Iterator[str]]) -> Completer:
    """Complete words that the study of the named run has; none where there is no such run."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from phasemap.results.folder import find_run
        from phasemap.study.errors import PhasemapError
        from phasemap.study.file import load_resolved

        # with an option that still lacks its value, click leaves the arguments unread
        run = ctx.params.get("run") or next(iter(ctx.args), None)
        try:
            study = load_resolved(find_run(run, ctx.params.get("storage")).study) if run else None
        except PhasemapError:  # a shell shows no mistakes
            study = None
        if study is None:
            return []
        return _starting(words(study), incomplete)

    return complete


def _axes(study: Study) -> Iterator[str]:
    yield from (*study.axis_names, "step")


def _fixes(study: Study) -> Iterator[str]:
    from phasemap.diagram.coordinates import show_value

    for axis in study.axes:
        yield from (f"{axis.name}={show_value(value)}" for value in axis.values)


def _metrics(study: Study) -> Iterator[str]:
    from phasemap.figures.spec import metrics_of

    yield from metrics_of(study)


def _starting(words: object, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]  # type: ignore[attr-defined]


complete_axis, complete_fix, complete_metric = map(_of_study, (_axes, _fixes, _metrics))
