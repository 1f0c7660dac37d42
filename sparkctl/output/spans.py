"""Lengths of time as a person reads them."""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86_400
RECORDED = "%Y-%m-%d %H:%M:%S %z"  # how nodes' records and leases have a moment


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


def age(seconds: float) -> str:
    """How long ago, in one unit: `8 s`, `12 min`, `3 h`, `5 d`; the future is `0 s`."""
    whole = max(0, int(seconds))
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def ago(when: str, now: float) -> str:
    """How long before `now` a recorded moment was, such as `12 min ago`; what is no moment as it
    is.
    """
    try:
        moment = datetime.strptime(when, RECORDED)
    except ValueError:
        return when
    return f"{age(now - moment.timestamp())} ago"
