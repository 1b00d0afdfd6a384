"""What a study's values must satisfy together: of any study, and which networks, trainings and records make sense."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.claims import vocabulary
from phasemap.study.errors import KeyPath, Mistake, did_you_mean
from phasemap.study.networks import INTERVENTIONS, NETWORK_SETTINGS, SCHEDULED, scaled_steps
from phasemap.study.own_study import OwnStudy
from phasemap.study.schedules import COSINE, stages
from phasemap.study.spec import BOUNDARY_ONLY, WHOLE_MAP, PhaseRule, SearchSpec, Study
from phasemap.study.trials import count_trials, longest_training, together, values_of

MAX_TRIALS = 5_000_000


def check_any(study: Study, reported: frozenset[str]) -> Iterator[Mistake]:
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


def check_study(study: Study, reported: frozenset[str]) -> Iterator[Mistake]:
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


def _search(search: SearchSpec) -> Iterator[Mistake]:
    """Yield what a kind of search has no use for."""
    unused = {"grid": ("budget", "seeds_per_point", "batch_size", *BOUNDARY_ONLY), "boundary": ()}
    for key in unused.get(search.kind, BOUNDARY_ONLY):
        if getattr(search, key) != SearchSpec.model_fields[key].default:
            kinds = "kind boundary" if key in BOUNDARY_ONLY else "kind boundary, random or sobol"
            yield ("search", key), f"has no meaning with kind {search.kind}; allowed: leave it out, or {kinds}"


def _claims(study: Study) -> Iterator[Mistake]:
    if not study.claims:
        return  # the words of claims take a tenth of a second: the rule is read for them
    words = vocabulary(study)
    for number, text in enumerate(study.claims):
        try:
            parse_claim(text, study.axes, words)
        except ClaimError as error:
            for message in error.messages:
                yield ("claims", number), message


OF_TWO_LAYERS = ("neurons", "pruning", "extracted")


def check_networks(study: Study) -> Iterator[Mistake]:
    """Yield (path, message) for networks and trainings that can't be."""
    yield from _batches(study)
    yield from _precisions(study)
    yield from _interventions(study)
    yield from _schedules(study)
    if isinstance(study, OwnStudy) and study.parts.get("model"):
        return
    yield from _depths(study)
    yield from _heads(study)
    for (_, model), (path, norm) in together(study, "model", "norm"):
        if model == "transformer" and norm != "none":
            yield path, f"= {norm} is for an mlp; allowed for a transformer: none"
    for (_, model), (_, depth), (path, init) in together(study, "model", "depth", "init"):
        if init == "lazy" and (model == "transformer" or depth == 2):
            yield path, "= lazy is an initial scale of deep MLPs; allowed with depth 2: standard (see init_scale)"


def check_record(study: Study) -> Iterator[Mistake]:
    """Yield (path, message) for records of networks in which they have no meaning."""
    for index, record in enumerate(study.record):
        if record in study.record[:index]:
            yield ("record", index), f"= {record} is repeated; allowed: each once"
        if record in OF_TWO_LAYERS or record == "ipr":
            for why in dict.fromkeys(_no_meaning(study, record)):
                yield ("record", index), f"= {record} has no meaning for {why}"


def _no_meaning(study: Study, record: str) -> Iterator[str]:
    """Say for which of a study's networks a record about periodic neurons has no meaning."""
    for role in ("task", "model") if isinstance(study, OwnStudy) else ():
        if part := study.parts.get(role):  # type: ignore[attr-defined]
            yield f"{part.name}; allowed: phasemap's own networks on modular tasks, whose tokens have a cyclic order"
            return
    for (_, task), (_, modulus) in together(study, "task", "modulus"):
        if not task.startswith("modular"):
            yield f"task {task}; allowed: modular tasks, whose tokens have a cyclic order"
        elif not has_cyclic_order(task, modulus):
            yield f"multiplication modulo {modulus}; allowed: a prime modulus, whose tokens have a cyclic order"
    for (_, model), (_, depth) in together(study, "model", "depth"):
        if model == "transformer" and record in OF_TWO_LAYERS:
            yield "a transformer; allowed: the mlp with depth 2"
        if model == "mlp" and depth > 2:
            yield f"an mlp of depth {depth}; allowed: depth 2, whose neurons see the tokens and the classes"


