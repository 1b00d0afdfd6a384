"""Names of what is measured and of the labels, for studies that speak about them and for the stages that make them."""

from __future__ import annotations

from typing import Final, Literal

ACCURACIES = (
    "train_accuracy",
    "test_accuracy",
    "clean_accuracy",
    "memorized_accuracy",
    "recovered_accuracy",
)
LOSSES = ("train_loss", "test_loss")
NORMS = ("weight_norm_u", "weight_norm_v", "weight_norm_w", "weight_norm")
QUANTITIES = (*ACCURACIES, *LOSSES, *NORMS, "rule_capture")
"""What is recorded of every trial, in this order; NaN where a quantity is undefined."""

STEP_TIMES = ("memorization_step", "grokking_step", "unlearning_step", "forgetting_step")
"""Steps at which something happened; NaN where it had not by the horizon (censored)."""

FINALS = (
    "mean_ipr",
    "gain_ipr_correlation",
    "extracted_accuracy",
    "needed_neurons",
    "pruned_memorized_accuracy",
)
"""Numbers about the network at the end of its training; NaN where undefined or not recorded."""

SUMMARIES = (
    "peak_test_accuracy",
    *FINALS,
    "corruption_effective",
    "n_train",
    "n_corrupted",
    "n_classes",
    "horizon",
    "train_seconds",
)
"""The other numbers of a trial, beside its settings."""

PLAIN_KERNEL: Final = "explicit"
FUSED_KERNEL: Final = "explicit_fused"
"""What trains two-layer MLPs on tokens, on a CPU: the same in other bits, so that a run keeps to one of both."""

BATCHED_KERNEL: Final = "batched"
GENERAL_KERNEL: Final = "functional"
"""What trains two-layer MLPs on tokens on a GPU, and any other network there."""

STATE: Final = "state"
"""The record that keeps what a trial's training can go on from."""

GROKKING: Final = ("coexistence", "partial_inversion", "full_inversion", "clean_fit", "undetermined")
"""The subphases of networks that generalize."""
PHASES: Final = ("memorization", "forgetting", "confusion", "grokking")
"""The phases, in the order in which ties between seeds are decided."""
SUBPHASES: Final = ("memorization", "forgetting", "confusion", *GROKKING)

QUANTITY_KINDS: Final[dict[str, Literal["accuracy", "loss", "number"]]] = {
    **dict.fromkeys(ACCURACIES, "accuracy"),
    **dict.fromkeys(LOSSES, "loss"),
    **dict.fromkeys(NORMS, "number"),
    "rule_capture": "accuracy",
}
"""The kind of each quantity that built-in tasks record."""

GENERALIZES: Final = "generalizes"
"""What claims and transitions call the labels of networks that generalize."""

PEAKS: Final = {"peak_test_accuracy": "test_accuracy"}
"""The largest value of a quantity over the steps, in tables of the built-in rules."""

CORRUPTION: Final = "corruption"
"""The share of training labels to corrupt: a setting of the built-in tasks, which their rules look at."""

FACTS = ("n_train", "n_corrupted", "n_classes", "corruption_effective")
"""What is known of a trial's data beside its settings."""

LETTERS: Final = {
    "clean_fit": "L",
    "coexistence": "C",
    "partial_inversion": "P",
    "full_inversion": "I",
    "undetermined": "U",
    "grokking": "G",
    "memorization": "M",
    "forgetting": "F",
    "confusion": "X",
}
"""The letters of the built-in labels."""

UNLABELLED: Final = {"diverged": "D", "failed": "!", "missing": "", "unlabelled": "?"}
"""What points without a label are called, and their letters."""

RESERVED_COLUMNS = (
    *("trial_id", "seed", "status", "step", "phase", "subphase", "rule", "label_reason", "settled"),
    *("subphase_doshi2024", "subphase_memorized_fraction", *QUANTITIES, *SUMMARIES),
    *("pack_id", "host", "device", "kernel", "error", "point"),
)
"""The columns of the table of trials, beside settings, that no rule may fill."""

POINT_COLUMNS = (
    *("agreement", "agreement_low", "agreement_high", "n_seeds", "n_failed", "n_diverged", "n_stopped"),
    *("generalizes", "generalization_wins", "inferred", "confidence", "source_id", "source_state", "robustness"),
)
"""Columns of the table of points, and those that every import adds, which no setting and no quantity may be called."""

BUILT_IN_RULES: Final = ("memorized_fraction", "doshi2024")
NO_RULE: Final = "none"
"""The rule of studies without labels: maps of quantities."""

OBJECTIVES: Final = ("value", "test_accuracy")
"""The quantities that an Optuna study's objective is, the first that is recorded."""

ROBUSTNESS: Final = "robustness"
"""The share of other thresholds, windows, horizons and seeds that keep a point's label."""

FRONTIERS: Final = ("generalization", "inversion")
"""The frontiers of the built-in rules."""
