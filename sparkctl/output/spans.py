"""Lengths of time as a person reads them."""

from __future__ import annotations

from sparkctl.ages import HOUR, MINUTE


def elapsed(seconds: float) -> str:
    """A running clock's or a long step's time: `8 s`, `12 min 05 s`, `2 h 05 min`."""
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"


def duration(seconds: float) -> str:
    """What a step took: `8.3 s`, from a minute on as `elapsed`."""
    return f"{seconds:.1f} s" if seconds < MINUTE else elapsed(seconds)