def has_cyclic_order(task: str, modulus: int) -> bool:
    """Whether a task's tokens have an order along which its solution is periodic.

    For addition that is the tokens' own order. Multiplication becomes addition of discrete logarithms, which exist for
    the nonzero tokens of a prime modulus.
    """
    if task == "modular_multiplication":
        return modulus >= 3 and is_prime(modulus)
    return task == "modular_addition"


def is_prime(number: int) -> bool:
    """Whether a whole number is a prime."""
    return number >= 2 and all(number % d for d in range(2, math.isqrt(number) + 1))


def _depths(study: Study) -> Iterator[Mistake]:
    for (_, model), (path, depth) in together(study, "model", "depth"):
        if model == "mlp" and depth < 2:
            yield path, f"= {depth} is too few layers of weights for an mlp; allowed: a whole number >= 2"


def _heads(study: Study) -> Iterator[Mistake]:
    for (_, width), (path, heads) in together(study, "width", "heads") if "heads" in study.declared else ():
        if width % heads:
            yield path, f"= {heads} heads don't divide the width {width}; allowed: a divisor of the width"


def _batches(study: Study) -> Iterator[Mistake]:
    sizes = [size for _, size in values_of(study, "batch_size") if size != "full"]
    for path, scale in values_of(study, "scale_to_batch"):
        if scale is not None and not sizes:
            yield path, f"= {scale} scales nothing with batch_size full; allowed: leave it out, or give a batch_size"


def _interventions(study: Study) -> Iterator[Mistake]:
    """Yield interventions without a step or an amount, and those that come when the training has ended."""
    for kind, amount in INTERVENTIONS.items():
        at = f"{kind}_at"
        if at not in study.declared or amount not in study.declared:
            continue
        amounts = [value for _, value in values_of(study, amount) if value != NETWORK_SETTINGS[amount].default]
        for path, step in values_of(study, at):
            if step is None and amounts:
                yield path, f"is missing; allowed with {amount}: the step after which it happens"
            if step is not None and not amounts:
                above = " above 0" if kind == amount else ""
                yield path, f"= {step}, but there is no {amount}; allowed: leave it out, or an amount{above}"
        for (path, step), *length in together(study, at, "steps", "batch_size", "scale_to_batch"):
            yield from _too_late(path, step, length)


def _schedules(study: Study) -> Iterator[Mistake]:
    """Yield schedules with changes when the training has ended, and those of a user's optimizer."""
    for name in SCHEDULED:
        schedule, to = f"{name}_schedule", f"{name}_to"
        if schedule not in study.declared or to not in study.declared:
            continue
        for (path, text), *length in together(study, schedule, "steps", "batch_size", "scale_to_batch"):
            yield from _too_late(path, max((at for at, _ in stages(text or COSINE)), default=None), length)
        for setting in (schedule, to):
            for path, value in values_of(study, setting):
                if value is not None and isinstance(study, OwnStudy) and study.parts.get("optimizer"):
                    yield path, "has no effect on an optimizer of yours; allowed: one of phasemap's, or leave it out"


def _too_late(path: KeyPath, step: int | None, length: list[Any]) -> Iterator[Mistake]:
    """Yield a step after which something is to change where no training follows it."""
    horizon = scaled_steps(*(value for _, value in length))
    if step is not None and step >= horizon:
        yield path, f"= {step} is not before the end of the training; allowed: up to {horizon - 1}"


def _precisions(study: Study) -> Iterator[Mistake]:
    device = study.resources.device
    for path, precision in values_of(study, "precision"):
        if precision != "full" and device in ("cpu", "any"):
            yield path, f"= {precision} needs a GPU for every pack, but resources.device is {device}; allowed: full"
