"""Trial ids: of studies as they are written, and of settings at and off their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from golden_files import Golden

from phasemap.study.file import load_resolved
from phasemap.study.networks import NETWORK_IDENTITY
from phasemap.study.trials import expand

MATRIX = "0.8,0.1,0.1\n0.0,0.9,0.1\n0.25,0.25,0.5\n"

STUDIES = {
    "a list and a linear range": """
name: ranges
task: {kind: modular_addition, modulus: 31}
axes:
  corruption: {start: 0.0, stop: 0.7, num: 8}
  weight_decay: [0, 1, 3, 5, 10]
seeds: 2
""",
    "a range equals its list": """
name: list
task: {kind: modular_addition, modulus: 31}
axes:
  corruption: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
  weight_decay: [0]
""",
    "a log range": """
name: log
task: {kind: modular_addition}
axes:
  learning_rate: {start: 1.0e-4, stop: 1.0e-1, num: 7, scale: log}
  dropout: [0.0, 0.3]
fixed: {corruption: 0.25, weight_decay: 1.5, data_fraction: 0.75}
""",
    "betas and eps": """
name: betas
task: {kind: modular_addition, modulus: 13}
training: {optimizer: adam, eps: 1.0e-6}
axes:
  betas: [[0.9, 0.98], [0.9, 0.999], [0, 0.5]]
  width: [16, 500]
""",
    "rows of a matrix": """
name: rows
task: {kind: modular_addition, modulus: 3, corruption_kind: asymmetric, matrix: [[0.8, 0.1, 0.1], [0, 0.9, 0.1],
  [0.25, 0.25, 0.5]]}
axes: {corruption: [0.5, 1]}
""",
    "a matrix in a file": """
name: file
task: {kind: modular_addition, modulus: 3, corruption_kind: asymmetric, matrix: matrix.csv}
axes: {corruption: [0.5, 1]}
""",
    "arrays": """
name: arrays
task: {kind: arrays, path: /golden/data.npz}
model: {activation: relu, width: 128}
axes:
  corruption: [0, 0.2, 0.4]
  batch_size: [full, 64]
seeds: [3, 5]
""",
    "images": """
name: images
task: {kind: images}
training: {loss: cross_entropy, optimizer: sgd, momentum: 0.5, batch_size: 32, scale_to_batch: 256}
model: {activation: relu, depth: 3, norm: batch, init: lazy}
axes:
  dataset: [digits, mnist5k]
  corruption: [0, 0.5]
""",
    "a Transformer": """
name: transformer
task: {kind: modular_multiplication, modulus: 11}
model: {kind: transformer, width: 32, depth: 2, mlp_factor: 2, weight_tying: true}
axes:
  heads: [1, 4]
  weight_decay: [0, 0.1, 2]
  steps: [100, 2000]
""",
    "kinds of corruption": """
name: kinds
task: {kind: modular_addition, modulus: 7, shift_by: 2}
axes:
  corruption_kind: [symmetric, pair_flip, shift, region, instance]
  split: [random, balanced]
fixed: {corruption: 0.2}
seeds: 2
""",
    "axes of names": """
name: names
task: {kind: modular_addition, modulus: 7}
axes:
  norm: [none, batch, layer]
  activation: [square, relu]
  loss: [mse, cross_entropy]
  optimizer: [adamw, adam, sgd]
""",
    "tasks and networks": """
name: tasks
task: {kind: modular_addition}
axes:
  task: [modular_addition, modular_multiplication]
  modulus: [5, 7, 97]
  data_fraction: [0.5, 0.3]
""",
    "numbers are rounded to 12 digits": """
name: rounded
task: {kind: modular_addition, modulus: 13}
axes:
  corruption: [0.30000000000000004, 0.1234567890123456]
  weight_decay: [1.0e-5, 3]
""",
    "searches": """
name: search
task: {kind: modular_addition, modulus: 17}
axes:
  corruption: {start: 0, stop: 0.5, num: 11}
  weight_decay: {start: 0.1, stop: 10, num: 5, scale: log}
seeds: 2
search: {kind: boundary, budget: 0.2}
record: [norms]
phases: {rule: doshi2024}
""",
}

OTHER: dict[str, Any] = {
    "task": "images", "modulus": 31, "corruption_kind": "shift", "matrix": ((0.5, 0.5), (0.0, 1.0)),
    "dataset": "mnist5k", "path": "/golden/data.npz", "shift_by": 3, "split": "balanced", "model": "transformer",
    "activation": "relu", "width": 128, "depth": 3, "norm": "layer", "init_scale": 0.25, "init": "lazy", "heads": 2,
    "mlp_factor": 2, "weight_tying": True, "steps": 500, "optimizer": "sgd", "momentum": 0.5, "betas": (0.9, 0.999),
    "eps": 1e-6, "learning_rate": 0.003, "loss": "cross_entropy", "batch_size": 64, "scale_to_batch": 256,
    "precision": "tf32", "table": "S3", "n_bits": 20, "k_bits": 2, "n_samples": 500, "output_scale": 2.0,
    "temperature": 0.5, "gradient": "grokfast", "filter_strength": 5.0, "filter_memory": 0.9,
    "embedding_learning_rate": 0.001, "embedding_weight_decay": 1.0, "readout_learning_rate": 0.002,
    "readout_weight_decay": 2.0, "repair": 0.5, "repair_at": 100, "corrupt": 0.1, "corrupt_at": 200,
    "weight_decay_schedule": "100: 5, 200: 0", "weight_decay_to": 0.0, "weight_decay_at": 300,
    "learning_rate_schedule": "cosine", "learning_rate_to": 0.001, "learning_rate_at": 400,
    "corruption": 0.35, "weight_decay": 5.0, "dropout": 0.3, "data_fraction": 0.75,
}  # fmt: skip
"""A value of each setting that is not its default. A setting that is added gets one here."""


def trials_of(text: str) -> list[Any]:
    """Return the trials of a study written as text; a file that it names stands beside it."""
    Path("matrix.csv").write_text(MATRIX)
    Path("study.yaml").write_text(text)
    return list(expand(load_resolved("study.yaml")))


def defaults() -> dict[str, Any]:
    return dict(NETWORK_IDENTITY.defaults) | {"task": "modular_addition"}


def make() -> dict[str, Any]:
    studies = {
        name: {"study": text, "ids": [trial.trial_id for trial in trials_of(text)]} for name, text in STUDIES.items()
    }
    settings = {
        "all at their defaults": {"id": NETWORK_IDENTITY.trial_id(defaults(), 0)},
        "another seed": {"seed": 4, "id": NETWORK_IDENTITY.trial_id(defaults(), 4)},
    }
    settings |= {
        name: {"value": value, "id": NETWORK_IDENTITY.trial_id(defaults() | {name: value}, 0)}
        for name, value in OTHER.items()
    }
    return {"matrix.csv": MATRIX, "studies": studies, "settings": settings}


GOLDEN = (Golden(name="trial_ids", make=make),)
