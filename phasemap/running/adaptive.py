"""The packs of an adaptive run: chosen while others train, so that no slot waits for the slowest of a round."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from phasemap.diagram.tables import known_trials
from phasemap.phases.terms import kept_terms
from phasemap.planning.on_cards import CardShare
from phasemap.planning.packs import SHORTEST_SECONDS, TARGET_SECONDS, Pack, plan_packs, work_of
from phasemap.results.folder import RunFolder
from phasemap.results.merge import trial_table
from phasemap.results.schema import shard_schema
from phasemap.results.shards import read_shard
from phasemap.running.worker import PackReport
from phasemap.search.completed import modelled_words
from phasemap.search.grid import coarse_to_fine
from phasemap.search.study_map import budget_trials
from phasemap.search.study_model import usable, why_labels
from phasemap.search.study_search import StudySearch
from phasemap.study.identity import Trial
from phasemap.study.program_study import ProgramStudy
from phasemap.study.spec import Study
from phasemap.study.trials import expand

ROUNDS = 12  # batches that a budget is cut into, at least, where packs would else be too large to learn from
GROWTH = 1 / 16  # of what is known, at least, in a batch: choosing costs more the more is known
QUICKEST = 0.05  # seconds of a program's trial, at least: of quicker ones a search would choose all at once

logger = logging.getLogger("phasemap")


@dataclass
class PackSource:
    """Gives the packs of a search, and takes what became of them.

    ``more`` is asked when a slot is free and nothing waits; None says that there is nothing to train now.
    """

    study: Study
    folder: RunFolder
    slots: int
    card_share: CardShare | None = None  # of each pack on a GPU; None on CPUs
    search: StudySearch = field(init=False)
    n_done: int = field(init=False)
    labels_modelled: bool = field(init=False, default=False)  # themselves, as was last logged

    def __post_init__(self) -> None:
        table = known_trials(self.study, self.folder)
        self.search = StudySearch(self.study, table)
        self.n_done = len(table)

    def more(self) -> list[Pack] | None:
        """Return the packs of the next batch."""
        left = self.search.left
        trials = self.search.ask(self._batch_trials(left)) if left else []
        if not trials:
            return None
        packs = plan_packs(trials, pack_size=self._pack_trials(trials), card_share=self.card_share)
        self._tell_model()
        logger.info(
            "%d trials chosen in %d packs; expected wrong: %.2f %% of the map",
            len(trials),
            len(packs),
            100 * self.search.expected_wrong,
        )
        return packs

    def take(self, report: PackReport) -> None:
        """Tell the search of a pack that was stored."""
        shard = self.folder.shards / report.shard
        self.folder.fetch(shard)
        table = read_shard(shard, schema=shard_schema(self.study))
        rows = trial_table(table, self.study.phases, terms=bool(kept_terms(self.study)))
        self.search.tell(rows)
        self.n_done += len(rows)

    def _tell_model(self) -> None:
        """Log it when the labels themselves are modelled, and why."""
        if self.study.search.kind != "boundary":
            return
        reason = why_labels(self.study, usable(self.study, self.search.table))
        if (reason is not None) != self.labels_modelled:
            logger.info(modelled_words(reason) if reason else "the terms of the rule are modelled again")
            self.labels_modelled = reason is not None

    def _batch_trials(self, left: int) -> int:
        """Return the trials of a batch: enough for every slot, and few enough that later ones learn from it."""
        if self.study.search.batch_size != "auto":
            return self.study.search.batch_size
        seconds = self._trial_seconds()
        longest = TARGET_SECONDS / seconds
        learning = budget_trials(self.study) / (ROUNDS * self.slots)
        if self.card_share:  # which trains many networks in about the time of one
            return self.slots * max(1, round(learning))
        per_pack = max(1, round(min(longest, max(learning, SHORTEST_SECONDS / seconds))))
        return max(self.slots * per_pack, math.ceil(GROWTH * self.n_done))

    def _pack_trials(self, trials: Sequence[Trial]) -> int:
        """Return the most trials of a pack, so that a batch fills the slots."""
        most = len(trials) if self.card_share else max(1, round(TARGET_SECONDS / self._trial_seconds()))
        size = min(most, math.ceil(len(trials) / self.slots))
        wanted = self.study.resources.pack_size
        return size if wanted == "auto" else min(size, wanted)

    def _trial_seconds(self) -> float:
        """Return the seconds of a usual trial: of a program those of its trials so far, else an estimate."""
        if isinstance(self.study, ProgramStudy) and len(self.search.table):
            return max(float(self.search.table["train_seconds"].median()), QUICKEST)
        points = list(itertools.islice(coarse_to_fine(self.study), 8))
        seconds = [work_of(trial) for trial in expand(self.study, points)]
        return sum(seconds) / len(seconds)
