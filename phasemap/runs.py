"""A run, as users hold it: its tables, its diagram and its figures, read from its folder when they are asked for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasemap.diagram.claims import ClaimResult, check_claims
from phasemap.diagram.diagram import STEP, lay_out, make_diagram
from phasemap.diagram.horizon import MOST_FACETS, MOST_STEPS, with_steps
from phasemap.diagram.robustness import robustness
from phasemap.diagram.tables import Tables, derive, study_rows
from phasemap.figures import PHASES, Chosen, FigureRequest
from phasemap.maps import PhaseDiagram
from phasemap.phases.terms import kept_terms, term_column
from phasemap.results.curves import read_curves
from phasemap.results.folder import RunFolder, find_run
from phasemap.results.lock import holder_of
from phasemap.results.provenance import Execution, read_provenance
from phasemap.results.schema import SWEEP
from phasemap.results.shards import shard_stamp
from phasemap.search.completed import completed, searched_map
from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.claims import vocabulary
from phasemap.study.errors import UserError
from phasemap.study.file import load_resolved
from phasemap.study.names import ROBUSTNESS
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids, trials_of_run

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure

    from phasemap.diagram.compare import Comparison
    from phasemap.diagram.critical import Critical
    from phasemap.figures.chart import Chart, ChartTables
    from phasemap.figures.scatter import ScatterSpec
    from phasemap.figures.spec import FigureSpec
    from phasemap.running.replay import Replay


Made = TypeVar("Made")


def _stamp(folder: RunFolder) -> str:
    return shard_stamp(folder.study) if folder.study.exists() else ""


def kept(make: Callable[[Run], Made]) -> Callable[[Run], Made]:
    """Keep what is made of a run until its study on disk is another one: relabelled, or continued."""

    @wraps(make)
    def current(run: Run) -> Made:
        stamp = _stamp(run.folder)
        if run.made_of != stamp:
            run.made_of, run.made = stamp, {}
        if make.__name__ not in run.made:
            run.made[make.__name__] = make(run)
        made: Made = run.made[make.__name__]
        return made

    return current


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far a run is, and how its last execution went."""

    name: str
    run: str  # where it is
    n_trials: int
    n_done: int
    searched: bool  # a search chooses the trials
    phase_counts: Mapping[str, int]
    at_step: int | None  # at which its trials are labelled, if not at the end of the training
    state: str | None  # who is at work, or the last outcome
    last: Execution

    @property
    def progress(self) -> str:
        """How many trials are done, in words; a search that is done had no others to train."""
        if self.searched and self.state == "done":
            return f"{self.n_done} trials, chosen by a search"
        return f"{self.n_done}/{self.n_trials} trials"


