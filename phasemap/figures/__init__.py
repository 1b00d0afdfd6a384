"""The PICTURES: figure specifications as data, then drawn."""

PHASES = "phases"  # the phase diagram; the other kinds are charts
KINDS = (PHASES, "curves", "ipr", "neurons", "pruning", "norms", "logits")
SIZES = ("one-column", "two-column")
"""The sizes of figures for a page; without one, a figure is as large as its content needs."""
