"""A phase diagram, as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from phasemap.diagram.diagram import Diagram
from phasemap.diagram.frontier import Floats, Kind

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


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
