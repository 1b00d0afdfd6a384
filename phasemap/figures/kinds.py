"""Every kind of chart by its name, with the records that it reads and the quantities that it can draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from phasemap.diagram.diagram import Layout
from phasemap.figures import KINDS, PHASES
from phasemap.figures.captions import source_words
from phasemap.figures.chart import Chart, ChartTables
from phasemap.figures.curves import curve_metrics, curves_chart, norms_chart
from phasemap.figures.inside import IPR_METRICS, ipr_chart, logits_chart, neurons_chart, pruning_chart, pruning_metrics
from phasemap.study.errors import UserError
from phasemap.study.spec import NetworkStudy, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartKind:
    """How a kind of chart is made; ``make`` takes a metric only where there are ``metrics``."""

    make: Callable[..., Chart]
    records: tuple[str, ...]  # of neurons.parquet, where they were recorded
    metrics: Callable[[Study], Sequence[str]] | None = None
    inside: bool = True  # whether it shows what only phasemap's own networks have


CHART_KINDS = {
    "curves": ChartKind(make=curves_chart, records=("extracted",), metrics=curve_metrics, inside=False),
    "ipr": ChartKind(make=ipr_chart, records=("ipr", "extracted"), metrics=lambda _: tuple(IPR_METRICS)),
    "neurons": ChartKind(make=neurons_chart, records=("neurons",)),
    "pruning": ChartKind(make=pruning_chart, records=("pruning",), metrics=pruning_metrics),
    "norms": ChartKind(make=norms_chart, records=("norms",)),
    "logits": ChartKind(make=logits_chart, records=("logits",)),
}


def check_kind(study: Study, kind: str, metric: str | None) -> None:
    """UserError where a kind is unknown, shows what the study's trials have not, or has not the metric."""
    if kind not in KINDS:
        raise UserError(f"--kind {kind} is unknown; allowed: {', '.join(KINDS)}")
    if kind == PHASES:
        return
    chart = CHART_KINDS[kind]
    if chart.inside and not isinstance(study, NetworkStudy):
        others = ", ".join([PHASES, *(name for name, other in CHART_KINDS.items() if not other.inside)])
        raise UserError(
            f"--kind {kind} looks inside phasemap's own networks, and {study.name} trains none; allowed: {others}"
        )
    if metric is None:
        return
    if chart.metrics is None:
        raise UserError(f"--kind {kind} has no metrics, but --metric {metric} was given; allowed: leave it out")
    allowed = chart.metrics(study)
    if metric not in allowed:
        raise UserError(f"--metric {metric} is unknown to --kind {kind}; allowed: {', '.join(allowed)}")


def make_chart(kind: str, tables: ChartTables, layout: Layout, metric: str | None = None) -> Chart:
    """Describe one of CHART_KINDS; UserError where the metric or the needed record is missing."""
    check_kind(tables.study, kind, metric)
    if not len(tables.trials):
        raise UserError(f"nothing of {tables.study.name} has been trained yet; allowed: run it first")
    options = {} if CHART_KINDS[kind].metrics is None else {"metric": metric}
    return replace(CHART_KINDS[kind].make(tables, layout, **options), source=source_words(tables.study))
