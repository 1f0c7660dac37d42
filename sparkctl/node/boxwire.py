"""Requests for programs in containers, for the type checker alone (see wire.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Program(TypedDict):
    """A program's command line, and what it gets as stdin."""

    argv: Sequence[str]
    stdin: str


class BoxLook(Program):
    """What runs a program in a container, with a limit in seconds."""

    seconds: float
