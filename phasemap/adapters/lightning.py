"""Lightning: what a LightningModule logs, reported after each epoch, and a training that goes on after a kill."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import Callback

from phasemap.adapters.metrics import declared_numbers
from phasemap.training.program_context import TrialContext


class Reporter(Callback):
    """Reports those logged values that are declared quantities, and saves network, optimizers and schedulers.

    A continued trial starts with the epoch after the last saved one.
    """

    def __init__(self, trial: TrialContext) -> None:
        self._trial = trial

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Go on from what was saved last."""
        saved = self._trial.saved
        if saved is not None:
            for source, state in zip(_sources(trainer, pl_module), saved["states"], strict=True):
                source.load_state_dict(state)
            progress = trainer.fit_loop.epoch_progress.current
            for word in ("ready", "started", "processed", "completed"):
                setattr(progress, word, saved["epochs"])

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report and save."""
        epochs = trainer.current_epoch + 1
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self._trial.report(epochs, **declared_numbers(self._trial, metrics))
        states = [source.state_dict() for source in _sources(trainer, pl_module)]
        self._trial.save({"epochs": epochs, "states": states})


def _sources(trainer: Any, network: Any) -> list[Any]:
    return [network, *trainer.optimizers, *(config.scheduler for config in trainer.lr_scheduler_configs)]
