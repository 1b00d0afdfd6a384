# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---
# %% [markdown]
# # A first phase diagram
# A study says what varies. Here: the share of wrong labels, and weight decay. Every point is one small network a seed.

# %%
import tempfile
from pathlib import Path

import phasemap as pm

STUDY = """
name: first
task: {kind: modular_addition, modulus: 11}
model: {width: 48}
training: {steps: 300}
axes:
  corruption: {start: 0.0, stop: 0.4, num: 5}
  weight_decay: [0, 2, 5]
fixed: {data_fraction: 0.75}
seeds: 3
"""
folder = Path(tempfile.mkdtemp())
study = folder / "first.yaml"
study.write_text(STUDY)

# %% [markdown]
# `pm.run` trains what is missing; `in_process` does without Ray, which is quick for so few networks.

# %%
run = pm.run(study, storage=folder, in_process=True, quiet=True)
run.points[["corruption", "weight_decay", "subphase", "agreement", "agreement_low", "agreement_high"]]

# %% [markdown]
# The map. To the right of the solid line the networks do not generalize; the light band is where that line may lie with
# other seeds.

# %%
run.plot()

# %%
run.diagram().frontier_band("generalization")
