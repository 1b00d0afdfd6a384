"""What a study's values must satisfy together, and what this release can't do yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.spec import SETTINGS, PhaseRule, Study
from phasemap.study.trials import count_trials

Found = tuple[tuple[Any, ...], str]

MAX_TRIALS = 5_000_000

AVAILABLE: dict[str, tuple[Any, ...]] = {
    "task": ("modular_addition", "modular_multiplication"),
    "corruption_kind": ("symmetric",),
    "matrix": (None,),
    "dataset": ("digits",),
    "path": (None,),
    "model": ("mlp",),
    "depth": (2, 3, 4),
    "norm": ("none",),
    "heads": (4,),
    "mlp_factor": (4,),
    "weight_tying": (False,),
    "batch_size": ("full",),
    "scale_to_batch": (None,),
}
"""Settings of which only some values work in this release."""


def check_study(study: Study, reported: frozenset[str]) -> Iterator[Found]:
    """Yield (path, message) for everything that the sections can't see alone.

    ``reported`` holds the paths that were found wrong already: checks that rest on them are left out.
    """
    yield from _not_available(study)
    yield from _examples_left(study)
    yield from _lazy_needs_depth(study)
    for key, message in check_rule(study.phases):
        yield ("phases", key), message
    if not any(path.startswith("axes") for path in reported):
        yield from _claims(study)
    if not any(path.startswith(("axes", "seeds")) for path in reported) and count_trials(study) > MAX_TRIALS:
        yield ("axes",), f"make {count_trials(study)} trials; allowed: at most {MAX_TRIALS}"


def check_rule(rule: PhaseRule) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for thresholds that a rule does not allow."""
    if rule.rule == "doshi2024":
        for key in ("generalized", "memorized"):
            if getattr(rule, key) != PhaseRule.model_fields[key].default:
                yield key, "is fixed at 0.9 by rule doshi2024; allowed: leave it out, or another rule"


def values_of(study: Study, name: str) -> list[tuple[tuple[Any, ...], Any]]:
    """Return (path in the file, value) for every value that a setting takes in a study."""
    if name in study.axis_names:
        return [(("axes", name, i), value) for i, value in enumerate(study.axis(name).values)]
    setting = SETTINGS[name]
    return [((setting.section, setting.key), getattr(getattr(study, setting.section), setting.key))]


def _not_available(study: Study) -> Iterator[Found]:
    for name, working in AVAILABLE.items():
        for path, value in values_of(study, name):
            if value not in working:
                yield path, f"= {value} is not available yet; allowed: {', '.join(str(v) for v in working)}"
    if study.search.kind != "grid":
        yield ("search", "kind"), f"= {study.search.kind} is not available yet; allowed: grid"
    if study.search.budget is not None:
        yield ("search", "budget"), "is not available yet; allowed: leave it out"
    if study.record:
        yield ("record",), "is not available yet; allowed: an empty list"


def _claims(study: Study) -> Iterator[Found]:
    for number, text in enumerate(study.claims):
        try:
            parse_claim(text, study.axes)
        except ClaimError as error:
            for message in error.messages:
                yield ("claims", number), message


def _lazy_needs_depth(study: Study) -> Iterator[Found]:
    if any(depth == 2 for _, depth in values_of(study, "depth")):
        for path, init in values_of(study, "init"):
            if init == "lazy":
                yield path, "= lazy is an initial scale of deep MLPs; allowed with depth 2: standard (see init_scale)"


def _examples_left(study: Study) -> Iterator[Found]:
    for path, fraction in values_of(study, "data_fraction"):
        for _, modulus in values_of(study, "modulus"):
            total = modulus * modulus
            n_train = int(round(fraction * total, 9))
            if n_train < 1 or n_train > total - 1:
                left = "training" if n_train < 1 else "test"
                yield (
                    path,
                    f"= {fraction:g} leaves no {left} example of {total} (modulus {modulus}); "
                    f"allowed: from {1 / total:.3g} to below {1 - 1 / total + 1e-12:.6g}",
                )
