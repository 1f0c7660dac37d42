"""What `doctor --fix` would change and did change, on stderr: stdout has the findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_err

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.fix import Outcome, Planned
    from sparkctl.doctor.unfinished import Reverted
    from sparkctl.errors import SparkctlError


def print_planned(changes: Sequence[Planned | Reverted]) -> None:
    """Print the changes before anybody is asked."""
    for change in changes:
        print_err(f"would: {change}")
    if not changes:
        print_err("nothing to fix")


def print_unread(errors: Sequence[SparkctlError]) -> None:
    """Print which nodes may have unfinished changes, and why that is not known."""
    for error in errors:
        print_err(f"FAILED: {error}: read which changes are unfinished")


def print_reverted(changes: Sequence[Reverted]) -> None:
    """Print what became of the unfinished changes."""
    for change in changes:
        print_err(str(change) if change.error else f"done: {change}")


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print what became of each change."""
    for outcome in outcomes:
        print_err(str(outcome))
