"""A program of the tests' own: made-up settings and quantities, and curves by formulas, so that trials cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic.fields import FieldInfo

from phasemap.diagram.tables import Tables
from phasemap.phases.curves import Curves
from phasemap.phases.labels import curve_terms, label_trials
from phasemap.phases.terms import term_columns
from phasemap.search.inference import complete
from phasemap.search.study_search import StudySearch
from phasemap.study.axes import Axis
from phasemap.study.identity import Identity
from phasemap.study.rule_file import own_rule
from phasemap.study.rule_reader import RuleReader
from phasemap.study.settings import Recorded, Setting
from phasemap.study.spec import PhaseRule, SearchSpec, Study
from phasemap.study.trials import grid_ids

STEPS = np.unique(np.geomspace(1, 1000, 40).round().astype(np.int64))

Fields = Callable[[dict[str, np.ndarray], np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class MadeUpTrial:
    trial_id: str
    seed: int
    settings: tuple[tuple[str, Any], ...]


def setting(name: str) -> Setting:
    return Setting(name=name, section="fixed", key=name, field=FieldInfo(annotation=float))


class MadeUpStudy(Study):
    """A study of a made-up program: all its settings are axes."""

    kinds: tuple[tuple[str, str], ...]
    facts: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    @property
    def declared(self) -> Mapping[str, Setting]:
        return {axis.name: setting(axis.name) for axis in self.axes}

    @property
    def recorded(self) -> Recorded:
        return Recorded(quantities=dict(self.kinds), facts=self.facts, whole=frozenset(self.whole))

    @property
    def identity(self) -> Identity:
        return Identity(constant={"program": "made up"})

    def setting(self, name: str) -> Any:
        raise KeyError(name)  # all settings are axes

    def trial(self, settings: Mapping[str, Any], seed: int) -> MadeUpTrial:
        return MadeUpTrial(self.identity.trial_id(settings, seed), seed, tuple(settings.items()))


LOGS = np.log(STEPS)[None, :] / np.log(STEPS[-1])  # 0 to 1 over the records


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@dataclass(frozen=True)
class MadeUpMap:
    """A study, the rows of all its trials in its order, and their curves."""

    study: MadeUpStudy
    trials: pd.DataFrame
    curves: Curves

    def searched(self, **search) -> MadeUpMap:
        return replace(self, study=self.study.model_copy(update={"search": SearchSpec(**search)}))

    def renamed(self, content: Mapping[str, Any], words: Mapping[str, str]) -> MadeUpMap:
        """Return the same map with other names for quantities, labelled by a rule that knows these."""
        kinds = {words.get(name, name): kind for name, kind in self.study.kinds}
        values = {words.get(name, name): value for name, value in self.curves.values.items()}
        rule = rule_by(content, kinds, {axis.name for axis in self.study.axes} | {*self.study.facts})
        update = {"phases": rule, "kinds": tuple(kinds.items())}
        if self.study.search.metric in words:
            update["search"] = self.study.search.model_copy(update={"metric": words[self.study.search.metric]})
        return labelled(self.study.model_copy(update=update), replace(self.curves, values=values))

    def points(self, trials: pd.DataFrame) -> pd.DataFrame:
        """Return the points that trials give: the label of most seeds of the phase of most seeds."""
        rule, seeds = self.study.phases, len(self.study.seeds)
        n = len(self.trials) // seeds
        point = pd.Index(self.trials["trial_id"]).get_indexer(pd.Index(trials["trial_id"])) // seeds
        codes = pd.Categorical(trials["subphase"], categories=list(rule.labels)).codes
        counts = np.zeros((n, len(rule.labels)), dtype=int)
        np.add.at(counts, (point[codes >= 0], codes[codes >= 0]), 1)
        phase_of = np.asarray([rule.phases.index(rule.phase_of[label]) for label in rule.labels])
        of_phase = np.stack([counts[:, phase_of == k].sum(axis=1) for k in range(len(rule.phases))], axis=1)
        phase = of_phase.argmax(axis=1)
        label = np.where(phase_of == phase[:, None], counts, -1).argmax(axis=1)
        seen = counts.sum(axis=1) > 0
        last = trials.groupby(point)[[name for name, _ in self.study.kinds]].mean().reindex(range(n))
        frame = pd.DataFrame(
            {
                "n_seeds": np.bincount(point, minlength=n),
                "n_failed": 0,
                "n_diverged": 0,
                "phase": np.where(seen, np.asarray(rule.phases, dtype=object)[phase], None),
                "subphase": np.where(seen, np.asarray(rule.labels, dtype=object)[label], None),
                "inferred": False,
                "confidence": np.nan,
            }
        )
        return frame.join(last).join(last.add_suffix("_std") * np.nan)

    def completed(self, trials: pd.DataFrame) -> pd.DataFrame:
        """Return the map that some trials give."""
        return complete(Tables(study=self.study, trials=trials, points=self.points(trials))).points

    def driven(self, at_once: int = 10, seed: int = 0) -> pd.DataFrame:
        """Return the trials that the study's search chooses, in its order, by their numbers in that of the study."""
        search = StudySearch(self.study, self.trials[:0], seed)
        while asked := search.ask(at_once):
            search.tell(self.trials[self.trials["trial_id"].isin({trial.trial_id for trial in asked})])
        return search.table.set_index(pd.Index(self.trials["trial_id"]).get_indexer(pd.Index(search.table["trial_id"])))

    def agreement(self, trials: pd.DataFrame, column: str = "subphase") -> float:
        """Return the share of the points on which the completed map of some trials is the full one."""
        found, full = self.completed(trials)[column], self.points(self.trials)[column]
        return float((found.fillna("none") == full.fillna("none")).mean())


