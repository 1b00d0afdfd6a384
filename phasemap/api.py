"""What ``import phasemap`` offers: load and run studies, open runs, and look at their diagrams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasemap.diagram.claims import ClaimResult, check_claims
from phasemap.diagram.diagram import STEP, Diagram, lay_out, make_diagram
from phasemap.diagram.frontier import Floats, Kind
from phasemap.diagram.horizon import with_steps
from phasemap.diagram.tables import Tables, derive
from phasemap.phases.curves import QUANTITIES
from phasemap.phases.labelling import label_frame
from phasemap.results.curves import read_curves
from phasemap.results.folder import RunFolder, find_run, storage_path, write_text
from phasemap.results.lock import locked
from phasemap.study.checks import check_rule
from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.combinations import longest_training
from phasemap.study.file import load_resolved, load_rule, load_study
from phasemap.study.problems import UserError
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.trials import find_trial
from phasemap.study.writing import dump_study

if TYPE_CHECKING:
    import torch
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from phasemap.figures.cells import Frames
    from phasemap.figures.chart import Chart
    from phasemap.figures.spec import FigureSpec
    from phasemap.running.driver import Outcome
    from phasemap.running.runner import Runner

RULES = ("memorized_fraction", "doshi2024")


class PhaseDiagram:
    """A phase diagram over two axes (or a strip over one), with facets for the others."""

    def __init__(self, diagram: Diagram) -> None:
        self.data = diagram

    def plot(self, ax: Axes | None = None, *, metric: str = "subphase") -> Any:
        """Draw the diagram: into ``ax`` (one panel, returns the axes), or as a new matplotlib Figure."""
        from phasemap.figures.spec import figure_spec
        from phasemap.figures.static import draw, draw_into

        spec = figure_spec(self.data, metric)
        return draw(spec) if ax is None else draw_into(ax, spec)

    def frontier(self, kind: Kind = "generalization", *, panel: int = 0) -> list[Floats]:
        """Return a frontier's lines in one panel, each (n, 2) in axis values; kind: generalization, inversion."""
        return self.data.frontier(kind, panel)

    def to_xarray(self) -> xarray.Dataset:
        """Return the points as an xarray Dataset over all axes of the study (needs phasemap[export])."""
        from phasemap.results.export import points_dataset

        free = [axis for axis in self.data.study.axes if axis.name not in self.data.fixed]
        return points_dataset(self.data.study, free, self.points)

    @property
    def points(self) -> pd.DataFrame:
        """The points behind the diagram, one row each."""
        names = list(self.data.panels[0].grid)
        return pd.concat(
            [pd.DataFrame({n: panel.grid[n].ravel() for n in names}) for panel in self.data.panels],
            ignore_index=True,
        )


