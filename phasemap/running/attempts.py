"""How often a pack is tried before it is halved, and before its trial is given up."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from phasemap.planning.packs import Pack, split
from phasemap.running.runner import Failed

ATTEMPTS = 2  # of a pack as it is, before it is split
NODE_LOSSES = 10  # that a pack survives before one of them counts as its own failure

logger = logging.getLogger("phasemap")


class Attempts:
    """How often packs failed in a run, and what is tried next."""

    def __init__(self) -> None:
        self._attempts: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._alone: set[str] = set()  # what may have failed for the memory that other packs took

    def next(self, pending: Mapping[str, Pack]) -> tuple[list[Pack], bool]:
        """Return the packs to train together, and at last each that is to be alone, with whether it is."""
        together = [pack for name, pack in pending.items() if name not in self._alone]
        return (together, False) if together else (list(pending.values())[:1], bool(pending))

    def after(self, pack: Pack, failed: Failed) -> list[Pack]:
        """Return what to train after a failure: the pack from its checkpoint, again, halved, alone, or nothing more."""
        name = pack.pack_id
        self._losses[name] += failed.cause == "node"
        if failed.outside or (failed.cause == "node" and self._losses[name] < NODE_LOSSES):
            logger.warning("pack %s continues, although a %s failed: %s", name, failed.cause, failed.error)
            return [pack]
        self._attempts[name] += 1
        logger.warning("pack %s failed (attempt %d): %s", name, self._attempts[name], failed.error)
        if self._attempts[name] < ATTEMPTS:
            return [pack]
        if len(pack.trials) > 1:
            return split(pack)
        if failed.cause == "memory" and name not in self._alone:
            self._alone.add(name)
            return [pack]
        return []
