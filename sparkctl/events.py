"""What a long operation reports while it runs; output/ prints it."""

from __future__ import annotations

from typing import Literal, Protocol

from sparkctl.errors import Interrupted

Outcome = Literal["done", "failed", "interrupted"]


class Reporter(Protocol):
    """Takes the progress of a long operation."""

    def step(self, title: str) -> None:
        """A step begins; the one before is done, unless it has ended."""

    def stage(self, title: str, percent: int | None) -> None:
        """Progress within the step."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def end(self, outcome: Outcome = "done") -> None:
        """The running step ends with this outcome; no step may be running."""


def outcome_of(error: BaseException) -> Outcome:
    """The outcome of a step that raised this error."""
    return "interrupted" if isinstance(error, (KeyboardInterrupt, Interrupted)) else "failed"
