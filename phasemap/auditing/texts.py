"""Every sentence of an audit's page and messages, by language and code; they stand in texts_data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import yaml

LANGUAGES = ("en", "ja")


@lru_cache(maxsize=2)
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return a language's texts: ``notices``, ``actions`` and ``page``, templates by their codes."""
    content: Mapping[str, Mapping[str, str]] = yaml.safe_load(
        (Path(__file__).parent / "texts_data" / f"{language}.yaml").read_text(encoding="utf-8")
    )
    return content
