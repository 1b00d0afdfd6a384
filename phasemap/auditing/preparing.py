"""Turn a table into what networks train on: numbers, classes, and groups that splits keep whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.auditing.inputs import Notice, Table
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Ints

FEWEST_ROWS, MOST_CLASSES = 50, 1000
MOST_CATEGORIES = 40  # of one column; rarer ones are put together
IDENTIFIER_SHARE = 0.5  # of distinct values among rows, from which on text is not a category
FARTHEST = 4.0  # standard deviations; what lies farther out counts as that far
TIME_BLOCKS = 20
SORTED_SHARE = 0.2  # of the label changes from row to row that a shuffled file would have
FLAT_SPREAD = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """The data as networks see them."""

    inputs: NDArray[np.float32]  # (n, F) standardized; the last column is constant, in place of biases
    labels: Ints  # (n,) in 0..C - 1
    classes: tuple[str, ...]  # (C,) as in the file
    groups: Ints | None  # (n,) rows of one group are never split; None where each row is its own
    notices: tuple[Notice, ...]
    source: str = ""  # the file

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)


def prepare(table: Table) -> Prepared:
    """Check a table and make it ready; UserError names everything in it that can't be used."""
    problems = [*_wrong_labels(table), *_wrong_arrays(table), *_wrong_costs(table)]
    if problems:
        raise UserError("\n".join(f"{table.source}: {problem}" for problem in problems))
    classes, labels = np.unique(as_text(table.labels), return_inverse=True)
    if isinstance(table.features, pd.DataFrame):
        inputs, notices = _of_columns(table.source, table.features)
    else:
        inputs, notices = _of_array(table.source, table.features)
    groups, more = _groups(table, inputs, labels)
    return Prepared(
        inputs=np.ascontiguousarray(np.column_stack([inputs, np.ones(len(inputs))]), dtype=np.float32),
        labels=labels.astype(np.int64),
        classes=tuple(map(str, classes)),
        groups=groups,
        notices=(*notices, *more, *_sorted(labels)),
        source=table.source,
    )


def as_text(values: pd.Series) -> NDArray[np.str_]:
    """Write labels as text, whole numbers without a point, so that 1 and 1.0 are one class."""
    if pd.api.types.is_float_dtype(values):
        whole = values.dropna()
        if (whole == np.floor(whole)).all():
            values = values.astype("Int64")
    return values.astype(str).to_numpy(dtype=str)


def _wrong_labels(table: Table) -> list[str]:
    name, labels = table.labels.name if table.labels.name is not None else "the label", table.labels
    if len(labels) < FEWEST_ROWS:
        return [f"has {len(labels)} rows; an audit needs at least {FEWEST_ROWS}"]
    empty = np.flatnonzero(labels.isna())
    if len(empty):
        some = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        of_all = f"{len(empty)} of {len(labels)} rows (from 0: {some})"
        return [f"'{name}' is missing in {of_all}; label these rows, or leave them out"]
    if pd.api.types.is_float_dtype(labels) and (labels != np.floor(labels)).any():
        fraction = labels[labels != np.floor(labels)].iloc[0]
        return [f"'{name}' holds fractions such as {fraction:g}; allowed: classes, as text or whole numbers"]
    sizes = pd.Series(as_text(labels)).value_counts()
    if len(sizes) == 1:
        return [f"'{name}' has one class, '{sizes.index[0]}'; an audit needs at least 2"]
    if len(sizes) > MOST_CLASSES:
        return [f"'{name}' has {len(sizes)} classes; allowed: 2 to {MOST_CLASSES}. Is it an identifier or a number?"]
    single = [str(c) for c in sizes.index[sizes < 2]]
    if single:
        some = ", ".join(f"'{c}'" for c in single[:5]) + (", ..." if len(single) > 5 else "")
        return [
            f"{len(single)} {'class has' if len(single) == 1 else 'classes have'} a single row ({some}), which can't "
            "be both learned and held out; add rows, merge classes, or leave them out"
        ]
    return []


def _wrong_arrays(table: Table) -> list[str]:
    if isinstance(table.features, pd.DataFrame):
        return []
    if len(table.features) != len(table.labels):
        return [f"X has {len(table.features)} rows, the labels {len(table.labels)}; allowed: equally many"]
    if not np.isfinite(table.features.astype(np.float64)).all():
        return ["X has NaN or infinite values; allowed: finite numbers (fill them in, or give a table)"]
    return []


def _wrong_costs(table: Table) -> list[str]:
    if table.cost is None:
        return []
    costs = pd.to_numeric(table.cost, errors="coerce")
    bad = np.flatnonzero(~(costs > 0))[:1]
    return [f"'{table.cost.name}' is {table.cost.iloc[row]} in row {row}; allowed: costs above 0" for row in bad]


def _of_array(source: str, array: NDArray[np.generic]) -> tuple[NDArray[np.float32], list[Notice]]:
    """Standardize an array: image-like ones by one mean and deviation for all pixels, else each feature by its own."""
    flat = array.reshape(len(array), -1).astype(np.float64)
    spread = flat.std(axis=0)
    varying = spread > FLAT_SPREAD
    if not varying.any():
        raise UserError(f"{source}: all features are constant; there is nothing to learn from")
    if array.ndim > 2 or array.dtype == np.uint8:
        scaled = (flat - flat.mean()) / flat.std()
    else:
        scaled = (flat[:, varying] - flat[:, varying].mean(axis=0)) / spread[varying]
    return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.float32), []


