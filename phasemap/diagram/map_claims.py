"""Test claims on the map of a search: the points that it trained as they are, and the others as it inferred them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.bands import inferred_band
from phasemap.diagram.claim_links import CONFIDENCE, Link, Range, compare_ranges
from phasemap.diagram.claim_terms import Unknown, along_line, chosen_points
from phasemap.phases.built_in import phase_named
from phasemap.study.claims import Area, Claim, Expression, Frontier, Statistic, Term, chosen_values
from phasemap.study.expressions import OPERATIONS, Negative, Number, Operation
from phasemap.study.spec import Study

MEAN = "mean"


def joined(left: Range, operator: str, right: Range) -> Range:
    """Apply an operation to two ranges; Unknown where the second may be a zero that divides."""
    if operator == "/" and right.low <= 0 <= right.high:
        raise Unknown("divides by what may be zero")
    operation: Callable[[float, float], float] = OPERATIONS[operator]
    ends = [operation(*both) for both in itertools.product((left.low, left.high), (right.low, right.high))]
    return Range(value=operation(left.value, right.value), low=min(ends), high=max(ends))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedMap:
    """The n points of a search, completed, and how likely each has each label and phase, columns (n,)."""

    study: Study
    points: pd.DataFrame
    likely: pd.DataFrame

    def tells(self, claim: Claim) -> bool:
        """Tell whether a claim is about what the map has everywhere: areas, frontiers, means of inferred quantities."""
        return all(self._has(term) for term in claim.terms)

    def _has(self, term: Term) -> bool:
        if isinstance(term, Statistic):
            known = term.column in self.study.recorded.quantities and term.column in self.points
            return term.name == MEAN and known and bool(self.points.loc[self.inferred, term.column].notna().any())
        return isinstance(term, Area | Frontier)

    @property
    def inferred(self) -> NDArray[np.bool_]:
        """Which points (n,) were not measured."""
        return self.points["inferred"].to_numpy(dtype=bool)

    @property
    def note(self) -> str:
        """What a claim over the map rests on."""
        measured, n = int((self.points["n_seeds"] > 0).sum()), len(self.points)
        return (
            f"over the map: {measured} of {n} points measured, {int(self.inferred.sum())} inferred; "
            "the interval counts all expected errors to one side"
        )

    def links(self, claim: Claim) -> tuple[Link, ...]:
        """Compare a claim's sides over the points of the map; Unknown where a side has no value.

        An end of a range is where a side would be if all that is expected to be wrong were wrong to one side: for an
        area by the probabilities of its label, for a mean by the standard deviations of the inferred points; for a
        frontier it is the end of its band. An area is also as coarse as its grid: of B points at its edge each may as
        well lie beyond it, two standard deviations of which are sqrt(B) points.
        """
        ranges = [self._range_of(side) for side in claim.sides]
        return tuple(
            compare_ranges(a, comparison, b)
            for (a, b), comparison in zip(itertools.pairwise(ranges), claim.comparisons, strict=True)
        )

    def _range_of(self, expression: Expression) -> Range:
        if isinstance(expression, Number):
            return Range(value=expression.value, low=expression.value, high=expression.value)
        if isinstance(expression, Negative):
            of = self._range_of(expression.of)
            return Range(value=-of.value, low=-of.high, high=-of.low)
        if isinstance(expression, Operation):
            left, right = self._range_of(expression.left), self._range_of(expression.right)
            return joined(left, expression.operator, right)
        if isinstance(expression, Frontier):
            return self._crossing(expression)
        if isinstance(expression, Area):
            return self._area(expression)
        if isinstance(expression, Statistic):
            return self._mean(expression)
        raise Unknown(f"{expression} needs every trial of the map")

    def _chosen(self, term: Term) -> NDArray[np.bool_]:
        """Mark the points (n,) that satisfy a term's conditions."""
        return chosen_points(self.study.axes, term.conditions)

    def _area(self, term: Area) -> Range:
        """Return the share of points with a label; a point that is neither measured nor inferred may have it or not."""
        label, chosen = phase_named(term.label), self._chosen(term)
        points, inferred = self.points[chosen], self.inferred[chosen]
        known = (points["n_seeds"] > 0).to_numpy(dtype=bool) | inferred
        if 2 * known.sum() < len(points):
            raise Unknown(f"{term} is known at {known.sum()} of {len(points)} points")
        inside = ((points["phase"] == label) | (points["subphase"] == label)).to_numpy(dtype=bool)
        likely = self.likely.loc[chosen, label].to_numpy(dtype=float)
        off = np.sqrt(self._edge_points(term, inside)) / len(points)
        low = np.where(known, inside * likely, 0.0).mean() - off
        high = np.where(known & ~inside, likely, 1.0).mean() + off
        sure = known & ~inferred
        low, high = max(low, (sure & inside).mean()), min(high, 1 - (sure & ~inside).mean())
        return Range(value=float(inside[known].mean()), low=float(low), high=float(high))

    def _edge_points(self, term: Area, inside: NDArray[np.bool_]) -> int:
        """Count the points of a region, of the chosen ones, that have a neighbour on an ordered axis outside it."""
        region = inside.reshape([len(chosen_values(axis, term.conditions)) for axis in self.study.axes])
        edge = np.zeros(region.shape, dtype=bool)
        for number, axis in enumerate(self.study.axes):
            if axis.categorical:
                continue
            one, next_one = np.moveaxis(region, number, 0)[:-1], np.moveaxis(region, number, 0)[1:]
            at_edge = np.moveaxis(edge, number, 0)  # a view
            at_edge[:-1] |= one & ~next_one
            at_edge[1:] |= next_one & ~one
        return int(edge.sum())

    def _mean(self, term: Statistic) -> Range:
        points = self.points[self._chosen(term)]
        values = points[term.column].astype(float)
        there = values.notna()
        if 2 * there.sum() < len(points):
            raise Unknown(f"{term} is known at {there.sum()} of {len(points)} points")
        off = points.loc[there & points["inferred"], f"{term.column}_std"].astype(float).sum() / there.sum()
        value = float(values[there].mean())
        return Range(value=value, low=value - off, high=value + off)

    def _crossing(self, term: Frontier) -> Range:
        """Return where a frontier crosses the axis, with its band; the median of several crossings."""
        diagram = along_line(self.study, self.points, term)
        band = inferred_band(diagram, 0, diagram.named(term.name), "x", CONFIDENCE)
        if not len(band.crossing):
            raise Unknown(f"the {term.name} frontier does not cross {term.along} on the map")
        value, *ends = (float(np.median(diagram.x.to_values(at))) for at in (band.crossing, band.low, band.high))
        return Range(value=value, low=min(ends), high=max(ends))
