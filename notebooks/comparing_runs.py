# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---
# %% [markdown]
# # Comparing two runs
# Two runs that differ in one fixed setting: the number of steps.

# %%
import tempfile
from pathlib import Path

import phasemap as pm

STUDY = """
name: {name}
task: {{kind: modular_addition, modulus: 11}}
model: {{width: 48}}
training: {{steps: {steps}}}
axes:
  corruption: {{start: 0.0, stop: 0.4, num: 5}}
  weight_decay: [0, 5]
fixed: {{data_fraction: 0.75}}
seeds: 3
"""
folder = Path(tempfile.mkdtemp())


def run(name, steps):
    """Train one of the two studies."""
    path = folder / f"{name}.yaml"
    path.write_text(STUDY.format(name=name, steps=steps))
    return pm.run(path, storage=folder, in_process=True, quiet=True)


short, long = run("short", 60), run("long", 300)

# %% [markdown]
# The verdict compares the difference between the runs with the difference between seeds.

# %%
found = short.diff(long)
print(found.verdict, "-", found.reason)
found.differences

# %%
found.transitions["phase"].counts

# %% [markdown]
# How far the frontiers moved, row by row, with 95 % intervals.

# %%
found.shifts

# %% [markdown]
# A run is always equal to itself.

# %%
short.diff(short).verdict
