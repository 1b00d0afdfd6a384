"""Export tables: csv, parquet and netCDF by the file's ending."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from phasemap.results.folder import write_whole
from phasemap.study.problems import UnreachableError, UserError
from phasemap.study.spec import Study

if TYPE_CHECKING:
    import xarray

FORMATS = (".csv", ".parquet")


def export_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; the format is told by the file's ending."""
    if path.suffix not in FORMATS:
        raise UserError(f"{path} has the ending '{path.suffix}'; allowed: {', '.join(FORMATS)}")
    try:
        if path.suffix == ".csv":
            write_whole(path, lambda temporary: frame.to_csv(temporary, index=False))
        else:
            write_whole(path, lambda temporary: frame.to_parquet(temporary, index=False))
    except OSError as error:
        raise UnreachableError(f"{path} can't be written: {error.strerror or error}") from None


def points_dataset(study: Study, points: pd.DataFrame) -> xarray.Dataset:
    """Return points as an xarray Dataset over the study's axes; UserError without xarray."""
    try:
        import xarray
    except ImportError:
        raise UserError("xarray is not installed; pip install 'phasemap[export]'") from None
    sizes = [len(axis.values) for axis in study.axes]
    coordinates = {axis.name: list(axis.values) for axis in study.axes}
    order = _grid_order(study, points)
    data: dict[str, Any] = {
        name: (list(study.axis_names), points[name].to_numpy()[order].reshape(sizes))
        for name in points.columns
        if name not in study.axis_names
    }
    return xarray.Dataset(data, coords=coordinates, attrs={"study": study.name, "question": study.question})


def _grid_order(study: Study, points: pd.DataFrame) -> np.ndarray:
    """Return the rows of ``points`` in the order of the study's grid."""
    places = {key: row for row, key in enumerate(zip(*(points[n] for n in study.axis_names), strict=True))}
    return np.asarray([places[point] for point in study.points()])
