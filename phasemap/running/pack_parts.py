"""Packs trained in parts: those for which a GPU has no room, and those whose trials go on where shorter ones ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phasemap.planning.on_cards import card_key
from phasemap.planning.packs import Pack, make_pack, split
from phasemap.results.folder import RunFolder
from phasemap.study.errors import UserError
from phasemap.study.prefixes import former_trial
from phasemap.study.spec import Study
from phasemap.study.trials import networks
from phasemap.training.cards import give_back, out_of_memory
from phasemap.training.recording import TrialResult

if TYPE_CHECKING:
    from phasemap.training.states import Start

Train = Callable[[Pack, Callable[[float], None]], list[TrialResult]]

logger = logging.getLogger("phasemap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was trained at once of a pack."""

    pack: Pack
    results: list[TrialResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many networks of each kind fitted on a kind of card in a run, where more did not; a file of the run."""

    folder: RunFolder
    card: str

    def most(self, pack: Pack) -> int:
        """Return how many networks of such a pack are to be trained at once."""
        return len(pack.trials) if self.card == "cpu" else self._read().get(self._key(pack), len(pack.trials))

    def remember(self, pack: Pack) -> None:
        """Note that a pack did not fit, and half of it is to be tried."""
        half = (len(pack.trials) + 1) // 2
        sizes = self._read()
        sizes[self._key(pack)] = min(half, sizes.get(self._key(pack), half))
        with suppress(OSError):  # the next pack finds it out anew
            self.folder.write_text(self.folder.card_sizes, json.dumps(sizes))

    def _read(self) -> dict[str, int]:
        with suppress(OSError, ValueError):
            if self.folder.fetch(self.folder.card_sizes):
                return dict(json.loads(self.folder.card_sizes.read_text(encoding="utf-8")))
        return {}

    def _key(self, pack: Pack) -> str:
        trial = networks(pack.trials)[0]
        return f"{self.card}, data fraction {trial.data_fraction:g}, {card_key(trial)}"


def train_in_parts(pack: Pack, sizes: Sizes, train: Train, on_progress: Callable[[float], None]) -> list[Part]:
    """Train a pack at once, or in as few equal parts one after the other as fit; results in the pack's order.

    UserError if one network alone does not fit.
    """
    parts, waiting, done = [], [pack], 0
    while waiting:
        part = waiting.pop(0)
        if len(part.trials) > sizes.most(part):
            waiting[:0] = split(part)
            continue
        results = _if_it_fits(part, train, within(on_progress, done, len(part.trials), len(pack.trials)))
        if results is None:
            sizes.remember(part)
            waiting[:0] = split(part)
            continue
        parts.append(Part(pack=part, results=results))
        done += len(part.trials)
    return parts


def within(on_progress: Callable[[float], None], done: int, n: int, total: int) -> Callable[[float], None]:
    """Return what tells a part's progress as its pack's."""
    return lambda share: on_progress((done + share * n) / total)


def _if_it_fits(pack: Pack, train: Train, on_progress: Callable[[float], None]) -> list[TrialResult] | None:
    """Return the results, or None where the card has no room and a half may have it."""
    try:
        return train(pack, on_progress)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        told = str(error).partition("\n")[0]
    give_back()  # not before the error is gone, which holds what the training held
    if len(pack.trials) == 1:
        raise UserError(f"trial {pack.trials[0]} alone does not fit into the GPU's memory: {told}")
    logger.warning("%d networks don't fit into the GPU's memory, trying half of them: %s", len(pack.trials), told)
    return None


Starts = Mapping[str, "Start"]


def starts_of(pack: Pack, study: Study, folder: RunFolder, former: Sequence[int]) -> Starts:
    """Return by the trials' ids where they go on from; ``former`` are the run's shorter numbers of steps, falling."""
    if not former:
        return {}
    from phasemap.training.states import read_start

    starts = {}
    for trial in networks(pack.trials):
        for steps in former:
            before = former_trial(study, trial, steps)
            path = folder.state_file(before.trial_id)
            start = read_start(path, before, trial, study.record) if folder.fetch(path) else None
            if start is not None:
                starts[trial.trial_id] = start
                break
    return starts


def by_start(pack: Pack, starts: Starts) -> list[Pack]:
    """Cut a pack into those trials that start at the same step; a pack whose trials all do stays as it is."""
    groups: dict[int, list[int]] = {}
    for number, trial in enumerate(pack.trials):
        step = starts[trial.trial_id].step if trial.trial_id in starts else 0
        groups.setdefault(step, []).append(number)
    if len(groups) == 1:
        return [pack]
    return [make_pack([pack.trials[number] for number in members]) for members in groups.values()]
