"""Verdicts of claims on the stored runs are those that were frozen."""

import re
from collections import Counter

import pytest
from golden_claims import CLAIMS, GOLDEN
from golden_files import names

TERMS = ("area", "mean", "min", "max", "median", "share", "correlation", "frontier")


@pytest.mark.parametrize("golden", GOLDEN, ids=names(GOLDEN))
def test_no_verdict_has_changed(golden):
    golden.check()


def test_each_term_has_a_verdict_that_is_decided_and_all_verdicts_occur():
    results = [result for golden in GOLDEN for result in golden.read()]
    assert {result["claim"] for result in results} == {text for claims in CLAIMS.values() for text in claims}
    assert min(Counter(result["verdict"] for result in results)[v] for v in ("holds", "fails", "undecided")) >= 5
    decided = {t for r in results if r["verdict"] != "undecided" for t in re.findall(r"(\w+)\(", r["claim"])}
    assert decided == set(TERMS)
