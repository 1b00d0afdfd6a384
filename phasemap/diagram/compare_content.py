"""A comparison of two runs as plain values, for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phasemap.results.encoding import records

if TYPE_CHECKING:
    from phasemap.diagram.compare import Comparison


def comparison_content(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; numbers that are not known are null."""
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "differences": list(found.differences),
        "same_networks": found.same.whole,
        "n_same_networks": found.same.n_same,
        "n_points": found.n_points,
        "n_only_a": found.n_only_a,
        "n_only_b": found.n_only_b,
        "p_seeds": found.p_seeds,
        "p_map": found.p_map,
        "transitions": {
            level: {
                "agreement": t.agreement,
                "kappa": None if t.kappa != t.kappa else t.kappa,
                "counts": {str(a): {str(b): int(n) for b, n in row.items()} for a, row in t.counts.iterrows()},
            }
            for level, t in found.transitions.items()
        },
        "changed_points": records(found.points[found.points["changed"]]),
        "shifts": records(found.shifts),
        "shifts_paired_over_seeds": list(found.paired_seeds),
        "shifts_are": found.shift_words,
    }
