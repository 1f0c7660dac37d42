"""What of a lab is imitated: said once, below what a command prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def imitated_line(imitated: Sequence[str]) -> str:
    """One line that names all of it; empty for real nodes."""
    return f"imitated: {'; '.join(imitated)}" if imitated else ""
