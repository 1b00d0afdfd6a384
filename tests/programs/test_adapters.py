"""Adapters of libraries: a training that is cut off goes on, and ends as the undisturbed one."""

import pytest
from program_tools import HEAD
from test_examples import need

from phasemap.training.program_context import Surroundings, TrialContext

pytestmark = pytest.mark.filterwarnings("default")  # those of the libraries' own imports
QUANTITIES = {"train_loss": "loss", "test_accuracy": "accuracy"}


class Cut(Exception):
    """The end of a process, in the place of a kill."""


def curves(code, name, *, quantities, cut_at, **settings):
    """Return the curves of an undisturbed trial, of one that is cut off after some reports, and of its rest."""
    import random

    import numpy as np
    import torch

    function, found = code[name], []
    saves = []
    for saved, most in ((None, None), (None, cut_at), ("last", None)):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        keep = Surroundings(save=saves.append, saved=saves[-1] if saved else None, save_seconds=0.0)
        trial = TrialContext(seed=1, settings=settings, quantities=quantities, surroundings=keep)
        if most:
            trial.report = cutting(trial.report, most)
        try:
            function(trial, **settings)
        except Cut:
            pass
        finally:
            trial.close()
        found.append({"step": list(trial.record.steps), **trial.record.curves})
        if not most:
            saves = saves if saved else []
    return found


def cutting(report, most):
    """Let a trial report so often, and end it at the next report: what follows the last state is lost."""
    done = []

    def counted(step, **found):
        done.append(step)
        if len(done) > most:
            raise Cut
        report(step, **found)

    return counted


@pytest.mark.parametrize(
    ("example", "libraries", "quantities", "settings"),
    [
        ("lightning_net", ("lightning",), QUANTITIES, {"epochs": 5, "dropout": 0.3}),
        ("huggingface", ("transformers", "accelerate"), {"eval_loss": "loss", "eval_accuracy": "accuracy"}, {"epochs": 4}),
        ("jax_mlp", ("jax", "optax"), QUANTITIES, {"steps": 30}),
        ("pytorch", (), QUANTITIES_OF_SCORE := {**QUANTITIES, **dict.fromkeys(("train_accuracy", "clean_accuracy", "memorized_accuracy", "recovered_accuracy"), "accuracy")}, {"epochs": 4, "corruption": 0.3}),
    ],
)  # fmt: skip
def test_a_training_that_is_cut_off_ends_as_the_undisturbed_one(example, libraries, quantities, settings):
    need(libraries)
    import runpy

    from test_examples import EXAMPLES

    code = runpy.run_path(str(EXAMPLES / example / "train.py"))
    whole, cut, rest = curves(code, "train", quantities=quantities, cut_at=2, **settings)
    assert len(cut["step"]) == 2 < len(whole["step"])
    assert rest == whole


def test_a_tree_of_arrays_comes_back_bit_for_bit():
    need(("jax",))
    import jax
    import jax.numpy as jnp
    import numpy as np

    from phasemap.adapters.jax import Kept

    tree = {"a": jnp.arange(3, dtype=jnp.bfloat16) / 7, "key": jax.random.key(3), "n": [np.arange(4), 2, 0.1, True]}
    saved = Kept(tree).state_dict()
    kept = Kept({"a": jnp.zeros(3, jnp.bfloat16), "key": jax.random.key(0), "n": [np.zeros(4, int), 0, 0.0, False]})
    kept.load_state_dict(saved)
    assert kept.tree["a"].dtype == jnp.bfloat16
    assert (kept.tree["a"] == tree["a"]).all()
    assert jax.random.normal(kept.tree["key"]) == jax.random.normal(tree["key"])
    assert kept.tree["n"][1:] == [2, 0.1, True]
    assert (kept.tree["n"][0] == tree["n"][0]).all()


def test_nothing_heavy_is_imported_before_it_is_used():
    import subprocess
    import sys

    code = (
        f"{HEAD}import phasemap.adapters, sys\n"
        "print([m for m in ('lightning', 'transformers', 'jax', 'ray', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