class Run:
    """A run's results, read from its folder when they are asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.path  # of a run in an object store, this process's copy
        self.location = folder.location
        self.made_of, self.made = "", dict[str, Any]()  # the study's file as it was, and what was made by it

    @classmethod
    def of(cls, folder: RunFolder, **made: Any) -> Run:
        """Return a run some of whose tables, or whose study, are known already."""
        run = cls(folder)
        run.made_of, run.made = _stamp(folder), made
        return run

    def __repr__(self) -> str:
        return f"Run({self.location!r})"

    @property
    def status(self) -> RunStatus:
        """How far the run is, and how its last execution went."""
        holder, last = holder_of(self.folder), (read_provenance(self.folder) or [Execution({})])[-1]
        at_work = f"at work (process {holder.pid} on {holder.host})" if holder else None
        return RunStatus(
            name=self.study.name,
            run=self.location,
            n_trials=trials_of_run(self.study, len(self.trials)),
            n_done=int(self.trials["status"].isin(["ok", "diverged"]).sum()),
            searched=self.study.search.kind != "grid",
            phase_counts=self.counts("phase"),
            at_step=self.study.phases.at_step,
            state=at_work or last.left_as,
            last=last,
        )

    def counts(self, label: str) -> dict[str, int]:
        """Count the trials by their ``phase``, ``subphase`` or ``status``, the most frequent first."""
        return {str(name): int(n) for name, n in self.trials[label].dropna().value_counts().items()}

    def _repr_html_(self) -> str:
        """Show a notebook what the run is, how far it is, and its default picture."""
        status = self.status
        labels = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in self.counts("subphase").items())
        horizon = self.study.phases.horizon_words
        words = "; ".join(filter(None, [status.progress, labels, horizon]))
        from phasemap.figures.static import png_of

        picture = b64encode(png_of(self.figure())).decode()
        name = escape(self.study.name)
        return (
            f"<p><strong>{name}</strong> ({escape(words)})</p>"
            f'<img alt="the phase diagram of {name}" style="max-width: 100%" src="data:image/png;base64,{picture}">'
        )

    @property
    @kept
    def study(self) -> Study:
        """The study, with every default filled in."""
        return load_resolved(self.folder.study)

    @property
    @kept
    def trials(self) -> pd.DataFrame:
        """One row per trial; columns that an earlier release did not have are null."""
        terms = {term_column(term) for term in kept_terms(self.study)}
        frame = self._read(self.folder.trials, lambda tables: tables.trials, terms)
        finals = dict.fromkeys(self.study.recorded.finals, np.nan)
        unknown: dict[str, Any] = {**finals, "kernel": None, "label_reason": None}
        return frame.assign(**{name: value for name, value in unknown.items() if name not in frame})

    @property
    @kept
    def points(self) -> pd.DataFrame:
        """The phase diagram as a table: one row per point."""
        return self._read(self.folder.points, lambda tables: tables.points)

    @property
    @kept
    def expected_wrong(self) -> float | None:
        """Of a search, the expected share of points with a wrong label; None if the whole grid was trained."""
        if self.study.search.kind == "grid":
            return None
        from phasemap.search.study_map import expected_wrong

        return expected_wrong(self.study, self.trials)

    @property
    @kept
    def curves(self) -> pd.DataFrame:
        """The curves in long form: trial_id, step, quantities (and status, corruption, n_corrupted, for ``label``)."""
        return self._read(self.folder.curves, lambda tables: self._read_curves(tables.trials["trial_id"].tolist()))

    def diagram(
        self,
        x: str | None = None,
        y: str | None = None,
        fix: Mapping[str, Any] | None = None,
        facet: str | Sequence[str] = (),
    ) -> PhaseDiagram:
        """Return the phase diagram over two axes, by default the study's first two, with the others as facets.

        ``fix`` holds axes at one of their values, ``facet`` names those that vary between panels.
        """
        return self._lay_out(FigureRequest(x=x, y=y, fix=fix, facet=facet))

    def diff(self, other: Run) -> Comparison:
        """Compare this run, A, with another, B, on the points that both have.

        The result says which settings differ, which points changed their label beyond the seeds' spread, and how far
        the frontiers moved. UserError if the runs have no point in common.
        """
        from phasemap.diagram.compare import compare  # these three load scipy.stats, which takes a second

        comparison = compare(self.study, self.trials, other.study, other.trials)
        if comparison.name_a == comparison.name_b:  # one of them is a copy, perhaps with other labels
            comparison = replace(comparison, name_a=self.folder.name, name_b=other.folder.name)
        return comparison

    def critical(self, axis: str, event: str | None = None, fix: Mapping[str, Any] | None = None) -> Critical:
        """Locate a transition along an axis: where half of the trials show an event, and its 10-90 % width.

        ``event`` is the name of a phase or label, of a frontier (being above it) or of a step time (reaching it) of the
        study's rule; built-in rules also have ``generalizes`` (the default; for other rules it is the first frontier)
        and ``generalization_wins``. ``fix`` holds the other axes at a value. UserError if there is no transition, or
        more than one.
        """
        from phasemap.diagram.critical import critical

        return critical(self.study, self.trials, axis, event, fix)

    def survival(self, event: str | None = None, by: str | None = None) -> pd.DataFrame:
        """Return the share of trials that have not reached a step time yet (Kaplan-Meier), for each value of an axis.

        ``event`` is the step time, by default grokking_step or the first one of the rule; ``by`` is the axis. Trials
        that had not reached it by the horizon count as censored.
        """
        from phasemap.diagram.survival import survival

        return survival(self.study, self.trials, event, by)

    def hysteresis(self, quantity: str, setting: str) -> pd.DataFrame:
        """Return, for each point, the area between a scheduled setting's way down and its way up, with 95 % intervals.

        UserError unless the setting's schedules rise and return through the same values.
        """
        from phasemap.diagram.hysteresis import hysteresis

        return hysteresis(self.study, self.trials, self.curves, quantity, setting)

    def robustness(self) -> pd.DataFrame:
        """Return, for each point, the share of other thresholds, windows, horizons and seeds that keep its label."""
        at_step, curves = self.study.phases.at_step, self.curves
        known = curves if at_step is None else curves[curves["step"] <= at_step]
        return robustness(self.study, self.trials, self.points, known)

    def to_optuna(self) -> optuna.Study:
        """Return the trials as an Optuna study in memory, for Optuna's own plots (needs phasemap[export]).

        The axes and the seed are parameters, test_accuracy is the value, and the labels are user attributes.
        """
        from phasemap.results.optuna_study import optuna_study

        return optuna_study(self.study, self.trials, self.curves)

    def check(self, claims: Sequence[str] | None = None) -> list[ClaimResult]:
        """Test claims on the run's trials: the study's own, or the given texts (see docs/claims.md).

        UserError lists all mistakes in them.
        """
        study, words = self.study, vocabulary(self.study)
        parsed, wrong = [], []
        for text in study.claims if claims is None else claims:
            try:
                parsed.append(parse_claim(text, study.axes, words))
            except ClaimError as error:
                wrong += [f"the claim {text[:60]!r}: {message}" for message in error.messages]
        if wrong:
            raise UserError("\n".join(wrong))
        return check_claims(study, self.trials, parsed, searched_map(study, self.trials, self.points))

    @property
    @kept
    def neurons(self) -> pd.DataFrame:
        """What the study's ``record`` asked for: one row per neuron, pruning step, example or parameter.

        UserError if the run has no such records.
        """
        from phasemap.figures.chart import not_recorded
        from phasemap.figures.kinds import CHART_KINDS

        if not self.folder.fetch(self.folder.neurons):
            raise not_recorded(self.study, *dict.fromkeys(name for k in CHART_KINDS.values() for name in k.records))
        frame: pd.DataFrame = pq.read_table(self.folder.neurons).to_pandas()
        return frame

    @property
    def metrics(self) -> tuple[str, ...]:
        """What ``plot(metric=...)`` can show as a map: labels, quantities, robustness."""
        from phasemap.figures.spec import metrics_of

        return metrics_of(self.study)

    def figure(self, kind: str = PHASES, **chosen: Unpack[Chosen]) -> FigureSpec | ScatterSpec | Chart:
        """Return a figure of any kind as data, not drawn; see ``plot``."""
        return self.requested(FigureRequest(kind=kind, **chosen))

    def requested(self, wanted: FigureRequest) -> FigureSpec | ScatterSpec | Chart:
        """Describe the figure that is asked for as data."""
        from phasemap.figures.kinds import check_kind, make_chart

        check_kind(self.study, wanted.kind, wanted.metric)
        if wanted.grid and wanted.kind != PHASES:
            raise UserError(f"--grid has no meaning with --kind {wanted.kind}; allowed: --kind {PHASES}")
        if wanted.kind == PHASES and (grid := wanted.grid or self.study.inferred_grid):
            from phasemap.figures.scatter import inferred_spec

            return inferred_spec(self.folder, self.study, grid, **wanted.axes, metric=wanted.metric)
        if wanted.kind == PHASES and self.study.scattered:
            from phasemap.figures.captions import horizons_of
            from phasemap.figures.scatter import scatter_spec

            horizons = horizons_of(self.trials)
            return scatter_spec(self.study, self.points, **wanted.axes, metric=wanted.metric, horizons=horizons)
        if wanted.kind == PHASES and self._is_line(wanted):
            from phasemap.figures.curves import over_axis_chart

            return over_axis_chart(self._chart_tables("curves"), lay_out(self.study, **wanted.axes), str(wanted.metric))
        if wanted.kind == PHASES:
            diagram = self._lay_out(wanted)
            spec = diagram.figure(wanted.metric, band=wanted.band, cells=wanted.cells)
            return self._with_off_grid(spec, diagram) if spec.metric != ROBUSTNESS else spec
        if self.study.scattered:
            raise UserError(
                f"the points of {self.study.name} lie on no grid, and --kind {wanted.kind} draws a panel for each of a "
                f"grid; allowed: --kind {PHASES}"
            )
        return make_chart(
            wanted.kind, self._chart_tables(wanted.kind), lay_out(self.study, **wanted.axes), wanted.metric
        )

    def _with_off_grid(self, spec: FigureSpec, diagram: PhaseDiagram) -> FigureSpec:
        """Add to a map the trials of an imported sweep that lie between its points."""
        trials = self.trials[self.trials["pack_id"].fillna("").str.startswith(SWEEP)]
        trials = trials[~trials["trial_id"].isin(grid_ids(self.study))] if len(trials) else trials
        if not len(trials) or STEP in diagram.data.study.axis_names:
            return spec
        from phasemap.figures.scatter import n_dots, with_dots

        dotted = with_dots(spec, diagram.data, trials)
        return replace(dotted, subtitle=f"{n_dots(dotted)} trials between the cells. {spec.subtitle}")

    def plot(self, kind: str = PHASES, *, size: str | None = None, **chosen: Unpack[Chosen]) -> Figure:
        """Draw a figure of a kind (phases, curves, ipr, neurons, pruning, norms, logits) and return it.

        ``x``, ``y``, ``facet`` (names of axes) and ``fix`` ({axis: value}) choose what is drawn: by default the study's
        first two axes, with the others as facets. In all kinds but phases each point has a panel of its own (x to the
        right, y and facets down); ``metric`` chooses a quantity if the kind has several.
        A phase diagram names its regions: ``cells=True`` writes each cell's letter instead, ``band=True`` draws where
        the frontiers may lie, and ``scale="value"`` draws unevenly spaced values true to scale. For points that lie on
        no grid, ``grid`` ({"lr": "33:log"}) draws a map inferred from them behind them.
        ``size`` is one-column or two-column (of a page), by default what the content needs. Matplotlib parameters that
        you have set take precedence over phasemap's style.
        """
        from phasemap.figures.static import draw_any

        return draw_any(self.figure(kind, **chosen), size)

    def _is_line(self, wanted: FigureRequest) -> bool:
        """Tell whether a map would be a strip of one quantity of the trials: it is drawn as a line over its axis."""
        if wanted.metric not in self.trials or wanted.metric in ("phase", "subphase") or wanted.over(STEP):
            return False
        layout = lay_out(self.study, **wanted.axes)
        alone = layout.x is not None and layout.y is None and not layout.facets and not layout.x.categorical
        return alone and self.trials[wanted.metric].dtype.kind in "fiu" and self.study.search.kind == "grid"

    def _lay_out(self, wanted: FigureRequest) -> PhaseDiagram:
        """Return the diagram, with the column that a metric needs beyond the points' own."""
        if self.study.scattered:
            raise UserError(f"the points of {self.study.name} lie on no grid; allowed: Run.plot, Run.points")
        study, points, stepped = self.study, self.points, wanted.over(STEP)
        if stepped:
            facets = STEP in wanted.axes["facet"]
            study, points = with_steps(study, self.folder, MOST_FACETS if facets else MOST_STEPS)
        elif wanted.metric == ROBUSTNESS:
            points = points.assign(**{ROBUSTNESS: self.robustness()["subphase_share"]})
        diagram = make_diagram(study, points, **wanted.axes, by_value=wanted.scale == "value")
        return PhaseDiagram(diagram, None if stepped else self.trials)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML file that shows the run in a browser, and return its path."""
        from phasemap.figures.page import check_page, write_report

        check_page(Path(path))
        if self.study.scattered:
            from phasemap.figures.report import write_scatter_page

            claims = [(result.text, result.verdict) for result in self.check()]
            write_scatter_page(self.study, self.trials, self.points, claims, Path(path))
            return Path(path)
        write_report(self.report_content(), Path(path))
        return Path(path)

    def report_content(self) -> dict[str, Any]:
        """Return the content of the report as plain data, for pages; UserError if the points lie on no grid."""
        if self.study.scattered:
            raise UserError(f"the points of {self.study.name} lie on no grid; allowed: Run.report, Run.plot")
        from phasemap.figures.report import report_payload

        tables = Tables(study=self.study, trials=self.trials, points=self.points)
        return report_payload(tables, self._rows, read_provenance(self.folder), self.check())

    def replay(self, trial_id: str, *, quiet: bool = False) -> Replay:
        """Train one trial again on its own and compare it with the stored one; 6 digits of ``trial_id`` are enough.

        UserError if the run has no such trial, or it was not trained yet. Progress goes to stderr unless ``quiet``.
        """
        from phasemap.running.replay import replay_trial

        return replay_trial(self.folder, self.study, trial_id, quiet=quiet)

    def _chart_tables(self, kind: str) -> ChartTables:
        """Return the tables behind a kind of chart, with only those records that it reads."""
        from phasemap.figures.chart import ChartTables
        from phasemap.figures.kinds import CHART_KINDS

        wanted = pc.field("record").isin(CHART_KINDS[kind].records)
        path = self.folder.neurons
        neurons = pq.read_table(path, filters=wanted).to_pandas() if self.folder.fetch(path) else pd.DataFrame()
        return ChartTables(
            study=self.study, trials=self.trials, points=self.points, curves=self.curves, neurons=neurons
        )

    def _read_curves(self, trial_ids: list[str]) -> pd.DataFrame:
        from phasemap.results.schema import shard_schema

        frame: pd.DataFrame = read_curves(self.folder, trial_ids, shard_schema(self.study)).to_pandas()
        return frame

    @property
    @kept
    def _rows(self) -> pa.Table:
        """The trials with their curves as lists, from the shards, not labelled."""
        return study_rows(self.folder, self.study)

    @property
    @kept
    def _derived(self) -> Tables:
        """The tables made from the shards, without writing them."""
        return completed(derive(self.folder))

    def _read(
        self, path: Path, otherwise: Callable[[Tables], pd.DataFrame], needed: Set[str] = frozenset()
    ) -> pd.DataFrame:
        """Read a derived table; where it is missing, damaged or of an earlier release, make it from the shards."""
        try:
            self.folder.fetch(path)
            frame: pd.DataFrame = pq.read_table(path).to_pandas()
        except (OSError, pa.ArrowInvalid):
            return otherwise(self._derived)
        known = {*self.study.recorded.quantities, *needed}
        return frame if known <= set(frame) else otherwise(self._derived)


def open_run(path: str | Path, storage: str | Path | None = None) -> Run:
    """Open a run by its folder or, with a storage, by its name; UserError if there is none."""
    return Run(find_run(path, storage))
