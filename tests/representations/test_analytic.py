"""The closed-form solution, through the project's own evaluation."""

import numpy as np
import pytest
import torch
from analytic import analytic_weights
from conftest import CPU, trial_of

from phasemap.tasks.examples import examples_of
from phasemap.training.explicit import ExplicitKernel
from phasemap.training.functional import FunctionalKernel
from phasemap.training.recording import measure


@pytest.mark.parametrize("kernel", [ExplicitKernel, FunctionalKernel])
def test_the_analytic_solution_is_right_everywhere_with_a_small_loss(kernel):
    trial = trial_of(modulus=97, width=500, data_fraction=0.5, corruption=0.0)
    examples = examples_of(trial)
    made = kernel([trial], [examples], CPU)
    state = made.state()
    u, v, w = (torch.from_numpy(part).float() for part in analytic_weights(97, 500))
    flat = torch.cat([u.t(), v.t(), w])
    state[0]["weights"] = flat if kernel is ExplicitKernel else flat.reshape(1, -1)
    made.load(state)
    (evaluation,) = made.evaluate([0])
    found = measure(examples, evaluation)
    assert found["test_accuracy"] == found["train_accuracy"] == 1.0
    assert evaluation.test_loss == pytest.approx(0.0085, abs=0.001)


def test_its_right_logits_are_near_one_and_the_others_near_zero():
    u, v, w = analytic_weights(97, 500)
    m, n = np.divmod(np.arange(97 * 97), 97)
    scores = ((u[:, m] + v[:, n]) ** 2).T @ w.T
    right = scores[np.arange(len(m)), (m + n) % 97]
    assert right.mean() == pytest.approx(1.0, abs=0.01)
    assert (scores.sum() - right.sum()) / (scores.size - right.size) == pytest.approx(0.0, abs=0.02)


def test_even_moduli_have_no_such_solution():
    with pytest.raises(ValueError, match="modulus 30 is even"):
        analytic_weights(30, 100)
