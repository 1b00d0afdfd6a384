"""HOW MUCH there is to do: packs, what they cost on a machine, and whether a run may start."""
