"""What a long operation reports while it runs; output/ shows it."""

from __future__ import annotations

from typing import Literal, Protocol

from sparkctl.errors import Interrupted

Outcome = Literal["done", "failed", "interrupted"]


class Reporter(Protocol):
    """What a long operation tells while it runs."""

    def step(self, title: str) -> None:
        """A step begins; the one before is done, unless it has ended."""

    def stage(self, title: str, percent: int | None) -> None:
        """Progress within the step."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def end(self, outcome: Outcome = "done") -> None:
        """The running step ends so; nothing happens when none runs."""


def outcome_of(error: BaseException) -> Outcome:
    """How a step ended that this error left."""
    return "interrupted" if isinstance(error, (KeyboardInterrupt, Interrupted)) else "failed"
