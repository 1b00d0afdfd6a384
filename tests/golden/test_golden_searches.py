"""Searches ask for what they asked for: each round, by the same seed, with the same answers."""

import pytest
from golden_files import names
from golden_searches import GOLDEN


@pytest.mark.parametrize("golden", GOLDEN, ids=names(GOLDEN))
def test_a_search_asks_for_what_it_asked_for(golden):
    golden.check()
