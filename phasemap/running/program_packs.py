"""A pack of a program's trials: one after the other in a process that is kept between packs."""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial

from phasemap.results.folder import RunFolder
from phasemap.running.pack_parts import within
from phasemap.running.program_child import Ended, Order, Work
from phasemap.running.program_process import Callbacks, ProcessEndedError, ProgramProcess
from phasemap.study.program_study import ProgramStudy, ProgramTrial
from phasemap.training.recording import SAVE_SECONDS, TrialResult

ATTEMPTS = 2  # of a trial that ends its process
RESULT, STATE = b"result", b"state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a run's folder keeps of trials until their shard is written: how they ended, or their last state.

    A file for each trial, so that a pack that is cut anew finds what others left.
    """

    folder: RunFolder
    source: str  # of the program: what was saved by other code is no state of this one
    ends: bool = False  # whether the last state of a trial is kept for ever

    def read(self, trial: ProgramTrial) -> tuple[Ended | None, bytes | None]:
        """Return how a trial ended, or the state that it saved last."""
        path = self.folder.checkpoint(trial.trial_id)
        with suppress(OSError, ValueError, TypeError):
            if self.folder.fetch(path):
                head, _, content = path.read_bytes().partition(b"\n")
                kind, _, source = head.partition(b" ")
                if source.decode() == self.source:
                    return (Ended(**json.loads(content)), None) if kind == RESULT else (None, content)
        return None, None

    def write(self, trial: ProgramTrial, kind: bytes, content: bytes) -> None:
        """Keep something; it is a cache, so its loss is no failure, and it need not outlast the machine."""
        with suppress(OSError):
            head = b"%s %s\n" % (kind, self.source.encode())
            self.folder.write_bytes(self.folder.checkpoint(trial.trial_id), head + content, durable=False)

    def keep_end(self, trial: ProgramTrial) -> None:
        """Keep the state that a finished trial saved last, if it saved any."""
        _, content = self.read(trial)
        if content is not None:
            self.folder.write_bytes(self.folder.state_file(trial.trial_id), content)


def train_programs(
    study: ProgramStudy,
    trials: Sequence[ProgramTrial],
    *,
    device: str,
    kept: Kept | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
    same_source: bool = True,
    save_seconds: float = SAVE_SECONDS,
    attempts: int = ATTEMPTS,
) -> list[TrialResult]:
    """Run the trials of a pack and return their results in the same order.

    What ended before is not run again, and what saved its state goes on from there. A trial that ends its process, or
    takes too long, is run once more and is then failed; the others go on. UnreachableError where the program is not
    here.
    """
    threads, minutes = max(1, int(study.resources.cpus_per_pack)), study.resources.max_trial_minutes
    work = Work(program=study.signature, device=device, threads=threads, same_source=same_source)
    results = []
    for number, trial in enumerate(trials):
        before, state = kept.read(trial) if kept else (None, None)
        if before is None:
            callbacks = Callbacks(
                on_progress=within(on_progress, number, 1, len(trials)),
                on_state=partial(kept.write, trial, STATE) if kept else lambda _: None,
            )
            order = Order(
                seed=trial.seed,
                settings=trial.settings,
                saved=state,
                save_seconds=save_seconds,
                save_end=kept is not None and kept.ends,
                limit=None if minutes == "none" else 60 * minutes,
            )
            before = _run(trial, order, callbacks, work=work, kept=kept, attempts=attempts)
            if kept and kept.ends and before.status == "ok":
                kept.keep_end(trial)
            if kept and before.status != "failed" and number + 1 < len(trials):
                kept.write(trial, RESULT, json.dumps(asdict(before)).encode())
        results.append(_result(study, trial, before, device))
        on_progress((number + 1) / len(trials))
    return results


def _run(
    trial: ProgramTrial, order: Order, callbacks: Callbacks, *, work: Work, kept: Kept | None, attempts: int
) -> Ended:
    for attempt in range(1, attempts + 1):
        try:
            return process_for(work).run(order, callbacks)
        except ProcessEndedError as error:
            end_process()
            if attempt == attempts:
                return Ended(
                    status="failed",
                    steps=[],
                    curves={},
                    facts={},
                    seconds=0.0,
                    error=f"{'twice: ' if attempts > 1 else ''}{error}",
                )
            saved = kept.read(trial)[1] if kept else None
            order = replace(order, saved=saved)
        except BaseException:  # interrupted: what the process does now is of no use
            end_process()
            raise
    raise AssertionError


def _result(study: ProgramStudy, trial: ProgramTrial, ended: Ended, device: str) -> TrialResult:
    return TrialResult(
        trial=trial,
        status=ended.status,
        steps=tuple(ended.steps),
        curves=ended.curves,
        facts=ended.facts,
        texts={"source": study.signature.source},
        train_seconds=ended.seconds,
        device=device,
        error=ended.error,
    )


_key: tuple[object, ...] | None = None
_process: ProgramProcess | None = None


def process_for(work: Work) -> ProgramProcess:
    """Return this worker's process for a program: the one that it has, or a new one."""
    global _key, _process
    key = (work, work.program.code, os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid())
    if _process is None or _key != key or not _process.alive:
        end_process()
        _process, _key = ProgramProcess(work), key
    return _process


def end_process() -> None:
    """End this worker's process, if it has one."""
    global _process
    if _process is not None:
        _process.end()
        _process = None


atexit.register(end_process)
