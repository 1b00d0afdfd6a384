"""Small labelled data for tests of audits."""

import numpy as np
import pandas as pd

from phasemap.auditing.inputs import Columns, Options, Table


def blobs(n=120, n_classes=3, *, flips=0.0, spread=1.0, features=4, seed=0):
    """Return points around centres, their given labels and which of these are wrong."""
    source = np.random.default_rng(seed)
    truth = np.arange(n) % n_classes
    centres = np.random.default_rng(99).normal(size=(n_classes, features)) * 2.5
    points = centres[truth] + source.normal(size=(n, features)) * spread
    wrong = np.zeros(n, dtype=bool)
    wrong[source.permutation(n)[: round(flips * n)]] = True
    given = np.where(wrong, (truth + source.integers(1, n_classes, n)) % n_classes, truth)
    order = source.permutation(n)
    return points[order], given[order], wrong[order]


def frame_of(points, labels):
    frame = pd.DataFrame(points, columns=[f"x{i}" for i in range(points.shape[1])])
    return frame.assign(label=[f"c{label}" for label in labels])


def table_of(frame, **columns):
    special = {name: frame[column] for name, column in columns.items()}
    features = frame.drop(columns=["label", *columns.values()])
    return Table(source="data.csv", features=features, labels=frame["label"], **special)


def options_of(path, output, **settings):
    columns = settings.pop("columns", Columns(label="label"))
    return Options(data=path, output=output, columns=columns, budget_minutes=0.05, **settings)
