"""What a long operation reports while it runs; output/ prints it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from sparkctl.errors import Interrupted

Outcome = Literal["done", "failed", "interrupted"]


class Wait(NamedTuple):
    """What a node is waited for, and since when (time.monotonic)."""

    what: str
    node: str
    since: float


class Doing(NamedTuple):
    """What a step or a part of it does, and how much of it is done; for people also a `detail` of
    this moment, and how long it takes as a rule.
    """

    title: str
    percent: int | None = None
    detail: str = ""
    usual: str = ""


class Reporter(Protocol):
    """Takes the progress of a long operation.

    A step may have parts, of a node or a service each, which go on at once.
    """

    def step(self, title: str) -> None:
        """A step begins; the one before is done, unless it has ended."""

    def stage(self, doing: Doing) -> None:
        """Progress within the step."""

    def part(self, name: str, doing: Doing) -> None:
        """Progress of a part, from now on."""

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        """A part has ended, with this result."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def end(self, outcome: Outcome = "done") -> None:
        """The running step ends with this outcome; no step may be running."""


def outcome_of(error: BaseException) -> Outcome:
    """The outcome of a step that raised this error."""
    return "interrupted" if isinstance(error, (KeyboardInterrupt, Interrupted)) else "failed"
