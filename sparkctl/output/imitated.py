"""What of a lab is imitated: said once, below what a command prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def imitated_line(imitated: Sequence[str]) -> str:
    """One line that names all of it, without how; empty for real nodes.

    A part is `WHAT: how` or `WHAT, when: how` (lab/spec.py); the JSON document and `lab status`
    have it whole.
    """
    names = ", ".join(what.partition(":")[0].partition(",")[0] for what in imitated)
    return f"imitated: {names}" if names else ""


def imitated_lines(imitated: Sequence[str]) -> list[str]:
    """A line for each part, with how it is imitated, below a title."""
    return ["imitated:", *(f"    {what}" for what in imitated)] if imitated else []
