"""The tables of any run with all points that it has: a search's with those that it inferred.

The model's libraries are imported where a search needs them only: a grid's run must not wait for them.
"""

from __future__ import annotations

import pandas as pd

from phasemap.diagram.tables import Tables

SURE = 0.9  # the confidence of a point that is inferred well
MOST_DOUBTFUL = 1 / 3  # of the inferred points may be below; of more, a map is not inferred but guessed


def completed(tables: Tables) -> Tables:
    """Return tables whose points without a trial are inferred, where the study has a search."""
    if tables.study.search.kind == "grid":
        return tables
    from phasemap.search.inference import complete

    return complete(tables)


def map_words(tables: Tables) -> str:
    """Say how many points of a search's map are measured and inferred, and how many are expected to be wrong.

    Also that the labels themselves are modelled, and why, where they are; and that a map can't be inferred, where many
    points stay in doubt: its border is too rough for their neighbours to tell.
    """
    from phasemap.search.belief import map_belief

    points: pd.DataFrame = tables.points
    n, measured, inferred = len(points), int((points["n_seeds"] > 0).sum()), int(points["inferred"].sum())
    text = f"{measured} of {n} points measured ({100 * measured / n:.0f} %), {inferred} inferred"
    belief = map_belief(tables.study, tables.trials)
    if belief is None:
        return text
    text = f"{text}; expected wrong: {100 * belief.expected_wrong:.2g} %"
    doubtful = float((points.loc[points["inferred"], "confidence"] < SURE).mean()) if inferred else 0.0
    if doubtful > MOST_DOUBTFUL:
        text = (
            f"{text}; not inferable here from these trials: {100 * doubtful:.0f} % of the inferred points have a "
            f"confidence below {SURE:g}"
        )
    return text if belief.instead is None else f"{text}; {modelled_words(belief.instead)}"


def modelled_words(reason: str) -> str:
    """Say that the labels themselves are modelled, and why."""
    return f"the labels themselves are modelled: {reason}"
