"""Label corruption: in which order examples are corrupted, and the wrong label that each of them would get."""

from __future__ import annotations

from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.streams import stream


def corruption_order(dataset: Dataset, seed: int) -> Ints:
    """Return each example's rank (M,): those of lowest rank in the training set are corrupted first."""
    return stream("corruption_order", seed, dataset.name).permutation(len(dataset.labels))


def wrong_labels(dataset: Dataset, seed: int) -> Ints:
    """Draw for each example (M,) a label uniformly from all classes, the true one included (Doshi et al. 2024)."""
    return stream("wrong_labels", seed, dataset.name).integers(dataset.n_classes, size=len(dataset.labels))
