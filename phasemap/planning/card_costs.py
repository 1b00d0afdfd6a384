"""What trials really cost on a kind of GPU: measured on one, and kept in the user's cache for the next plan."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from phasemap._version import __version__
from phasemap.planning.calibration import MOST_KINDS
from phasemap.planning.on_cards import CardCosts, CardShare, card_key
from phasemap.planning.packs import Pack
from phasemap.results.folder import write_text
from phasemap.study.identity import Trial
from phasemap.study.trials import networks
from phasemap.training.cards import Card, card_here
from phasemap.training.costs import card_bytes, card_seconds


def kept_costs(card: Card) -> CardCosts:
    """Return what was measured on such a card before, by this release; nothing where it was not."""
    kinds: dict[str, Any] = {}
    with suppress(OSError, ValueError, KeyError):
        content = json.loads(_file(card).read_text(encoding="utf-8"))
        kinds = content["kinds"] if content["phasemap"] == __version__ else {}
    return CardCosts(
        seconds={key: float(costs["seconds"]) for key, costs in kinds.items()},
        memory={key: float(costs["memory"]) for key, costs in kinds.items()},
    )


def measured_card_share(packs: Sequence[Pack], card_share: CardShare, record: Collection[str] = ()) -> CardShare:
    """Return the share with the costs of the kinds that take most of the work, measured where such a card is here.

    A kind that was measured before is not again. What is too large, or fails, keeps its estimate.
    """
    largest = _largest_packs(packs)
    missing = {key: trials for key, trials in largest.items() if key not in card_share.costs.seconds}
    if not missing or (here := card_here()) is None or here.name != card_share.card.name:
        return card_share
    seconds, memory = dict(card_share.costs.seconds), dict(card_share.costs.memory)
    for key, trials in missing.items():
        with suppress(MemoryError, RuntimeError):
            seconds[key], memory[key] = _measure(trials, record)
    costs = CardCosts(seconds=seconds, memory=memory)
    with suppress(OSError):  # a cache
        _keep(card_share.card, costs)
    return replace(card_share, costs=costs)


def _measure(trials: Sequence[Trial], record: Collection[str]) -> tuple[float, float]:
    """Return how many times more seconds and memory trials take than estimated."""
    from phasemap.training.timing import measured_on_card

    alike = networks(trials)
    seconds, memory = measured_on_card(alike, record)
    return seconds / card_seconds(alike), memory / sum(map(card_bytes, alike))


def _largest_packs(packs: Sequence[Pack]) -> dict[str, Sequence[Trial]]:
    """Return the longest pack of each kind of trials, of those kinds that take most of the work."""
    work: dict[str, float] = {}
    longest: dict[str, tuple[float, Sequence[Trial]]] = {}
    for pack in packs:
        key, seconds = card_key(pack.trials[0]), card_seconds(networks(pack.trials))
        work[key] = work.get(key, 0.0) + seconds
        longest[key] = max(longest.get(key, (0.0, ())), (seconds, pack.trials), key=lambda pair: pair[0])
    return {key: longest[key][1] for key in sorted(work, key=lambda key: -work[key])[:MOST_KINDS]}


def _keep(card: Card, costs: CardCosts) -> None:
    kinds = {key: {"seconds": costs.seconds[key], "memory": costs.memory[key]} for key in costs.seconds}
    _file(card).parent.mkdir(parents=True, exist_ok=True)
    write_text(_file(card), json.dumps({"phasemap": __version__, "card": card.name, "kinds": kinds}, indent=1) + "\n")


def _file(card: Card) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "phasemap" / "cards" / f"{re.sub('[^a-z0-9]+', '-', card.name.lower()).strip('-')}.json"
