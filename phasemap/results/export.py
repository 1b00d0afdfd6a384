"""Export tables: csv, parquet and netCDF by the file's ending."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from phasemap.results.folder import write_whole, written
from phasemap.results.optuna_study import DATABASE, JOURNAL
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.spec import Study

if TYPE_CHECKING:
    import xarray

FORMATS = (".csv", ".parquet")
OPTUNA_FORMATS = (JOURNAL, DATABASE)
NETCDF = ".nc"


def export_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; the format is told by the file's ending."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"{path} has the ending '{path.suffix}'; allowed: {', '.join((*FORMATS, NETCDF, *OPTUNA_FORMATS))}"
        )
    with written(path):
        if path.suffix.lower() == ".csv":
            write_whole(path, lambda temporary: frame.to_csv(temporary, index=False))
        else:
            write_whole(path, lambda temporary: frame.to_parquet(temporary, index=False))


def is_optuna(path: Path) -> bool:
    """Tell whether a file's ending asks for an Optuna storage."""
    return path.suffix.lower() in OPTUNA_FORMATS


def export_netcdf(study: Study, points: pd.DataFrame, path: Path) -> None:
    """Write points as netCDF over the study's axes; UserError where they lie on no grid, or xarray is missing."""
    if study.scattered:
        raise UserError(f"the points of {study.name} lie on no grid; allowed: .csv, .parquet")
    dataset = points_dataset(study, study.axes, points)
    for name, values in dataset.data_vars.items():
        if values.dtype == object:  # netCDF has texts, but no missing ones, and no missing truths
            dataset[name] = values.astype(str).where(values.notnull(), "")
    with written(path):
        write_whole(path, lambda temporary: dataset.to_netcdf(temporary, engine="scipy"))


def points_dataset(study: Study, axes: Sequence[Axis], points: pd.DataFrame) -> xarray.Dataset:
    """Return points as an xarray Dataset over the given axes; UserError without xarray."""
    try:
        import xarray
    except ImportError:
        raise UserError("xarray is not installed; pip install 'phasemap[export]'") from None
    names = [axis.name for axis in axes]
    coordinates = {axis.name: [_coordinate(value, axis) for value in axis.values] for axis in axes}
    indexed = points.drop(columns=[n for n in study.axis_names if n not in names])
    keys = zip(*([_coordinate(value, axis) for value in indexed[axis.name]] for axis in axes), strict=True)
    places = {key: row for row, key in enumerate(keys)}
    order = np.asarray([places[key] for key in itertools.product(*coordinates.values())])
    sizes = [len(values) for values in coordinates.values()]
    data: dict[str, Any] = {
        name: (names, indexed[name].to_numpy()[order].reshape(sizes)) for name in indexed.columns if name not in names
    }
    return xarray.Dataset(data, coords=coordinates, attrs={"study": study.name, "question": study.question})


def _coordinate(value: Any, axis: Axis) -> Any:
    """Write an axis's value as a coordinate: lists as text, and beside none (NaN in a table) the others as text too."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if not isinstance(value, str | int | float):
        return str(list(value))
    if all(one is not None for one in axis.values) or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:.12g}"
