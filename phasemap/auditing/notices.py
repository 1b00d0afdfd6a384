"""What an audit noticed about the data and tells, without stopping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phasemap.auditing.texts import texts


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
