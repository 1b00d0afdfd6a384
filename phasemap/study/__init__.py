"""WHAT to run: the study file, its axes, points, trials and packs."""
