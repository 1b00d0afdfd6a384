"""Libraries that a test needs and the development extra may lack."""

import os
from importlib.util import find_spec

import pytest


def need(*libraries):
    """Skip where a library of the extra ``adapters`` is missing; fail where PHASEMAP_REQUIRE_ADAPTERS is 1."""
    lacking = [name for name in libraries if not _is_there(name)]
    if lacking:
        message = f"{', '.join(lacking)} missing (pip install 'phasemap[adapters]', or make adapters)"
        if os.environ.get("PHASEMAP_REQUIRE_ADAPTERS") == "1":
            pytest.fail(message)
        pytest.skip(message)


def _is_there(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of what is above it
        return False
