"""The counter sees what it is there to see: each kind of work by itself, and nothing where there is none."""

import contextlib

import numpy as np
import pytest
import torch
from launches import META, Launches

ROWS = torch.zeros(4, 3, device=META)
ONE = torch.ones(1, device=META)


def counts(work):
    """Return (launches, uploads, downloads, waits, strangers) of some work."""
    with Launches() as seen:
        work()
    return seen.launches, seen.uploads, seen.downloads, seen.waits, len(seen.strangers)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda: ROWS.add_(1), (1, 0, 0, 0, 0)),
        (lambda: torch.mm(ROWS, ROWS.t()), (1, 0, 0, 0, 0)),
        (lambda: ROWS.view(-1)[2:].unsqueeze(0).expand(5, -1).split(2), (0, 0, 0, 0, 0)),
        (lambda: torch.empty_like(ROWS), (0, 0, 0, 0, 0)),
        (lambda: ROWS.t().reshape(-1), (1, 0, 0, 0, 0)),
        (lambda: ROWS.double(), (1, 0, 0, 0, 0)),
        (lambda: torch.vmap(torch.sin)(ROWS), (1, 0, 0, 0, 0)),
        (lambda: ROWS + torch.ones(()), (1, 0, 0, 0, 0)),  # one number travels with the launch
        (lambda: torch.ones(4, 3) + torch.ones(3), (0, 0, 0, 0, 0)),  # not on the device
        (lambda: torch.from_numpy(np.ones(3)).to(META), (0, 1, 0, 0, 0)),
        (lambda: ROWS.copy_(torch.ones(4, 3)), (0, 1, 0, 0, 0)),
        (lambda: torch.tensor([1.0, 2.0], device=META), (0, 1, 0, 0, 0)),
        (lambda: ROWS[[0, 2]], (1, 1, 0, 0, 0)),
        (lambda: ROWS.cpu().numpy(), (0, 0, 1, 0, 0)),
        (lambda: torch.ones(4, 3).copy_(ROWS), (0, 0, 1, 0, 0)),
        (lambda: ROWS.tolist(), (0, 0, 1, 0, 0)),
        (lambda: ONE.item(), (0, 0, 0, 1, 0)),
        (lambda: float(ROWS.sum()), (1, 0, 0, 1, 0)),
        (lambda: 1 if ONE > 0 else 0, (1, 0, 0, 1, 0)),
    ],
)
def test_each_kind_of_work_is_counted_as_what_it_is(work, expected):
    assert counts(work) == expected


@pytest.mark.parametrize("work", [lambda: ROWS.nonzero(), lambda: ROWS[ROWS > 0], lambda: ROWS.unique()])
def test_results_whose_shape_depends_on_numbers_are_waits(work):
    with Launches() as seen, pytest.raises((NotImplementedError, RuntimeError)):
        work()  # which meta, having no numbers, refuses
    assert seen.waits == 1


@pytest.mark.parametrize(
    "work", [lambda: ROWS + torch.ones(3), lambda: ROWS[torch.tensor([0])], lambda: torch.mm(ROWS, torch.ones(3, 2))]
)
def test_operands_on_two_devices_are_named(work):
    with Launches() as seen, contextlib.suppress(RuntimeError):  # some operations see it themselves
        work()
    assert seen.strangers


def test_what_is_read_from_meta_are_made_up_numbers():
    with Launches():
        assert ROWS.cpu().tolist() == [[0.0] * 3] * 4
        assert ONE.int().item() == 1
        assert torch.ones(4, 3).copy_(ROWS).sum() == 0
