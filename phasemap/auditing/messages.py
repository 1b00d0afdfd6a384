"""Every sentence of an audit's page and messages, by language and code, and what an audit noticed and tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml


@lru_cache(maxsize=2)
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return a language's texts: ``notices``, ``actions`` and ``page``, templates by their codes."""
    content: Mapping[str, Mapping[str, str]] = yaml.safe_load(
        (Path(__file__).parent / "texts_data" / f"{language}.yaml").read_text(encoding="utf-8")
    )
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One remark: its code, by which the texts in each language are found, and the values that they name."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, language: str) -> str:
        """Return the remark in a language."""
        return texts(language)["notices"][self.code].format(**self.values)

    def as_json(self) -> dict[str, Any]:
        """Return the remark as audit.json holds it."""
        return {"code": self.code, **self.values, "text": self.text("en")}
