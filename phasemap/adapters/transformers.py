"""Transformers: what Hugging Face's Trainer evaluates, reported and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from phasemap.adapters.metrics import declared_numbers
from phasemap.training.program_context import TrialContext


class Reporter(TrainerCallback):
    """Reports each evaluation at its step, with the last training loss as ``loss``; keeps the Trainer's checkpoints.

    If the trial continues, ``checkpoint`` is the folder for ``trainer.train(resume_from_checkpoint=...)``, otherwise
    None. A checkpoint is kept if the last kept one is more than 20 s old.
    """

    def __init__(self, trial: TrialContext) -> None:
        self._trial = trial
        self._logged: dict[str, Any] = {}
        self.checkpoint: str | None = _unpacked(trial)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Keep in mind what was logged last, the training's loss among it."""
        self._logged |= logs or {}

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """Report what was found."""
        self._trial.report(state.global_step, **declared_numbers(self._trial, {**self._logged, **(metrics or {})}))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the checkpoint, but for its settings, which only pickle reads."""
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        if self._trial.save_due and folder.is_dir():
            files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "training_args.bin"}
            packed = {name: torch.tensor(bytearray(content), dtype=torch.uint8) for name, content in files.items()}
            self._trial.save({"step": state.global_step, "files": packed})


def _unpacked(trial: TrialContext) -> str | None:
    """Write the checkpoint that was kept last into the trial's folder."""
    if trial.saved is None:
        return None
    folder = trial.folder / f"checkpoint-{trial.saved['step']}"
    folder.mkdir(exist_ok=True)
    for name, content in trial.saved["files"].items():
        (folder / Path(name).name).write_bytes(content.numpy().tobytes())
    return str(folder)
