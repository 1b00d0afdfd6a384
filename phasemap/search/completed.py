"""The tables of any run with all points that it has: a search's with those that it inferred.

The model's libraries are imported where a search needs them only: a grid's run must not wait for them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.map_claims import SearchedMap
from phasemap.diagram.tables import Tables
from phasemap.study.spec import Study

SURE = 0.9  # the confidence of a point that is inferred well
MOST_DOUBTFUL = 1 / 3  # of the inferred points may be below; of more, a map is not inferred but guessed


def completed(tables: Tables) -> Tables:
    """Return tables whose points without a trial are inferred, where the study has a search."""
    if tables.study.search.kind == "grid":
        return tables
    from phasemap.search.inference import complete

    return complete(tables)


def searched_map(study: Study, trials: pd.DataFrame, points: pd.DataFrame) -> SearchedMap | None:
    """Return a search's map with how likely each label is at each point; None where nothing was inferred."""
    if study.search.kind == "grid" or study.scattered or not points["inferred"].any():
        return None
    from phasemap.search.inference import label_probabilities

    likely = label_probabilities(study, trials)
    return None if likely is None else SearchedMap(study=study, points=points, likely=likely)


def map_words(tables: Tables) -> str:
    """Say how many points of a search's map are measured and inferred, and how many are expected to be wrong.

    Also how likely an island is missed; that a map can't be inferred; and that the labels themselves are modelled, and
    why, where they are.
    """
    from phasemap.search.belief import map_belief

    points: pd.DataFrame = tables.points
    trained = (points["n_seeds"] > 0).to_numpy()
    n, measured, inferred = len(points), int(trained.sum()), int(points["inferred"].sum())
    text = f"{measured} of {n} points measured ({100 * measured / n:.0f} %), {inferred} inferred"
    belief = map_belief(tables.study, tables.trials)
    if belief is None:
        return text
    text = f"{text}; expected wrong: {100 * belief.expected_wrong:.2g} %{_island_words(tables, trained)}"
    text = f"{text}{_doubt_words(points)}"
    return text if belief.instead is None else f"{text}; {modelled_words(belief.instead)}"


def _doubt_words(points: pd.DataFrame) -> str:
    """Say that a map can't be inferred: many points stay in doubt, as where a border is rough at every scale."""
    confidence = points.loc[points["inferred"].astype(bool), "confidence"]
    doubtful = float((confidence < SURE).mean()) if len(confidence) else 0.0
    if doubtful <= MOST_DOUBTFUL:
        return ""
    share = f"{100 * doubtful:.0f} % of the inferred points have a confidence below {SURE:g}"
    return f"; not inferable here from these trials: {share}"


def _island_words(tables: Tables, trained: NDArray[np.bool_]) -> str:
    """Say how likely an island is missed, if it is."""
    from phasemap.search.coverage import island_risk, island_shape
    from phasemap.search.target import target_of

    target = target_of(tables.study)
    if not (risk := island_risk(target, trained)):
        return ""
    cells = " x ".join(str(size) for size in island_shape(target) if size > 1) or "1"
    return f"; an island of {cells} cells would be missed with a probability of {100 * risk:.2g} %"


def modelled_words(reason: str) -> str:
    """Say that the labels themselves are modelled, and why."""
    return f"the labels themselves are modelled: {reason}"
