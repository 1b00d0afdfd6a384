# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---
# %% [markdown]
# # Reading a diagram: phases, curves, neurons
# `record` asks for what is inside the networks at the end of their training.

# %%
import tempfile
from pathlib import Path

import phasemap as pm

STUDY = """
name: reading
task: {kind: modular_addition, modulus: 11}
model: {width: 48}
training: {steps: 300}
axes:
  corruption: [0.0, 0.2, 0.4]
  weight_decay: [0, 5]
fixed: {data_fraction: 0.75}
seeds: 2
record: [ipr, neurons]
"""
folder = Path(tempfile.mkdtemp())
study = folder / "reading.yaml"
study.write_text(STUDY)

# %%
run = pm.run(study, storage=folder, in_process=True, quiet=True)
run.plot()

# %% [markdown]
# How each point got there: accuracies over the steps, with the steps at which it memorized (m) and generalized (g).

# %%
run.plot("curves", fix={"corruption": 0.2})

# %% [markdown]
# How long it took to generalize. Trials that never did are censored, not left out.

# %%
run.survival("grokking_step", by="weight_decay")

# %% [markdown]
# Periodic neurons carry the rule: their inverse participation ratio (IPR) is near 1.

# %%
run.plot("ipr", fix={"corruption": 0.2})

# %% [markdown]
# Which labels would survive another threshold, window, horizon or seed?

# %%
run.robustness()
