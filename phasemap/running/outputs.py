"""What a run leaves beside its shards: tables and a picture, made again whenever the shards have changed."""

from __future__ import annotations

from phasemap.diagram.diagram import first_panels, make_diagram
from phasemap.diagram.tables import Tables, derive, write_tables
from phasemap.figures.captions import horizons_of
from phasemap.figures.scatter import ScatterSpec, inferred_spec, scatter_spec
from phasemap.figures.spec import FigureSpec, figure_spec
from phasemap.figures.static import save_figure
from phasemap.results.folder import RunFolder
from phasemap.search.completed import completed
from phasemap.study.spec import Study


def write_results(folder: RunFolder, study: Study, *, curves: bool = True, picture: bool = True) -> Tables:
    """Make a run's derived tables and its default picture; the long table of curves and the picture where wanted."""
    tables = completed(derive(folder, study))
    write_tables(folder, tables, curves=curves)
    if picture:
        save_figure(_picture(folder, study, tables), folder.diagram)
        folder.publish(folder.diagram)
    return tables


def _picture(folder: RunFolder, study: Study, tables: Tables) -> FigureSpec | ScatterSpec:
    """Return a run's default picture; of a study without labels the map of its first quantity."""
    labelled = bool(study.phases.labels)
    metric = "subphase" if labelled else next(iter(study.recorded.quantities), "subphase")
    if study.inferred_grid:
        return inferred_spec(folder, study, study.inferred_grid, metric=metric)
    if study.scattered:
        return scatter_spec(study, tables.points, metric=metric, horizons=horizons_of(tables.trials))
    diagram = first_panels(make_diagram(study, tables.points))
    return figure_spec(diagram, metric, horizons=horizons_of(tables.trials))
