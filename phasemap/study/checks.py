"""What a study's values must satisfy together."""

from __future__ import annotations

from collections.abc import Iterator

from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.claims import vocabulary
from phasemap.study.errors import did_you_mean
from phasemap.study.network_checks import check_networks, check_record
from phasemap.study.spec import BOUNDARY_ONLY, WHOLE_MAP, PhaseRule, SearchSpec, Study
from phasemap.study.trials import Found, count_trials, longest_training

MAX_TRIALS = 5_000_000


def check_any(study: Study, reported: frozenset[str]) -> Iterator[Found]:
    """Yield (path, message) for what the sections of any study can't see alone.

    ``reported`` holds the paths that were found wrong already: checks that rest on them are left out.
    """
    yield from _search(study.search)
    if study.search.kind == "boundary" and study.search.metric == WHOLE_MAP and not study.phases.labels:
        kinds = "allowed: grid, random or sobol, labels, or a frontier as its metric"
        yield ("search", "kind"), f"= boundary seeks borders between labels, and the study has none; {kinds}"
    if study.search.metric not in (metrics := (WHOLE_MAP, *study.phases.frontiers)):
        hint = did_you_mean(study.search.metric, metrics)
        yield ("search", "metric"), f"= {study.search.metric!r} is not allowed; allowed: {', '.join(metrics)}{hint}"
    for key, message in check_rule(study.phases):
        yield ("phases", key), message
    if not any(path.startswith("axes") for path in reported):
        yield from _claims(study)
    if not any(path.startswith(("axes", "seeds")) for path in reported) and count_trials(study) > MAX_TRIALS:
        yield ("axes",), f"make {count_trials(study)} trials; allowed: at most {MAX_TRIALS}"


def check_study(study: Study, reported: frozenset[str]) -> Iterator[Found]:
    """Yield (path, message) for everything that the sections of a study of networks can't see alone."""
    yield from check_any(study, reported)
    yield from check_networks(study)
    yield from check_record(study)
    at_step, steps = study.phases.at_step, longest_training(study)
    if at_step is not None and steps is not None and at_step > steps:
        yield ("phases", "at_step"), f"= {at_step} is after the end of the training; allowed: up to {steps}"


def check_rule(rule: PhaseRule) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for thresholds that a rule does not allow."""
    if rule.own is None and rule.rule == "doshi2024":
        for key in ("generalized", "memorized"):
            if getattr(rule, key) != PhaseRule.model_fields[key].default:
                yield key, "is fixed at 0.9 by rule doshi2024; allowed: leave it out, or another rule"


def _search(search: SearchSpec) -> Iterator[Found]:
    """Yield what a kind of search has no use for."""
    unused = {"grid": ("budget", "seeds_per_point", "batch_size", *BOUNDARY_ONLY), "boundary": ()}
    for key in unused.get(search.kind, BOUNDARY_ONLY):
        if getattr(search, key) != SearchSpec.model_fields[key].default:
            kinds = "kind boundary" if key in BOUNDARY_ONLY else "kind boundary, random or sobol"
            yield ("search", key), f"has no meaning with kind {search.kind}; allowed: leave it out, or {kinds}"


def _claims(study: Study) -> Iterator[Found]:
    words = vocabulary(study)
    for number, text in enumerate(study.claims):
        try:
            parse_claim(text, study.axes, words)
        except ClaimError as error:
            for message in error.messages:
                yield ("claims", number), message
