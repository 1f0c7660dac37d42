"""What works and is most likely a mistake: a text for people, a code and data for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.errors import Data


@dataclass(frozen=True)
class Doubt:
    """One doubtful thing; `code` is stable, `text` is not, `data` holds what it is about."""

    code: str
    text: str
    data: Data = field(default_factory=dict, hash=False)

    def document(self) -> dict[str, object]:
        """The doubt as JSON; part of the contract that scripts rely on."""
        return {"code": self.code, "text": self.text, "data": dict(self.data)}

    def __str__(self) -> str:
        return self.text
