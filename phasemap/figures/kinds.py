"""The kinds of figures by name, apart from what draws them, so that the command line starts quickly."""

PHASES = "phases"  # the phase diagram; the other kinds are charts
KINDS = (PHASES, "curves", "ipr", "neurons", "pruning", "norms", "logits")
