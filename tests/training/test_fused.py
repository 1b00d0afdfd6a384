"""The fused passes: each against what its words say, the masks of every kernel, and the plain kernel's losses."""

import itertools
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CPU, changed, trial_of
from hypothesis import given
from hypothesis import strategies as st
from oracle import Oracle

from phasemap.training import passes
from phasemap.training.dropout import RESOLUTION, DropoutMasks
from phasemap.training.explicit import ExplicitKernel, block_rows
from phasemap.training.explicit_fused import FusedKernel
from phasemap.training.population import steady_arithmetic, train_pack

KINDS = list(itertools.product(("square", "relu"), ("mse", "cross_entropy"), (0.0, 0.3)))
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45]


def block(seed, rows, width):
    """Draw a block: embedding, tokens in order of the first, what comes back, masks; with some special values."""
    draw = np.random.default_rng(seed)
    embedding = draw.standard_normal((6, width)).astype(np.float32)
    places = draw.integers(embedding.size, size=3)
    embedding.reshape(-1)[places] = draw.choice(SPECIAL, size=3)
    tokens = np.stack([np.sort(draw.integers(3, size=rows)), draw.integers(3, 6, size=rows)], axis=1)
    back = draw.standard_normal((rows, width)).astype(np.float32)
    return embedding, tokens, back, draw.random((rows, width)) < 0.7


@pytest.mark.parametrize("square", [True, False])
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 9), width=st.integers(1, 70))
def test_passes_do_what_their_words_say(square, seed, rows, width):
    embedding, tokens, back, kept = block(seed, rows, width)
    with np.errstate(all="ignore"):
        hidden = embedding[tokens[:, 0]] + embedding[tokens[:, 1]]
        phi = hidden * hidden if square else np.maximum(hidden, 0)  # NaN stays
        change = hidden * back if square else np.where(hidden > 0, back, np.float32(0))
    for mask in (None, kept):
        masks, wanted = ((), np.ones_like(kept)) if mask is None else ((mask,), mask)
        active, gradient = np.empty_like(back), np.ones_like(embedding)
        (passes.activate_kept if masks else passes.activate)(embedding, tokens, active, square, *masks)
        np.testing.assert_array_equal(active, np.where(wanted, phi, np.float32(0)))
        add = passes.add_gradients_kept if masks else passes.add_gradients
        add(embedding, tokens, back, square, gradient, *masks)
        expected = np.ones_like(embedding)
        with np.errstate(all="ignore"):
            for row in range(rows):  # in the order of the rows, as the pass adds them
                for token in tokens[row]:
                    expected[token] += np.where(wanted[row], change[row], np.float32(0))
        np.testing.assert_array_equal(gradient, expected)


@given(
    seed=st.integers(0, 99), step=st.integers(1, 10**6), rows=st.integers(1, 30), width=st.integers(1, 70),
    rate=st.floats(0.001, 0.9999),
)  # fmt: skip
def test_the_masks_are_those_of_every_kernel(seed, step, rows, width, rate):
    masks = DropoutMasks(seed=seed, rate=rate, width=width)
    places = np.random.default_rng(seed).permutation(rows)
    kept = np.empty((rows, width), dtype=np.bool_)
    passes.draw_masks(masks.state(step), masks.threshold - RESOLUTION // 2, places, kept)
    assert torch.equal(torch.from_numpy(kept[places]), masks.mask(masks.numbers(step, rows)).bool())


def losses(result):
    return [value for name in ("train_loss", "test_loss") for value in result.curves[name]]


@pytest.mark.parametrize(("activation", "loss", "dropout"), KINDS)
def test_losses_of_50_steps_are_those_of_the_plain_kernel_and_of_one_plain_network(activation, loss, dropout):
    trial = trial_of(
        trial_id=f"{activation}-{loss}-{dropout}", modulus=23, width=96, steps=50, data_fraction=0.8, corruption=0.1,
        weight_decay=1.0, learning_rate=0.003, activation=activation, loss=loss, dropout=dropout,
    )  # fmt: skip
    fused, plain = (train_pack([trial], device=CPU, kernel=kernel)[0] for kernel in (FusedKernel, ExplicitKernel))
    with steady_arithmetic():
        curves = Oracle(trial).curves()
    expected = [curves[step][name] for name in ("train_loss", "test_loss") for step in fused.steps]
    assert losses(fused) == pytest.approx(losses(plain), rel=1e-4)
    assert losses(fused) == pytest.approx(expected, rel=1e-4)
    assert losses(fused)[-1] != pytest.approx(losses(fused)[0], rel=0.01)  # it did move
    assert (fused.kernel, plain.kernel) == ("explicit_fused", "explicit")


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_networks_of_several_blocks_agree_too(dropout):
    trial = trial_of(modulus=29, width=601, steps=12, data_fraction=0.7, learning_rate=0.003, dropout=dropout)
    assert 1.5 * block_rows(601, 29) < 0.7 * 29 * 29
    others = [trial, changed(trial, seed=3, data_fraction=0.4, trial_id="other")]
    fused, plain = (train_pack(others, device=CPU, kernel=kernel) for kernel in (FusedKernel, ExplicitKernel))
    for one, other in zip(fused, plain, strict=True):
        assert losses(one) == pytest.approx(losses(other), rel=1e-4)


def in_a_process(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow(group="kernels")
def test_what_one_process_compiles_the_next_one_reads(tmp_path):
    code = "from phasemap.training import passes as p; print(*[len(p.activate.stats.cache_hits)])"
    first = in_a_process(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert [first, in_a_process(code, NUMBA_CACHE_DIR=str(tmp_path))] == [["0"], ["1"]]


@pytest.mark.slow(group="kernels")
def test_where_no_folder_can_be_written_each_process_compiles(tmp_path):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.write(Path(passes.__file__), "passes.py")
    code = f"import sys; sys.path.insert(0, {str(packed)!r}); import passes; print(len(passes.draw_masks.signatures))"
    nowhere = "/proc/nowhere"
    assert in_a_process(code, HOME=nowhere, XDG_CACHE_HOME=nowhere) == ["1"]
