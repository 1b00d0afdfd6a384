"""What only the built-in rules and quantities have: a tested frontier, further names of phases, words for people."""

from __future__ import annotations

from phasemap.study.conditions import Kind
from phasemap.study.names import ACCURACIES, GENERALIZES, PEAKS, ROBUSTNESS
from phasemap.study.rule_file import rule_of
from phasemap.study.settings import Recorded
from phasemap.study.spec import PhaseRule, Study

TESTED = "inversion"
"""The frontier of this name, of one accuracy against another, is told by an exact test on corrupted examples."""
WINS_COLUMN = "generalization_wins"
"""What the test says of each point."""
N_CORRUPTED, N_CLASSES = "n_corrupted", "n_classes"
VERDICT_WORDS = {
    "wins": "generalization wins against memorization",
    "loses": "generalization loses against memorization",
    "undetermined": "generalization against memorization: undetermined",
}

GENERALIZATION = "generalization"
"""The frontier of this name, at a number, parts the points that generalize from the others."""

OTHER_WORDS = {GENERALIZES: "grokking"}
"""Words for a phase that claims and events may use beside its name."""

USUAL_TIME = "grokking_step"

SHARES = (*PEAKS, "extracted_accuracy", "pruned_memorized_accuracy", "corruption_effective", ROBUSTNESS)
"""The columns between 0 and 1 beside the quantities."""
NEEDED_NEURONS, EXTRACTED, MEAN_IPR = "needed_neurons", "extracted_accuracy", "mean_ipr"
NORM_PARTS = {"weight_norm_u": "u", "weight_norm_v": "v", "weight_norm_w": "w"}
ALL_NORMS = "weight_norm"
PRUNED_LOSSES = ("train_loss", "test_loss")

RULES = {
    "memorized_fraction": (
        "A network generalizes with test accuracy >= {generalized:g}. Among those that do: coexistence with memorized "
        "accuracy >= {memorized:g}, full inversion with <= {inverted:g}, partial inversion between; clean fit if "
        "nothing is corrupted, undetermined below 20 corrupted examples. {others} Medians over the records of the last "
        "tenth of the steps, at least 5 where a curve has 50 or more."
    ),
    "doshi2024": (
        "Table 2 of the paper, at the last step. A network generalizes with test accuracy >= {generalized:g}. Among "
        "those that do: coexistence with train accuracy >= {memorized:g}, partial inversion with >= 1.05 - corruption, "
        "else full inversion. {others}"
    ),
}
OTHERS = (
    "Among the others: memorization with train accuracy >= {memorized:g}; else forgetting if the network had "
    "generalized before what is judged and no longer does, else confusion."
)
CITATION = (
    "The phases and the default network: D. Doshi, A. Das, T. He, A. Gromov. To grok or not to grok: disentangling "
    "generalization and memorization on corrupted algorithmic datasets. ICLR 2024. arXiv:2310.13061"
)


def built_in_words(rule: PhaseRule) -> str:
    """Say in words how a built-in rule labels."""
    return RULES[rule.rule].format(
        generalized=rule.generalized,
        memorized=rule.memorized,
        inverted=round(1 - rule.memorized, 12),
        others=OTHERS.format(memorized=rule.memorized),
    )


def phase_named(word: str) -> str:
    """Return the label or phase that a word stands for in claims and events."""
    return OTHER_WORDS.get(word, word)


def shown_quantities(recorded: Recorded) -> tuple[str, ...]:
    """Return the quantities whose curves figures show: the five accuracies where they are recorded, else all."""
    return ACCURACIES if set(ACCURACIES) <= set(recorded.quantities) else tuple(recorded.quantities)


def column_kinds(study: Study) -> dict[str, Kind]:
    """Return the kind of each column of numbers whose kind is known; others are plain numbers."""
    kinds: dict[str, Kind] = dict.fromkeys(SHARES, "accuracy")
    return {**kinds, **dict(rule_of(study.phases).quantities), **study.recorded.quantities}
