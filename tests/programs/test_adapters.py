"""Adapters of libraries: a training that is cut off goes on, and ends as the undisturbed one."""

import random
import runpy
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from conftest import slow
from libraries import need
from program_tools import HEAD
from test_example_studies import EXAMPLES

from phasemap.training.program_context import TrialContext
from phasemap.training.recording import Hooks

pytestmark = pytest.mark.filterwarnings("default")  # those of the libraries' own imports
QUANTITIES = {"train_loss": "loss", "test_accuracy": "accuracy"}


EVALUATED = {"eval_loss": "loss", "eval_accuracy": "accuracy"}
SCORES = ("train_accuracy", "clean_accuracy", "memorized_accuracy", "recovered_accuracy")


class Cut(Exception):
    """The end of a process, in the place of a kill."""


def run(function, saves, quantities, settings, *, go_on=False, most=10**9):
    """Run a trial, which is cut off at the report after ``most``; return its curve and how often it reported."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    around = Hooks(save=saves.append, saved=saves[-1] if go_on else None, save_seconds=0.0)
    trial = TrialContext(seed=1, settings=settings, quantities=quantities, hooks=around)
    report, done = trial.report, []

    def counted(step, **found):
        if len(done) == most:
            raise Cut
        done.append(step)
        report(step, **found)

    trial.report = counted
    with suppress(Cut):
        function(trial, **settings)
    trial.close()
    return {"step": list(trial.record.steps), **trial.record.curves}, len(done)


@pytest.mark.parametrize(
    ("example", "libraries", "quantities", "settings"),
    [
        ("lightning_net", ("lightning",), QUANTITIES, {"epochs": 5, "dropout": 0.3}),
        ("pytorch", (), QUANTITIES | dict.fromkeys(SCORES, "accuracy"), {"epochs": 4, "corruption": 0.3}),
        *slow(
            "programs",
            ("huggingface", ("transformers", "accelerate"), EVALUATED, {"epochs": 4}),
            ("jax_mlp", ("jax", "optax"), QUANTITIES, {"steps": 30}),
        ),
    ],
)  # fmt: skip
def test_a_training_that_is_cut_off_goes_on_and_ends_as_the_undisturbed_one(example, libraries, quantities, settings):
    need(*libraries)
    function = runpy.run_path(str(EXAMPLES / example / "train.py"))["train"]
    whole, reports = run(function, [], quantities, settings)
    saves = []
    cut, before = run(function, saves, quantities, settings, most=2)
    rest, after = run(function, saves, quantities, settings, go_on=True)
    assert (before, after) == (2, reports - 2)
    assert rest == whole
    assert cut["step"] == whole["step"][:2]


def test_a_tree_of_arrays_comes_back_bit_for_bit():
    need("jax")
    import jax
    import jax.numpy as jnp

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
    code = (
        f"{HEAD}import phasemap.adapters, sys\n"
        "print([m for m in ('lightning', 'transformers', 'jax', 'ray', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
