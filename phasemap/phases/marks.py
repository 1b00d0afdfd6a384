"""One colour, one letter and one hatch per label, the same in every figure, terminal and page.

The colours are those of Okabe & Ito, softened, and moved so that any two built-in labels stay apart (CIELAB distance
18 or more) to all eyes: normal, and without red, green or blue receptors (Machado et al. 2009). Printed in grey they
stay apart too (lightness 5 or more).
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from phasemap.study.names import LETTERS, UNLABELLED
from phasemap.study.rule import Rule
from phasemap.study.spec import PhaseRule

LIGHTER = 0.5  # the share of white in the colour of inferred points


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a label is shown."""

    name: str
    letter: str
    colour: str
    hatch: str = ""

    @property
    def title(self) -> str:
        """The label as a person reads it."""
        return self.name.replace("_", " ")

    @property
    def light(self) -> str:
        """The colour of points that were inferred, not measured."""
        mixed = [round(LIGHTER * 255 + (1 - LIGHTER) * int(self.colour[i : i + 2], 16)) for i in (1, 3, 5)]
        return "#" + "".join(f"{value:02x}" for value in mixed)

    @property
    def ink(self) -> str:
        """White where its contrast with the colour is 4.5 : 1 or more, else black."""
        return "#ffffff" if contrast("#ffffff", self.colour) >= READABLE else "#000000"


READABLE = 4.5  # the least contrast of a text with what is behind it (WCAG 2.2, 1.4.3)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


COLOURS = {
    "clean_fit": "#e2f7fd",
    "coexistence": "#a2daff",
    "partial_inversion": "#1fa573",
    "full_inversion": "#3279cd",
    "undetermined": "#f0e781",
    "grokking": "#3279cd",
    "memorization": "#f3bb43",
    "forgetting": "#ce88c4",
    "confusion": "#b5b5b5",
}
"""The colours of the built-in labels."""

BUILT_IN_MARKS = {name: Mark(name=name, letter=LETTERS[name], colour=colour) for name, colour in COLOURS.items()}
"""In the order of the legend."""

HATCHES_WITHOUT_LABEL = {
    "diverged": "xxxx",
    "failed": ".",
    "missing": "////",
    "unlabelled": "--",
}  # more dots would make svg files large
UNLABELLED_MARKS = {
    name: Mark(name=name, letter=letter, colour="#ffffff", hatch=HATCHES_WITHOUT_LABEL[name])
    for name, letter in UNLABELLED.items()
}

MARKS = {**BUILT_IN_MARKS, **UNLABELLED_MARKS}
"""In the order of the legend."""

PALETTE = ("#3279cd", "#f3bb43", "#1fa573", "#ce88c4", "#a2daff", "#e07b45", "#f0e781", "#b5b5b5")
HATCHES = ("", "\\\\\\\\", "||||", "oo")  # together with the palette more than a rule may have labels


@lru_cache(maxsize=16)
def marks_of(rule: PhaseRule) -> Mapping[str, Mark]:
    """Return the mark of every label that a study's points can have, in the order of the legend."""
    return MARKS if rule.own is None else MappingProxyType({**marks(rule.own), **UNLABELLED_MARKS})


def marks(rule: Rule) -> dict[str, Mark]:
    """Return the mark of each label of a rule, and of each group: those of built-in names are fixed.

    Other labels have what the rule gives them, else by position a colour of the palette and a letter of their name that
    no other has; from the ninth label on colours come again with a hatch. A group looks like the first label in it.
    """
    names = list(dict.fromkeys((*rule.label_names, *rule.phases)))
    letters = _letters(rule, names)
    looks = _looks(rule)
    for group, members in rule.groups:
        looks.setdefault(group, (COLOURS[group], "") if group in COLOURS else looks[members[0]])
    return {name: Mark(name=name, letter=letters[name], colour=looks[name][0], hatch=looks[name][1]) for name in names}


def _letters(rule: Rule, names: Iterable[str]) -> dict[str, str]:
    given = {label.name: label.letter for label in rule.labels if label.letter}
    letters = {name: given.get(name) or LETTERS[name] for name in names if name in given or name in LETTERS}
    taken = {*letters.values(), *UNLABELLED.values()}
    for name in names:
        if name not in letters:
            candidates = (*name.upper(), *string.ascii_uppercase, *string.ascii_lowercase, *string.digits)
            letters[name] = next(letter for letter in candidates if letter.isalnum() and letter not in taken)
            taken.add(letters[name])
    return letters


def _looks(rule: Rule) -> dict[str, tuple[str, str]]:
    """Return the colour and the hatch of each label."""
    fixed = {
        label.name: label.colour or COLOURS[label.name]
        for label in rule.labels
        if label.colour or label.name in COLOURS
    }
    groups = (COLOURS[group] for group, _ in rule.groups if group in COLOURS)
    taken = {colour.lower() for colour in (*fixed.values(), *groups)}
    free = ((colour, hatch) for hatch, colour in itertools.product(HATCHES, PALETTE) if hatch or colour not in taken)
    return {label.name: (fixed[label.name], "") if label.name in fixed else next(free) for label in rule.labels}
