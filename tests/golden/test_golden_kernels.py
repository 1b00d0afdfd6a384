"""The explicit kernels compute what they did: to the bit on the golden files' processor and libraries."""

import copy

import pytest
from golden_files import names
from golden_kernels import FUSED, GOLDEN, compare, file_name


@pytest.mark.parametrize("golden", GOLDEN, ids=names(GOLDEN))
def test_a_kernel_computes_what_it_did(golden):
    if "fused" in golden.name:
        pytest.importorskip("numba")
    golden.check()


@pytest.mark.parametrize("name", FUSED)
def test_the_fused_kernel_was_as_near_to_the_plain_one_as_another_machine(name):
    by_name = {golden.name: golden for golden in GOLDEN}
    plain, fused = (by_name[file_name(name, fused=fused)].read() for fused in (False, True))
    assert (plain["kernel"], fused["kernel"]) == ("explicit", "explicit_fused")
    assert not compare(plain, elsewhere(fused) | {"kernel": "explicit"})


def elsewhere(content):
    return copy.deepcopy(content) | {"environment": {"processor": "another"}, "weights_sha256": "other bits"}


def test_the_last_bit_counts_where_processor_and_libraries_are_the_same():
    content = GOLDEN[0].read()
    other = copy.deepcopy(content)
    other["curves"]["test_loss"][10] *= 1 + 2**-52
    assert not compare(content, content)
    assert [text.partition(":")[0] for text in compare(content, other)] == ["curves.test_loss[10]"]
    assert compare(content, content | {"weights_sha256": "other bits"})


def test_elsewhere_curves_are_compared_within_a_tolerance_and_nothing_else_is():
    content = GOLDEN[0].read()
    other = elsewhere(content)
    assert not compare(content, other)
    other["curves"]["test_loss"][10] *= 1 + 5e-5
    assert not compare(content, other)
    other["curves"]["test_loss"][10] *= 1 + 2e-4
    assert len(compare(content, other)) == 1
    assert len(compare(content, elsewhere(content) | {"n_corrupted": 3})) == 1
    other = elsewhere(content)
    other["curves"]["memorized_accuracy"][-1] = "nan"
    del other["curves"]["train_loss"][3]
    assert len(compare(content, other)) == 2
