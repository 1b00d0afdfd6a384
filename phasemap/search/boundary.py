"""Which trials to train next: those whose point's label is least known, spread over the map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phasemap.search.coverage import covering
from phasemap.search.labelling import Codes, Labelling
from phasemap.search.surfaces import Group, Surfaces
from phasemap.search.target import Floats, Places, Target, far_apart, nearest
from phasemap.search.views import Blend, blended, draw, views_of

REACH = 1.5  # cells within which a chosen point stands for its neighbours
MOST_MODELLED = 2500  # observations; of more, those in the flat parts are thinned
MOST_JUDGED = 4096  # points that are weighed for a batch; of more, those near boundaries and some at random
ELSEWHERE = 0.25  # the share of these at random
START_SHARE = 0.4  # of the budget, at most, that the coarse grid takes
OFF_GRID = -1  # in place of a point
AGAIN = 0.5  # a further seed of a point is worth this share of the one before: it tells of that point only
UNSEEN = 1e-4  # what a point without a trial is worth when all labels are sure


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is known of the trials of a map: n of them that ended ``ok``."""

    places: Places  # (n,) the point of each on the target grid; OFF_GRID of those between its points
    seeds: Places  # (n,) the number of its seed
    codes: Codes  # (n,) its label
    values: Floats  # (n, q) its quantities on the model's scale; none where only the labels are modelled
    groups: tuple[Group, ...] | None = None  # of the quantities that have lengths in common; by default all
    at: Floats | None = None  # (n, c) where they lie, in cells; by default where their points do

    def coordinates(self, of_points: Floats) -> Floats:
        """Return where the trials lie (n, c), given the coordinates of the grid's points."""
        return of_points[self.places] if self.at is None else self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is believed of m points: probabilities, arrays (m, ...)."""

    places: Places
    code: Floats  # (m, codes) the point's label: of the most frequent group the most frequent code, over all its seeds
    group: Floats  # (m, groups) the point's group
    one_seed: Floats  # (m, groups) the group of one more network trained there
    shared: Floats  # (m, codes) the label by what all seeds share: the commonest of very many

    @property
    def wrong(self) -> Floats:
        """How likely the likeliest group of each point (m,) is wrong."""
        return np.asarray(1 - self.group.max(axis=1))

    @property
    def entropy(self) -> Floats:
        """How little is known of each point's label (m,): of the one that very many seeds would give, and of its own.

        The first leaves out what differs by chance from seed to seed, which a trial tells of its own point only.
        """
        return _entropy(self.shared) + _entropy(self.code)


@dataclass
class BoundarySearch:
    """Chooses trials (place, seed) on a target grid with S seeds a point.

    It knows no executor: ``choose`` is given what was observed and what is under way, and any number may be under way.
    """

    target: Target
    n_seeds: int
    seeds_per_point: int
    seed: int = 0
    coverage: float = 0.0  # share of the trials after the start that go where an island may lie
    coordinates: Floats = field(init=False, repr=False)
    surfaces: Surfaces = field(init=False, repr=False)
    _kept: Places = field(init=False, repr=False)  # the numbers of the observations that surfaces were made of

    def __post_init__(self) -> None:
        self.coordinates = self.target.coordinates()
        self.surfaces = Surfaces(seed=self.seed)
        self._random = np.random.default_rng(self.seed)
        self._first = self._random.integers(self.n_seeds, size=len(self.target))  # each seed maps a share of the points

    def start(self, budget: int) -> list[tuple[int, int]]:
        """Return the trials of a coarse grid, each far from those before it."""
        places = self.target.coarse(start_points(budget))
        places = places[far_apart(self.coordinates[places], self._random)]
        return [(int(place), int(self._first[place])) for place in places]

    def believe(self, observed: Observed, labelling: Labelling, places: Places | None = None) -> Belief:
        """Return what the observations say of all points, or of some."""
        self.fit(observed, labelling)
        places = np.arange(len(self.target)) if places is None else places
        return self.vote(observed, labelling, places)

    def fit(self, observed: Observed, labelling: Labelling) -> None:
        """Make surfaces of the observations: of their quantities, and of their labels."""
        self._kept = self._thinned(observed)
        values = filled(observed, self._kept, self.coordinates)
        n, of_labels = values.shape[1], np.eye(len(labelling.group))[observed.codes[self._kept]]
        groups = (Group(name="all", columns=tuple(range(n))),) if observed.groups is None else observed.groups
        labels = Group(name="labels", columns=tuple(range(n, n + of_labels.shape[1])))
        at = observed.coordinates(self.coordinates)[self._kept]
        values = np.concatenate([values, of_labels], axis=1)
        self.surfaces.observe(at, values, (*(group for group in groups if group.columns), labels))

    def vote(self, observed: Observed, labelling: Labelling, places: Places) -> Belief:
        """Return what is believed of some points by surfaces that were fitted."""
        random = np.random.default_rng(self.seed)
        views = views_of(labelling, observed.values.shape[1])
        blend = self._blended(observed, views, random)
        parts = []
        for start in range(0, max(len(places), 1), MOST_JUDGED):
            some = places[start : start + MOST_JUDGED]
            expected = self.surfaces.predict(self.coordinates[some])
            pairs = [(view, n) for view, n in zip(views, blend.draws, strict=True) if n]
            drawn = [draw(view, expected, some, n, self.n_seeds, random) for view, n in pairs]
            parts.append(count_votes(some, np.concatenate(drawn, axis=1), observed, labelling))
        return Belief(
            places=places,
            code=blend.calibrated(np.concatenate([part.code for part in parts])),
            group=blend.calibrated(np.concatenate([part.group for part in parts])),
            one_seed=blend.calibrated(np.concatenate([part.one_seed for part in parts])),
            shared=blend.calibrated(np.concatenate([part.shared for part in parts])),
        )

    def _blended(self, observed: Observed, views: Sequence[Labelling], random: np.random.Generator) -> Blend:
        """Blend the views by the trials on the grid; each counts for the points that it is the nearest of."""
        chosen, left_out = self.surfaces.left_out()
        kept = self._kept[chosen]
        at = observed.coordinates(self.coordinates)[kept]
        weight = np.bincount(nearest(self.coordinates, at, 1)[:, 0], minlength=len(at)).astype(float)
        inside = np.flatnonzero(observed.places[kept] != OFF_GRID)
        known = left_out.part(inside, range(left_out.mean.shape[1]))
        kept, weight = kept[inside], weight[inside]
        return blended(views, known, observed.places[kept], observed.codes[kept], weight, random)

    def choose(
        self, n: int, observed: Observed, taken: NDArray[np.bool_], pending: Places, labelling: Labelling
    ) -> tuple[list[tuple[int, int]], float]:
        """Return up to n trials that are worth most, and the share of the points that is expected to be wrong.

        ``taken`` (points, S) marks trials that are trained, under way or lost; ``pending`` are the points under way.
        """
        places, weight = self._judged(observed, taken)
        belief = self.believe(observed, labelling, places)
        wrong = float((belief.wrong * weight).sum() / len(self.target))
        counts = taken[places].sum(axis=1)
        worth = belief.entropy * AGAIN**counts + UNSEEN * (counts == 0) + 1e-9 * self._random.random(len(places))
        worth[counts >= self.seeds_per_point] = -np.inf
        chosen = self._spread(n, places, worth, taken, pending)
        return self._covered(chosen, taken) if self.coverage else chosen, wrong

    def _covered(self, chosen: list[tuple[int, int]], taken: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Put points where an island may lie in the place of the last that were chosen, as many as are due by now."""
        due = share_of(self.coverage, len(chosen), int(taken.sum()))
        kept, trained = chosen[: len(chosen) - due], np.asarray(taken.any(axis=1))
        trained[[place for place, _ in kept]] = True
        covers = covering(self.target, trained, due, self._random)
        islands = [(place, self._next_seed(place, taken)) for place in covers]
        others = [one for one in chosen[len(kept) :] if one[0] not in covers]  # where no island is left to look for
        return [*kept, *islands, *others[: due - len(islands)]]

    def anywhere(self, n: int, taken: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Return up to n trials at points that are far from all that are taken, before anything is observed."""
        return self._spread(
            n,
            np.arange(len(self.target)),
            np.where(taken.any(axis=1), -np.inf, 1.0),
            taken,
            np.flatnonzero(taken.any(1)),
        )

    def _spread(
        self, n: int, places: Places, worth: Floats, taken: NDArray[np.bool_], pending: Places
    ) -> list[tuple[int, int]]:
        """Choose one after the other; what is chosen or under way lowers the worth of its neighbours."""
        at = self.coordinates[places]
        left = np.ones(len(places))

        def lower(place: int) -> None:
            distance = ((at - self.coordinates[place]) ** 2).sum(axis=1)
            np.multiply(left, 1 - np.exp(-distance / (2 * REACH**2)), out=left)

        for place in pending:
            lower(place)
        chosen: list[tuple[int, int]] = []
        for _ in range(min(n, int(np.isfinite(worth).sum()))):
            best = int(np.argmax(np.where(np.isfinite(worth), worth * np.maximum(left, 1e-12), -np.inf)))
            place = int(places[best])
            chosen.append((place, self._next_seed(place, taken)))
            worth[best] = -np.inf
            lower(place)
        return chosen

    def _next_seed(self, place: int, taken: NDArray[np.bool_]) -> int:
        order = (self._first[place] + np.arange(self.n_seeds)) % self.n_seeds
        return int(next(seed for seed in order if not taken[place, seed]))

    def _thinned(self, observed: Observed) -> Places:
        """Return the numbers of the observations that are modelled: of very many, some in flat parts are left out."""
        n = len(observed.codes)
        if n <= MOST_MODELLED:
            return np.arange(n)
        at = observed.coordinates(self.coordinates)
        around = nearest(at, at, 2 * at.shape[1] + 2)
        flat = (observed.codes[around] == observed.codes[:, None]).all(axis=1)
        order = np.lexsort((np.random.default_rng(self.seed).random(n), flat))
        return np.sort(order[:MOST_MODELLED])

    def _judged(self, observed: Observed, taken: NDArray[np.bool_]) -> tuple[Places, Floats]:
        """Return the points (m,) to weigh, and for how many points of the map each of them stands."""
        n = len(self.target)
        if n <= MOST_JUDGED:
            return np.arange(n), np.ones(n)
        at = observed.coordinates(self.coordinates)
        around = nearest(self.coordinates, at, 2 * self.coordinates.shape[1] + 1)
        near = (observed.codes[around] != observed.codes[around[:, :1]]).any(axis=1)
        parts = []
        for group, most in (
            (np.flatnonzero(near), round(MOST_JUDGED * (1 - ELSEWHERE))),
            (np.flatnonzero(~near), round(MOST_JUDGED * ELSEWHERE)),
        ):
            kept = group if len(group) <= most else self._random.choice(group, most, replace=False)
            parts.append((kept, np.full(len(kept), len(group) / max(len(kept), 1))))
        return np.concatenate([kept for kept, _ in parts]), np.concatenate([weight for _, weight in parts])


def share_of(share: float, n: int, before: int) -> int:
    """Return how many of the next n trials are due to something that gets a share of all."""
    return math.floor(share * (before + n)) - math.floor(share * before)


def start_points(budget: int) -> int:
    """Return the most points of the coarse grid that a search with a budget of trials starts from."""
    return max(2, int(START_SHARE * budget))


def filled(observed: Observed, kept: Places, coordinates: Floats) -> Floats:
    """Return quantities with what is undefined (nothing was corrupted) taken from the nearest point that has it."""
    values, at = observed.values[kept].copy(), observed.coordinates(coordinates)[kept]
    for column in values.T:
        bad = ~np.isfinite(column)
        if bad.all():
            column[:] = 0.0
        elif bad.any():
            column[bad] = column[~bad][nearest(at[bad], at[~bad], 1)[:, 0]]
    return values


def count_votes(places: Places, drawn: Codes, observed: Observed, labelling: Labelling) -> Belief:
    """Let the S seeds of m points vote by drawn codes (1 + S, draws, m), after the first, which is of what all share.

    Observed ones vote with their label.
    """
    shared, drawn = drawn[0], drawn[1:]
    n_seeds, n_draws, _ = drawn.shape
    n_codes, n_groups = len(labelling.group), int(labelling.group.max()) + 1
    known = np.full((int(places.max()) + 1, n_seeds), -1)
    inside = (observed.places != OFF_GRID) & (observed.places < len(known))
    known[observed.places[inside], observed.seeds[inside]] = observed.codes[inside]
    known = known[places]
    votes = np.zeros((n_draws, len(places), n_codes), dtype=np.int16)
    one_seed = np.zeros((len(places), n_groups))
    rows, columns = np.indices((n_draws, len(places)))
    for seed, codes in enumerate(drawn):
        one_seed += _shares(labelling.group[codes], n_groups) / n_seeds
        votes[rows, columns, np.where(known[:, seed] >= 0, known[:, seed], codes)] += 1
    if labelling.unlabelled is not None:
        others = votes.sum(axis=-1) - votes[..., labelling.unlabelled]
        votes[..., labelling.unlabelled] = others == 0
    in_group = np.zeros((n_draws, len(places), n_groups), dtype=np.int16)
    for code, group in enumerate(labelling.group):
        in_group[..., group] += votes[..., code]
    winner = in_group.argmax(axis=-1)
    best = np.where(labelling.group == winner[..., None], votes, -1).argmax(axis=-1)
    return Belief(
        places=places,
        code=_shares(best, n_codes),
        group=_shares(winner, n_groups),
        one_seed=one_seed,
        shared=_shares(shared, n_codes),
    )


def _entropy(shares: Floats) -> Floats:
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1))


def _shares(codes: Codes, n: int) -> Floats:
    """Return the share (m, n) of the draws (K, m) that have each code."""
    return np.stack([(codes == code).mean(axis=0) for code in range(n)], axis=1)
