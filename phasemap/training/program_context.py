"""What a program gets from phasemap: its settings, its random streams, and ways to report and to save."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasemap.study.conditions import Kind
from phasemap.study.names import CORRUPTION
from phasemap.tasks.corruption import data_facts
from phasemap.tasks.streams import stream, stream_key
from phasemap.training.program_data import AuditedRows, Corrupted, corrupted, scored
from phasemap.training.program_state import dumped, loaded, plain, put_back, put_back_random, random_states, state_of
from phasemap.training.program_values import checked_number, checked_step, checked_values, usual_kinds
from phasemap.training.recording import Hooks

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(kw_only=True)
class Record:
    """The growing curve of a trial, and what is known of its data."""

    steps: list[int] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, float | int] = field(default_factory=dict)


class TrialContext:
    """One trial, as its program sees it.

    ``settings`` are its values by name, ``device`` is where to train (``cpu`` or ``cuda``). ``rows`` are the rows that
    an audit wants it to train on; in a study, where programs have data of their own, it is None.
    """

    def __init__(
        self,
        *,
        seed: int,
        settings: Mapping[str, Any],
        device: str = "cpu",
        quantities: Mapping[str, Kind] | None = None,
        hooks: Hooks | None = None,
        rows: AuditedRows | None = None,
    ) -> None:
        self.seed, self.settings, self.device, self.rows = seed, dict(settings), device, rows
        self.record = Record()
        self.hooks = hooks or Hooks()
        self.answers: NDArray[np.float32] | None = None  # (n, C) to the rows of an audit
        self._quantities = dict(quantities or {})  # none: the first report tells
        self._streams: dict[str, np.random.Generator] = {}
        self._torch_streams: dict[str, torch.Generator] = {}
        self._saved = loaded(self.hooks.saved) if self.hooks.saved else None
        self._own: Any = (self._saved or {}).get("own")  # what the program saved itself
        self._by_steps = False  # whether ``steps`` saves, and what the program saves goes with that
        self._last_save = time.monotonic()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the NumPy generator for a purpose, seeded by the trial's seed; the same object on every call."""
        if purpose not in self._streams:
            self._streams[purpose] = stream(f"program:{purpose}", self.seed)
        return self._streams[purpose]

    def torch_rng(self, purpose: str) -> torch.Generator:
        """Return the torch generator (on the CPU) for a purpose, seeded by the trial's seed."""
        import torch

        if purpose not in self._torch_streams:
            key = stream_key(f"program:torch:{purpose}", self.seed) % 2**63
            self._torch_streams[purpose] = torch.Generator().manual_seed(key)
        return self._torch_streams[purpose]

    @property
    def folder(self) -> Path:
        """A folder for this trial's files, which is removed when it ends."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="pm-trial-", ignore_cleanup_errors=True)
        return Path(self._scratch.name)

    @property
    def quantities(self) -> tuple[str, ...]:
        """The names of the declared quantities; empty if the first report decides."""
        return tuple(self._quantities)

    def report(self, step: int, **quantities: Any) -> None:
        """Record the quantities at a step: all that are declared, one number each."""
        whole = checked_step(step, self.record.steps[-1] if self.record.steps else None)
        if not self._quantities:
            self._quantities = usual_kinds(quantities, self.settings)
        values = checked_values(quantities, self._quantities, whole)
        self._add(whole, values)

    def report_some(self, step: int, found: Mapping[str, Any]) -> None:
        """Record what of an objective's report is a number; what it lacks of the first report is nan."""
        whole = checked_step(step, self.record.steps[-1] if self.record.steps else None)
        values = {name: checked_number(name, value, whole) for name, value in found.items()}
        if not self._quantities:
            self._quantities = usual_kinds(values, self.settings)
        known = {name: values.get(name, float("nan")) for name in self._quantities}
        self._add(whole, checked_values(known, self._quantities, whole))

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        self.record.steps.append(step)
        for name, value in values.items():
            self.record.curves.setdefault(name, []).append(value)

    def steps(self, n: int, state: Any = None) -> Iterator[int]:
        """Yield the steps 1 to n or, if a ``state`` was saved before, restore it and yield the steps after it.

        ``state``: objects with ``state_dict``, dicts and lists of them, or a pair of functions (get, set). It is saved
        between two steps, every 20 s.
        """
        self._by_steps = state is not None
        first = self._continue(state) if self._by_steps else 1
        for step in range(first, n + 1):
            yield step
            self.hooks.on_progress(step / n)
            if self._by_steps and (self.save_due or (step == n and self.hooks.save_end)):
                self._keep({"step": step, "state": plain(state_of(state))})

    def _continue(self, state: Any) -> int:
        plain(state_of(state))  # what can't be saved is told at once, not after 20 s
        if not self._saved or "step" not in self._saved:
            return 1
        put_back(state, self._saved["state"])
        self._resume(self._saved)
        return int(self._saved["step"]) + 1

    def save(self, state: Any) -> None:
        """Save a state of tensors, numbers, text and containers of them, if the last one is more than 20 s old.

        Where ``steps`` saves a state too, both are saved together.
        """
        self._own = plain(state)
        if self.save_due and not self._by_steps:
            self._keep({})

    @property
    def saved(self) -> Any:
        """What ``save`` saved last before this process was started, or None; later reports are dropped."""
        if not self._saved or self._saved.get("own") is None:
            return None
        self._resume(self._saved)
        return self._saved["own"]

    @property
    def save_due(self) -> bool:
        """Whether ``save`` would store a state now: ask first if the state takes long to put together."""
        return self.hooks.save is not None and time.monotonic() - self._last_save >= self.hooks.save_seconds

    def _keep(self, content: Mapping[str, Any]) -> None:
        assert self.hooks.save is not None
        record = {"steps": self.record.steps, "curves": self.record.curves, "facts": self.record.facts}
        states = random_states(self._streams, self._torch_streams)
        self.hooks.save(dumped({**content, "own": self._own, "record": record, "random": states}))
        self._last_save = time.monotonic()

    def _resume(self, saved: Mapping[str, Any]) -> None:
        """Go back to the curve and the random states of then."""
        record = saved["record"]
        self.record = Record(
            steps=list(record["steps"]),
            curves={name: list(values) for name, values in record["curves"].items()},
            facts=dict(record["facts"]),
        )
        put_back_random(saved["random"], self.rng, self.torch_rng)

    def corrupt(
        self,
        labels: Any,
        share: float,
        kind: str = "symmetric",
        classes: int | None = None,
        *,
        inputs: Any = None,
        matrix: Sequence[Sequence[float]] | None = None,
        shift_by: int = 1,
    ) -> Corrupted:
        """Corrupt a share of the training labels: train on ``.given``; ``.wrong`` says which of them are wrong.

        Within a seed a larger share corrupts the same labels as a smaller one, in the same way, and further ones.
        Also records ``corruption``, ``n_train``, ``n_corrupted`` and the like for the tables.
        """
        found = corrupted(
            labels, share, seed=self.seed, kind=kind, classes=classes, inputs=inputs, matrix=matrix, shift_by=shift_by
        )
        facts = data_facts(len(found.truth), found.n_corrupted, found.n_classes)
        self.record.facts = {CORRUPTION: float(share), **facts}
        return found

    def score(
        self, labels: Corrupted, train_predictions: Any, test_predictions: Any, test_labels: Any
    ) -> dict[str, float]:
        """Return the five accuracies to report; predictions are classes (B,) or scores (B, C)."""
        return scored(labels, train_predictions, test_predictions, test_labels)

    def answer(self, predictions: Any, classes: Sequence[int] | None = None) -> None:
        """Give an audit the predictions for all of its rows: classes (n,), or probabilities (n, C).

        With ``classes`` (K,) they are probabilities (n, K) of these classes only. ValueError for anything else, and in
        a study, which asks for no answers.
        """
        if self.rows is None:
            raise ValueError("answer: only audits have rows that ask for answers; in a study: trial.report")
        self.answers = self.rows.probabilities(predictions, classes)

    def close(self) -> None:
        """Remove the trial's folder."""
        if self._scratch is not None:
            self._scratch.cleanup()
