"""Settings: what a trial can be told, each declared once with its name, place in the file, type, range and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from phasemap.study.values import adapter


class Section(BaseModel):
    """A part of a study: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One trial setting: its flat name, where it stands in the file, and what it accepts."""

    name: str
    section: str
    key: str
    field: FieldInfo

    @property
    def path(self) -> str:
        """Where it stands in the file where it is not an axis: ``training.steps``."""
        return f"{self.section}.{self.key}"

    @property
    def default(self) -> Any:
        """The default value, or None where the file must give one."""
        return None if self.field.is_required() else self.field.default

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """A validator for one value of this setting."""
        return adapter(self.field)

    @property
    def number(self) -> bool:
        """Whether every value of this setting is one number."""
        return self.numeric and not any(kind in str(self.field.annotation) for kind in ("tuple", "list"))

    @property
    def numeric(self) -> bool:
        """Whether values of this setting can be put on a numeric scale."""
        return "Literal" not in str(self.field.annotation) and any(
            kind in str(self.field.annotation) for kind in ("int", "float")
        )


def settings_of(sections: Mapping[str, type[Section]]) -> dict[str, Setting]:
    """Return the settings that sections declare, by their flat names: the keys, but a section's name for its kind.

    How a setting changes, in the section ``schedule``, is called by that setting: ``weight_decay_schedule``.
    """
    declared = {}
    for section, model in sections.items():
        for key, field in model.model_fields.items():
            name = section if key == "kind" else f"{key}_schedule" if section == "schedule" else key
            declared[name] = Setting(name=name, section=section, key=key, field=field)
    return declared
