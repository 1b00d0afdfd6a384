"""Finished sweeps of others as runs: from tables, Optuna, Ray Tune, MLflow, W&B and TensorBoard.

>>> import phasemap as pm
>>> run = pm.sweeps.from_optuna("sqlite:///mine.db", axes=["lr", "wd"], run="runs/mine")
>>> run.plot()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasemap.sweeps.importing import from_frame, from_mlflow, from_optuna, from_tensorboard, from_tune, from_wandb

__all__ = ["from_frame", "from_mlflow", "from_optuna", "from_tensorboard", "from_tune", "from_wandb"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("phasemap.sweeps.importing"), name)
    raise AttributeError(f"module 'phasemap.sweeps' has no attribute '{name}'")
