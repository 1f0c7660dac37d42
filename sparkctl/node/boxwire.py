"""Requests for programs in containers, for the type checker alone (see wire.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Program(TypedDict):
    """A program's command line, and what it gets as stdin."""

    argv: Sequence[str]
    stdin: str


class Transient(TypedDict):
    """A container, by its name, and the engine that has it."""

    tool: str
    container: str


class BoxLook(Program):
    """What runs a program in a container, with a limit in seconds; `container` is the name of the
    one that it starts, if it does.
    """

    seconds: float
    container: str