def _of_columns(source: str, frame: pd.DataFrame) -> tuple[NDArray[np.float32], list[Notice]]:
    """Fill in, standardize and encode columns with scikit-learn."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, notices = _usable(frame)
    numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    categories = [name for name in frame if name not in numbers]
    if not len(frame.columns):
        raise UserError(
            f"{source}: no column can be learned from; all are constant or identifiers: "
            + ", ".join(f"'{notice.values['column']}'" for notice in notices)
        )
    transform = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(max_categories=MOST_CATEGORIES, sparse_output=False), categories),
        ]
    )
    frame = frame.assign(**{name: frame[name].astype(float) for name in numbers})
    frame = frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), "(missing)").astype(str)
                            for name in categories})  # fmt: skip
    return np.clip(transform.fit_transform(frame), -FARTHEST, FARTHEST).astype(np.float32), notices


def _usable(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Notice]]:
    """Leave out columns that say nothing, name the row or number it; dates become numbers, infinite numbers missing."""
    kept, notices = {}, []
    for name, column in frame.items():
        if pd.api.types.is_datetime64_any_dtype(column):
            column = column.astype("int64").where(column.notna())
        if pd.api.types.is_numeric_dtype(column):
            column = column.astype(float).replace([np.inf, -np.inf], np.nan)
        distinct = column.nunique(dropna=False)
        if distinct < 2 or not column.notna().any():
            notices.append(Notice(code="constant_column", values={"column": str(name)}))
        elif not pd.api.types.is_numeric_dtype(column) and distinct > IDENTIFIER_SHARE * len(column):
            values = {"column": str(name), "distinct": int(distinct), "rows": len(column)}
            notices.append(Notice(code="identifier_column", values=values))
        elif distinct == len(column) and _numbers_rows(column):
            notices.append(Notice(code="numbered_column", values={"column": str(name)}))
        else:
            kept[name] = column
    return pd.DataFrame(kept, index=frame.index), notices


def _numbers_rows(column: pd.Series) -> bool:
    """Tell whether distinct values are consecutive whole numbers, in any order."""
    if not pd.api.types.is_numeric_dtype(column) or column.isna().any():
        return False
    return bool((column % 1 == 0).all() and column.max() - column.min() == len(column) - 1)


def _groups(table: Table, inputs: NDArray[np.float32], labels: Ints) -> tuple[Ints | None, list[Notice]]:
    """Join rows that must not be split: of one group or block of time, and copies of each other."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(labels)
    copies = np.unique(np.ascontiguousarray(inputs).view(f"V{inputs.shape[1] * 4}").ravel(), return_inverse=True)[1]
    given, notices = _given_groups(table)
    notices += _copies(copies, labels, given)
    if given is None:
        return (copies.astype(np.int64), notices) if copies.max() + 1 < n else (None, notices)
    size = int(given.max() + copies.max() + 2)
    edges = coo_matrix((np.ones(n), (given, given.max() + 1 + copies)), shape=(size, size))
    joined = connected_components(edges, directed=False)[1][given].astype(np.int64)
    if len(np.unique(joined)) < 4:
        raise UserError(
            f"{table.source}: fewer than 4 groups can be kept apart (copies join groups); needed: more groups"
        )
    return joined, notices


def _given_groups(table: Table) -> tuple[Ints | None, list[Notice]]:
    if table.group is not None:
        names, groups = np.unique(table.group.astype(str).to_numpy(dtype=str), return_inverse=True)
        return groups, [Notice(code="groups", values={"groups": len(names)})]
    if table.time is None:
        return None, []
    times = table.time
    if not pd.api.types.is_numeric_dtype(times):
        parsed = pd.to_datetime(times, errors="coerce", format="mixed")
        if parsed.isna().any():
            first = int(np.flatnonzero(parsed.isna())[0])
            raise UserError(f"{table.source}: '{times.name}' is not a time in row {first}: {times.iloc[first]!r}")
        times = parsed
    rank = times.rank(method="min").to_numpy()
    blocks = np.minimum((rank - 1) * TIME_BLOCKS // len(times), TIME_BLOCKS - 1).astype(np.int64)
    return np.unique(blocks, return_inverse=True)[1], [Notice(code="time_blocks", values={"blocks": TIME_BLOCKS})]


def _copies(copies: Ints, labels: Ints, groups: Ints | None) -> list[Notice]:
    """Tell of rows with the same features: how many, how many of them disagree, and whether they cross groups."""
    frame = pd.DataFrame({"copy": copies, "label": labels, "group": 0 if groups is None else groups})
    kinds = frame.groupby("copy").agg(rows=("label", "size"), labels=("label", "nunique"), groups=("group", "nunique"))
    notices = []
    if (kinds["rows"] > 1).any():
        again = int((kinds["rows"] - 1).sum())
        conflicting = int(kinds.loc[kinds["labels"] > 1, "rows"].sum())
        notices.append(Notice(code="duplicates", values={"rows": again, "conflicting": conflicting}))
    if (kinds["groups"] > 1).any():
        crossing = int(kinds.loc[kinds["groups"] > 1, "rows"].sum())
        notices.append(Notice(code="group_leakage", values={"rows": crossing}))
    return notices


def _sorted(labels: Ints) -> list[Notice]:
    """Tell of a file whose labels follow each other far more evenly than chance would have it."""
    changes = float((np.diff(labels) != 0).mean())
    shares = np.bincount(labels) / len(labels)
    expected = 1 - float((shares**2).sum())
    return [Notice(code="sorted_file")] if changes < SORTED_SHARE * expected else []