def made_up(
    content: Mapping[str, Any],
    axes: Mapping[str, list[Any]],
    curves: Fields,
    kinds: Mapping[str, str],
    *,
    seeds: int = 2,
    noise_seed: int = 0,
    facts: Mapping[str, Callable[..., np.ndarray]] | None = None,
    whole: tuple[str, ...] = (),
) -> MadeUpMap:
    """Label curves of made-up quantities by a rule's content, for all points of some axes.

    ``curves`` gets the settings (n, 1) by name, random numbers and the steps (1, T), and returns (n, T) by quantity.
    """
    study = MadeUpStudy(
        name="made_up",
        axes=tuple(Axis(name=name, values=tuple(values)) for name, values in axes.items()),
        seeds=tuple(range(seeds)),
        phases=rule_by(content, kinds, {*axes, *(facts or {})}),
        kinds=tuple(kinds.items()),
        facts=tuple(facts or ()),
        whole=whole,
    )
    grid = np.meshgrid(*(np.arange(len(values)) for values in axes.values()), np.arange(seeds), indexing="ij")
    settings = {
        name: np.asarray(values, dtype=object if isinstance(values[0], str) else float)[number.ravel()]
        for (name, values), number in zip(axes.items(), grid, strict=False)
    }
    random = np.random.default_rng(noise_seed)
    found = curves({name: value[:, None] for name, value in settings.items()}, random)
    n = len(grid[0].ravel())
    known = {name: fact(settings, random) for name, fact in (facts or {}).items()}
    numbers = {name: value for name, value in settings.items() if value.dtype == float}
    whole_curves = Curves(
        steps=STEPS,
        values={name: np.broadcast_to(value, (n, len(STEPS))).astype(float) for name, value in found.items()},
        facts={**numbers, **known},
    )
    return labelled(study, whole_curves)


def rule_by(content: Mapping[str, Any], kinds: Mapping[str, str], facts: Collection[str]) -> PhaseRule:
    """Read a rule over made-up quantities, settings and facts."""
    problems: list[Any] = []
    settings = {name: setting(name) for name in sorted(facts)}
    reader = RuleReader(lambda at, message: problems.append((at, message)), kinds, {}, settings, ())
    rule = reader.read((), dict(content), "made_up")
    assert rule is not None, problems
    return own_rule(rule)


def labelled(study: MadeUpStudy, curves: Curves) -> MadeUpMap:
    """Label all trials of a study by their curves."""
    rule, n = study.phases, len(curves)
    names = label_trials(rule.own, curve_terms(curves, rule.own), n).names(rule.own)
    trials = pd.DataFrame(
        {
            "trial_id": grid_ids(study),
            "status": "ok",
            "subphase": names,
            "phase": [rule.phase_of.get(label) for label in names],
            **curves.facts,
            **{name: value[:, -1] for name, value in curves.values.items()},
            **term_columns(curves, rule),
        }
    )
    return MadeUpMap(study, trials, curves)