class Run:
    """A run's results, read from its folder when they are asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def study(self) -> Study:
        """The study as resolved."""
        return load_resolved(self.folder.study)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial."""
        return self._read(self.folder.trials, lambda tables: tables.trials)

    @cached_property
    def points(self) -> pd.DataFrame:
        """The phase diagram as a table: one row a point."""
        return self._read(self.folder.points, lambda tables: tables.points)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The curves in long form: trial_id, step, quantities (and status, corruption, n_corrupted, for ``label``)."""
        return self._read(
            self.folder.curves, lambda tables: read_curves(self.folder, tables.trials["trial_id"].tolist()).to_pandas()
        )

    def diagram(
        self,
        x: str | None = None,
        y: str | None = None,
        fix: Mapping[str, Any] | None = None,
        facet: str | Sequence[str] = (),
    ) -> PhaseDiagram:
        """Lay the points out over two axes; by default the study's first two, with the others as facets."""
        facets = (facet,) if isinstance(facet, str) else tuple(facet)
        study, points = self.study, self.points
        if STEP in (x, y, *facets, *(fix or {})):
            study, points = with_steps(study, self.folder)
        return PhaseDiagram(make_diagram(study, points, x=x, y=y, fix=fix, facet=facets))

    def check(self, claims: Sequence[str] | None = None) -> list[ClaimResult]:
        """Test claims on the run's trials: the study's own, or the given texts (see docs/claims.md).

        UserError names all that is wrong with them.
        """
        study, parsed, wrong = self.study, [], []
        for text in study.claims if claims is None else claims:
            try:
                parsed.append(parse_claim(text, study.axes))
            except ClaimError as error:
                wrong += [f"the claim {text[:60]!r}: {message}" for message in error.messages]
        if wrong:
            raise UserError("\n".join(wrong))
        return check_claims(study, self.trials, parsed)

    @cached_property
    def neurons(self) -> pd.DataFrame:
        """What the study's ``record`` asked for, one row a neuron, pruning step, example or parameter.

        UserError if the run recorded nothing of that kind.
        """
        from phasemap.figures.cells import not_recorded
        from phasemap.figures.charts import CHART_KINDS

        if not self.folder.neurons.is_file():
            raise not_recorded(self.study, *dict.fromkeys(name for k in CHART_KINDS.values() for name in k.records))
        frame: pd.DataFrame = pq.read_table(self.folder.neurons).to_pandas()
        return frame

    def figure(
        self,
        kind: str = "phases",
        *,
        x: str | None = None,
        y: str | None = None,
        fix: Mapping[str, Any] | None = None,
        facet: str | Sequence[str] = (),
        metric: str | None = None,
    ) -> FigureSpec | Chart:
        """Describe a figure of any kind as data; see ``plot``."""
        from phasemap.figures.charts import check_kind, make_chart
        from phasemap.figures.kinds import PHASES
        from phasemap.figures.spec import figure_spec

        check_kind(kind, metric)
        if kind == PHASES:
            return figure_spec(self.diagram(x=x, y=y, fix=fix, facet=facet).data, metric or "subphase")
        facets = (facet,) if isinstance(facet, str) else tuple(facet)
        layout = lay_out(self.study, x=x, y=y, fix=fix, facet=facets)
        return make_chart(kind, self._frames(kind), layout, metric)

    def plot(
        self,
        kind: str = "phases",
        *,
        x: str | None = None,
        y: str | None = None,
        fix: Mapping[str, Any] | None = None,
        facet: str | Sequence[str] = (),
        metric: str | None = None,
    ) -> Figure:
        """Draw a figure and return it: kind phases, curves, ipr, neurons, pruning, norms or logits.

        In all kinds but phases each point has a panel (x to the right, y and facets down), unless it is held by
        ``fix``; ``metric`` chooses one quantity where the kind has several.
        """
        from phasemap.figures.static import draw_any

        return draw_any(self.figure(kind, x=x, y=y, fix=fix, facet=facet, metric=metric))

    def _frames(self, kind: str) -> Frames:
        """Return the tables behind a kind of chart, with only those records that it reads."""
        from phasemap.figures.cells import Frames
        from phasemap.figures.charts import CHART_KINDS

        wanted = pc.field("record").isin(CHART_KINDS[kind].records)
        path = self.folder.neurons
        neurons = pq.read_table(path, filters=wanted).to_pandas() if path.is_file() else pd.DataFrame()
        return Frames(study=self.study, trials=self.trials, points=self.points, curves=self.curves, neurons=neurons)

    @cached_property
    def _derived(self) -> Tables:
        """The tables made from the shards, without writing them."""
        return derive(self.folder)

    def _read(self, path: Path, otherwise: Callable[[Tables], pd.DataFrame]) -> pd.DataFrame:
        """Read a derived table; where it is missing, damaged or of an earlier release, make it from the shards."""
        try:
            frame: pd.DataFrame = pq.read_table(path).to_pandas()
        except (OSError, pa.ArrowInvalid):
            return otherwise(self._derived)
        return frame if set(QUANTITIES) <= set(frame) else otherwise(self._derived)


def open_run(path: str | Path, storage: str | Path | None = None) -> Run:
    """Open a run by its folder or, with a storage, by its name; UserError if there is none."""
    return Run(find_run(path, storage))


