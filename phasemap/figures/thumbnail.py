"""A run's map as a picture of a few kilobytes for lists: the first panel's colours, without words."""

from __future__ import annotations

from itertools import groupby

from phasemap.diagram.diagram import Diagram
from phasemap.diagram.frontier import Floats
from phasemap.figures.spec import cell_marks
from phasemap.phases.marks import marks_of

WIDTH, HEIGHT, STRIP_HEIGHT = 120.0, 84.0, 24.0
PLAIN = {
    "missing": "#e3e3e3",
    "failed": "#ff9a83",
    "diverged": "#ffffff",
    "unlabelled": "#ffffff",
}  # a hatch can't be seen at this size


def thumbnail_svg(diagram: Diagram) -> str:
    """Draw the first panel, each cell at its place on the axes; cells of one colour in a row are one rectangle."""
    marks = cell_marks(diagram.panels[0], "subphase")
    height = STRIP_HEIGHT if diagram.strip else HEIGHT
    xs = _places(diagram.x.edges, WIDTH)
    ys = [height - place for place in _places(diagram.y.edges, height)]
    colours, parts = marks_of(diagram.study.phases), []
    for row, names in enumerate(marks):
        for name, group in groupby(range(len(names)), key=lambda column: str(names[column])):
            columns = list(group)
            x, right, y = xs[columns[0]], xs[columns[-1] + 1], ys[row + 1]
            fill = PLAIN.get(name, colours[name].colour)
            parts.append(f'<path fill="{fill}" d="M{x:.1f} {y:.1f}H{right:.1f}V{ys[row]:.1f}H{x:.1f}z"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH:g} {height:g}" shape-rendering="crispEdges">{"".join(parts)}</svg>'
    )


def _places(edges: Floats, length: float) -> list[float]:
    """Return the borders of the cells (n + 1,) in pixels from the low end."""
    found: list[float] = ((edges - edges[0]) / (edges[-1] - edges[0]) * length).tolist()
    return found
