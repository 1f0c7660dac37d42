"""Waiting on a node until a change has taken effect."""

from __future__ import annotations

WAIT = 15  # seconds for a change to take effect; a serving node is the slowest


def until(condition: str) -> list[str]:
    """The argv that waits until a shell command succeeds, for at most WAIT seconds."""
    return ["timeout", f"{WAIT}", "sh", "-c", f"until {condition}; do sleep 0.02; done"]
