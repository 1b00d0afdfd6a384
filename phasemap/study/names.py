"""Names of what is measured and of the labels, for studies that speak about them and for the stages that make them."""

from __future__ import annotations

from typing import Final, Literal, get_args

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

GROKKING: Final = ("coexistence", "partial_inversion", "full_inversion", "clean_fit", "undetermined")
"""The subphases of networks that generalize."""
PHASES: Final = ("memorization", "forgetting", "confusion", "grokking")
"""The phases, in the order in which ties between seeds are decided."""
SUBPHASES: Final = ("memorization", "forgetting", "confusion", *GROKKING)

ROBUSTNESS: Final = "robustness"
"""The share of other thresholds, windows, horizons and seeds that keep a point's label."""

FrontierKind = Literal["generalization", "inversion"]
FRONTIERS: tuple[FrontierKind, ...] = get_args(FrontierKind)