def run(
    study: Study | str | Path,
    *,
    storage: str | Path | None = None,
    address: str | None = None,
    cpus: int | None = None,
    callbacks: Sequence[Any] = (),
    in_process: bool = False,
    quiet: bool = False,
) -> Run:
    """Run a study (or continue its run) and return the run.

    ``address`` names a Ray cluster; without it Ray is started on this machine with ``cpus`` CPUs. ``callbacks`` are Ray
    Tune callbacks. ``in_process`` trains without Ray, one pack after the other. Progress goes to stderr unless
    ``quiet``.
    Raises UserError for wrong input and UnreachableError for a cluster or storage that can't be used.
    """
    study = study if isinstance(study, Study) else load_study(study)
    folder = RunFolder(storage_path(storage) / study.name)
    execute(study, folder, address=address, cpus=cpus, callbacks=callbacks, in_process=in_process, quiet=quiet)
    return Run(folder)


def execute(
    study: Study,
    folder: RunFolder,
    *,
    address: str | None = None,
    cpus: int | None = None,
    callbacks: Sequence[Any] = (),
    in_process: bool = False,
    retry_failed: bool = False,
    fresh: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Run a study in a folder and say how it ended; see ``run``."""
    from phasemap.running.driver import run_study

    def start_runner() -> Runner:
        if in_process:
            from phasemap.running.local import LocalRunner

            return LocalRunner(study.resources.device)
        from phasemap.running.ray_tune import RayRunner

        return RayRunner(study.resources, address=address, cpus=cpus, callbacks=callbacks)

    return run_study(study, folder, start_runner, retry_failed=retry_failed, fresh=fresh, quiet=quiet)


def relabel(run: Run, rule: str | PhaseRule | None = None, at_step: int | None = None) -> Run:
    """Label a run again from its stored curves and return it; nothing is trained.

    ``rule`` is a rule's name, a file with the content of a study's ``phases``, or None for the run's own. A new rule is
    kept in the run's study.yaml. ``at_step`` gives the map at an earlier horizon; the tables stay so until the next
    relabel or run.
    """
    from phasemap.running.driver import write_results
    from phasemap.running.storage import storage_errors

    wanted = run.study.phases if rule is None else _rule(rule)
    study = run.study.model_copy(update={"phases": wanted})
    steps = longest_training(study)
    if at_step is not None and at_step > steps:
        raise UserError(f"--at-step {at_step} is after the end of the training; allowed: up to {steps}")
    with storage_errors(run.folder), locked(run.folder):
        if wanted != run.study.phases:
            run.folder.remove_labelled()
            write_text(run.folder.study, dump_study(study))
        write_results(run.folder, study, at_step, curves=not run.folder.curves.exists())
    return Run(run.folder)


def _rule(rule: str | PhaseRule) -> PhaseRule:
    if isinstance(rule, PhaseRule):
        for key, message in check_rule(rule):
            raise UserError(f"{key} {message}")
        return rule
    if rule in RULES:
        return PhaseRule(rule=rule)  # type: ignore[arg-type]
    if not Path(rule).exists():
        raise UserError(f"--rule {rule} is neither a rule nor a file; allowed: {', '.join(RULES)}, or a file")
    return load_rule(rule)


def label(curves: pd.DataFrame | Run, rule: str | PhaseRule = "memorized_fraction") -> pd.DataFrame:
    """Label trials from their curves in long form; returns a table indexed by trial_id.

    Needs the columns trial_id, step, the accuracies, corruption and n_corrupted, as ``Run.curves`` has them.
    """
    return label_frame(curves.curves if isinstance(curves, Run) else curves, _rule(rule))


def load_network(run: Run | str | Path, trial_id: str) -> torch.nn.Module:
    """Return a trained network as a PyTorch module that maps inputs (B, 2) or (B, F) to scores (B, C).

    Its weights come from the run, where the study's ``record`` has ``weights``; else the trial is trained once more on
    this machine's CPU. UserError if the run has no such trial.
    """
    from phasemap.results.inside import read_weights
    from phasemap.training.population import network_of

    found = run if isinstance(run, Run) else open_run(run)
    return network_of(find_trial(found.study, trial_id), read_weights(found.folder, trial_id))
