"""A phase diagram, as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from phasemap.diagram.bands import Band, band_table, drawn_bands, inferred_band, row_band
from phasemap.diagram.diagram import Diagram
from phasemap.diagram.frontier import Floats
from phasemap.diagram.seeds import SeedMaps
from phasemap.study.errors import UserError

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from phasemap.figures.spec import FigureSpec


class PhaseDiagram:
    """A phase diagram over two axes (or a strip over one), with facets for the others; see ``Run.diagram``."""

    def __init__(self, diagram: Diagram, trials: pd.DataFrame | None = None) -> None:
        if not isinstance(diagram, Diagram):
            raise UserError(
                f"a {type(diagram).__name__} is not a phase diagram; allowed: what a run's diagram() returns, "
                "e.g. pm.open_run('runs/mine').diagram(x='corruption', y='weight_decay')"
            )
        self.data = diagram
        self._trials = trials  # those behind the points, where these are the run's own

    def __repr__(self) -> str:
        return f"PhaseDiagram({self.data.study.name!r}, x={self.data.x.axis.name!r}, y={self.data.y.axis.name!r})"

    def plot(
        self, ax: Axes | None = None, *, metric: str | None = None, band: bool = False, cells: bool = False
    ) -> Any:
        """Draw the diagram into ``ax`` (if it has one panel) and return that, or draw and return a new Figure.

        ``band`` draws where each frontier may lie, ``cells`` writes each cell's letter instead of the regions' names.
        """
        from phasemap.figures.static import draw_any, draw_into

        spec = self.figure(metric, band=band, cells=cells)
        return draw_any(spec) if ax is None else draw_into(ax, spec)

    def figure(self, metric: str | None = None, *, band: bool = False, cells: bool = False) -> FigureSpec:
        """Return the diagram's picture as data, not drawn; see ``plot``."""
        from phasemap.figures.captions import horizons_of
        from phasemap.figures.spec import figure_spec

        horizons = None if self._trials is None else horizons_of(self._trials)
        return figure_spec(self.data, metric, self.bands() if band else (), cells=cells, horizons=horizons)

    def _repr_png_(self) -> bytes:
        """Show a notebook the picture."""
        from phasemap.figures.static import png_of

        return png_of(self.figure())

    def frontier(self, kind: str | None = None, *, panel: int = 0) -> list[Floats]:
        """Return the lines of one of the rule's frontiers, by default the first, in one panel: arrays (n, 2) of x, y.

        UserError if the rule has no frontier of this name.
        """
        return self.data.frontier(kind, self._panel(panel))

    def frontier_band(
        self, kind: str | None = None, level: float = 0.9, *, panel: int = 0, along: Literal["x", "y"] = "x"
    ) -> pd.DataFrame:
        """Return where a frontier may lie: for each row that it crosses, the row's value, the crossing, low and high.

        With probability ``level`` the band contains the crossing of very many seeds; it comes from resampling whole
        maps by seed. For a search it says where the frontier may lie among the inferred points. ``along`` is the axis
        on which the crossings lie. UserError with a single seed (its spread is unknown), for diagrams over ``step``,
        and along a categorical axis.
        """
        frontier, panel = self.data.named(kind), self._panel(panel)
        if along not in ("x", "y"):
            raise UserError(f"along={along!r} is not an axis of a diagram; allowed: 'x', 'y'")
        if not 0 < level < 1:
            raise UserError(f"level={level!r} is not a probability of a band; allowed: a number between 0 and 1")
        axis = (self.data.x if along == "x" else self.data.y).axis
        if axis.categorical:
            other = "y" if along == "x" else "x"
            raise UserError(f"{axis.name} has no order, so no frontier crosses it; allowed: along={other!r}")
        if self._trials is None:
            raise UserError("a diagram over step has no band; allowed: a diagram over the study's own axes")
        if self.data.study.search.kind != "grid":
            return band_table(self.data, inferred_band(self.data, panel, frontier, along, level))
        maps = SeedMaps.of(self.data.study, self._trials)
        if maps.n_seeds < 2:
            raise UserError(f"{self.data.study.name} has {maps.n_seeds} seed: no spread known; needed: 2 seeds or more")
        return band_table(self.data, row_band(maps, self.data, panel, frontier, along, level))

    def _panel(self, panel: int) -> int:
        n = len(self.data.panels)
        if panel not in range(-n, n):
            raise UserError(f"panel={panel!r} is not there: the diagram has {n}; allowed: 0 to {n - 1}")
        return panel

    def bands(self) -> tuple[tuple[Band, ...], ...]:
        """Return the bands that a picture can show in each panel: none with fewer than 3 seeds."""
        return () if self._trials is None else drawn_bands(self.data, self._trials)

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
