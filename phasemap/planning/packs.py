"""Packs: trials of one static shape that a process trains together, sized by an estimate of their cost.

Their work, by which they are cut and ordered and which progress shows, is in seconds of networks and units of
programs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from phasemap.planning.on_cards import CardShare
from phasemap.study.identity import Trial
from phasemap.study.networks import NetworkTrial
from phasemap.training.costs import estimated_seconds, kept_bytes

SHORTEST_SECONDS = 0.5  # of work a pack, where there is enough: Ray Tune needs 0.07 s for each
TARGET_SECONDS = 8.0  # of work a pack: long against Ray's 0.07 s per trial, short enough to keep all cores busy
PACK_BYTES = 1 << 30  # the most that a pack is planned to take: thousands of tiny networks would take more
PROGRAM_WORK = 1.0  # of every trial of a program, of which nothing is known before it ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Trials that are trained together; the id is a hash of their ids, in order."""

    pack_id: str
    trials: tuple[Trial, ...]


def make_pack(trials: Sequence[Trial]) -> Pack:
    """Build a pack of the given trials."""
    digest = hashlib.sha256(",".join(trial.trial_id for trial in trials).encode()).hexdigest()
    return Pack(pack_id=digest[:16], trials=tuple(trials))


def split(pack: Pack) -> list[Pack]:
    """Split a pack into two halves; a pack of one trial stays as it is."""
    if len(pack.trials) == 1:
        return [pack]
    half = (len(pack.trials) + 1) // 2
    return [make_pack(pack.trials[:half]), make_pack(pack.trials[half:])]


def work_of(trial: Trial) -> float:
    """Return a trial's work: one core's estimated seconds, or the same for all trials of a program."""
    return estimated_seconds(trial) if isinstance(trial, NetworkTrial) else PROGRAM_WORK


def most_together(trials: Sequence[Trial]) -> int:
    """Return how many of such trials a pack may have for the memory that they take."""
    networks = [kept_bytes(trial) for trial in trials if isinstance(trial, NetworkTrial)]
    return max(1, PACK_BYTES // max(networks)) if networks else len(trials)


def plan_packs(
    trials: Iterable[Trial],
    *,
    done: Collection[str] = (),
    pack_size: int | None = None,
    card_share: CardShare | None = None,
) -> list[Pack]:
    """Cut trials into packs, and leave out those that are done; in their order, but the longest of the rest first.

    The cuts don't depend on what is done, so that a run that is continued meets its unfinished packs again, with
    their checkpoints. ``pack_size`` is an upper limit, kept exactly. With ``card_share`` its memory is the limit, and
    the trials of a pack have training sets of one size, so that all networks take each step together.
    Trials that begin alike stay together where they may, so that what they share is trained once.
    """
    groups: dict[object, list[Trial]] = {}
    position: dict[str, int] = {}
    for number, trial in enumerate(trials):
        groups.setdefault(_together(trial, on_card=card_share is not None), []).append(trial)
        position[trial.trial_id] = number
    packs = []
    for group in groups.values():
        upper = pack_size or len(group)
        most = min(upper, card_share.most(group)) if card_share else pack_size or most_together(group)
        size = most
        if not (card_share or pack_size):
            size = min(most, max(1, round(TARGET_SECONDS / (sum(map(work_of, group)) / len(group)))))
        for cut in _cuts(group, size, most):
            missing = [trial for trial in cut if trial.trial_id not in done]
            if missing:
                packs.append((position[cut[0].trial_id], make_pack(missing)))
    return _shortest_last([pack for _, pack in sorted(packs, key=lambda pair: pair[0])])


def _together(trial: Trial, *, on_card: bool) -> object:
    """Return what all trials of a pack must have in common."""
    return (trial.shape, trial.data_fraction) if on_card and isinstance(trial, NetworkTrial) else trial.shape


def _cuts(group: Sequence[Trial], size: int, most: int) -> list[Sequence[Trial]]:
    """Cut a group into parts of about ``size``; only where more than ``most`` begin alike are such apart."""
    families = _families(group)
    if len(families) == len(group):
        return _equal_parts(group, math.ceil(len(group) / size))
    parts: list[list[Trial]] = []
    for family in families:
        for piece in _equal_parts(family, math.ceil(len(family) / most)):
            if parts and len(parts[-1]) + len(piece) <= size:
                parts[-1].extend(piece)
            else:
                parts.append(list(piece))
    return list(parts)


def _families(group: Sequence[Trial]) -> list[list[Trial]]:
    """Put trials that begin alike together, in order."""
    if not any(isinstance(trial, NetworkTrial) and trial.changing for trial in group):
        return [[trial] for trial in group]
    alike: dict[object, list[Trial]] = {}
    for trial in group:
        alike.setdefault(trial.start if isinstance(trial, NetworkTrial) else trial.trial_id, []).append(trial)
    return list(alike.values())


def _shortest_last(packs: Sequence[Pack]) -> list[Pack]:
    """Put the later half of the work in order of length, the longest first.

    The former half stays as it came (coarse to fine, so that a partial run shows the whole map); the latter ends with
    short packs, so that no core waits long for the last one.
    """
    seconds = [sum(map(work_of, pack.trials)) for pack in packs]
    done, half = 0.0, len(packs)
    for number, cost in enumerate(seconds):
        done += cost
        if done >= sum(seconds) / 2:
            half = number + 1
            break
    later = sorted(range(half, len(packs)), key=lambda number: -seconds[number])
    return [*packs[:half], *(packs[number] for number in later)]


def _equal_parts(items: Sequence[Trial], parts: int) -> list[Sequence[Trial]]:
    bounds = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[a:b] for a, b in pairwise(bounds)]
