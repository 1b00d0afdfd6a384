"""What Ray Tune asks and tells while it trains packs: which pack next, and what became of it."""

from __future__ import annotations

import pickle
import time
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ray import cloudpickle, tune
from ray.exceptions import RayActorError
from ray.tune.search import Searcher

from phasemap.planning.packs import Pack
from phasemap.running.runner import Advanced, Event, Failed, Finished, More, describe_error, failure
from phasemap.running.slots import PackSlots
from phasemap.running.worker import PackReport
from phasemap.study.errors import UnreachableError, UserError

ROOM_SECONDS = 10.0


class PackedPlan:
    """The packs of a fit as one array of bytes, of which a worker unpickles its own pack alone.

    Ray maps arrays from its object store into a worker's memory, so that a worker's cost doesn't grow with the plan.
    """

    def __init__(self, packs: Sequence[Pack]) -> None:
        texts = [pickle.dumps(pack) for pack in packs]
        self._content = np.frombuffer(b"".join(texts), dtype=np.uint8)
        self._bounds = np.cumsum([0, *map(len, texts)])

    def read(self, number: int) -> Pack:
        """Return a pack by its number in the plan."""
        start, end = self._bounds[number : number + 2]
        pack: Pack = pickle.loads(self._content[start:end].tobytes())
        return pack


def pack_text(pack: Pack) -> str:
    """Write a pack that is no part of the plan as short text, to be put into a trial's config."""
    return b64encode(zlib.compress(pickle.dumps(pack))).decode()


def pack_of(config: Mapping[str, Any], plan: PackedPlan) -> Pack:
    """Return the pack that a trial's config names."""
    if "pack" in config:
        pack: Pack = pickle.loads(zlib.decompress(b64decode(config["pack"])))
        return pack
    return plan.read(config["number"])


class FreeSlots:
    """How many packs of each kind may be at work: looked at again while nodes come and go."""

    def __init__(
        self, look: Callable[[], list[PackSlots]], limit: Callable[[Sequence[PackSlots]], int], shares: list[PackSlots]
    ) -> None:
        self._look, self._limit, self._shares = look, limit, shares
        self._next = time.monotonic() + ROOM_SECONDS

    def free(self, running: Counter[tuple[str, float]]) -> PackSlots | None:
        """Return the kind of pack that may start now, the first that a node has room for; None if none may."""
        if time.monotonic() >= self._next:
            with suppress(UserError):  # every node is gone: the packs at work will tell
                self._shares = self._look()
            self._next = time.monotonic() + ROOM_SECONDS
        if running.total() >= self._limit(self._shares):
            return None
        fits = [share for share in self._shares if running[_kind(share)] < share.slots]
        return fits[0] if fits else self._shares[0]  # a pack that waits is how a cluster is asked to grow


def _kind(share: PackSlots) -> tuple[str, float]:
    return share.device, share.gpus


def resources_of(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Return what a pack gets, as its config says."""
    needs = {"CPU": config["cpus"], "GPU": config["gpus"]}
    return tune.PlacementGroupFactory([{name: need for name, need in needs.items() if need}])


class PackFeed(Searcher):
    """Hands out packs in their order, where there is room, until a worker is lost.

    First those of the plan by id and number, then those of ``more``, which is asked while other packs train, until
    ``most`` were handed out.
    """

    def __init__(
        self, pack_ids: Sequence[str], free: FreeSlots, more: More | None = None, most: int | None = None
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._free, self._more, self._left = free, more, most
        self._kinds: dict[str, tuple[str, float]] = {}  # of what was handed out, by Ray Tune's trial id
        configs = [{"pack_id": pack_id, "number": number} for number, pack_id in enumerate(pack_ids)]
        self._waiting: list[dict[str, Any]] = configs[::-1]
        self._running: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what leads back to the driver: Ray Tune saves its searcher, but this one has nothing to restore."""
        return {**self.__dict__, "_more": None}

    def suggest(self, trial_id: str) -> Any:
        """Return the next pack's config, or that there is none."""
        if not self._waiting and (self._more is None or self._left == 0):
            return Searcher.FINISHED
        share = self._free.free(Counter(self._kinds.values()))
        if share is None:
            return None
        if not self._waiting:
            further = (self._more() if self._more else None) or []
            self._waiting = [{"pack_id": pack.pack_id, "pack": pack_text(pack)} for pack in further][::-1]
        if not self._waiting:
            return Searcher.FINISHED
        config = self._waiting.pop()
        self._left = None if self._left is None else self._left - 1
        self._running[trial_id], self._kinds[trial_id] = config["pack_id"], _kind(share)
        return {**config, "device": share.device, "cpus": share.cpus, "gpus": share.gpus}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Forget a trial that ended."""
        self._running.pop(trial_id, None)
        self._kinds.pop(trial_id, None)

    def stop(self) -> None:
        """Hand out no more packs."""
        self._waiting.clear()
        self._more = None

    def in_flight(self) -> list[str]:
        """Return the packs that were handed out and have not ended."""
        return list(self._running.values())

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: what is done is told by the shards."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


class PackEvents(tune.Callback):
    """Tells what Ray Tune reports of its trials, as events of packs."""

    def __init__(self, tell: Callable[[Event], None], feed: PackFeed) -> None:
        self._tell, self._feed = tell, feed

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what leads back to the driver: Ray Tune saves its callbacks, but ours have nothing to restore."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Tell a pack's progress."""
        event = report_event(result)
        if event is not None and not isinstance(event, Finished):
            self._tell(event)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell that a pack is stored."""
        event = report_event(trial.last_result or {})
        if isinstance(event, Finished):
            self._tell(event)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell that a pack failed; after the loss of its process, or where the storage fails, this round ends."""
        error = _error_of(trial)
        cause = getattr(error, "cause", None) or error
        lost = isinstance(error, RayActorError)
        if lost or isinstance(cause, UnreachableError):
            self._feed.stop()
        self._tell(worker_failure(trial.config["pack_id"], cause))


def _error_of(trial: Any) -> BaseException:
    """Read what ended a trial, which at this moment stands in Ray Tune's local staging folder only."""
    path = trial.pickled_error_file
    if path and Path(path).exists():
        error: BaseException = cloudpickle.loads(Path(path).read_bytes())
        return error
    return RuntimeError("the worker was lost")


def worker_failure(pack_id: str, error: BaseException) -> Failed:
    """Turn what ended a pack's training, or its worker, into an event."""
    if not isinstance(error, RayActorError):
        return failure(pack_id, error)
    reasons = [line.strip() for line in str(error).splitlines() if "because" in line]
    text = f"the worker was lost: {reasons[-1][:500]}" if reasons else describe_error(error)
    node_lost = error.preempted or "its node has died" in text
    return Failed(pack_id=pack_id, error=text, cause="node" if node_lost else "training")


def report_event(result: Mapping[str, Any]) -> Event | None:
    """Turn what a trainable reported into an event."""
    if "shard" not in result:
        return Advanced(pack_id=result["pack_id"], share=result["progress"]) if "progress" in result else None
    names = ("pack_id", "shard", "phase_counts", "n_ok", "n_diverged", "n_failed", "trial_seconds")
    return Finished(report=PackReport(**{name: result[name] for name in names}))
