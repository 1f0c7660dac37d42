"""How long ago a recorded moment was, as a person reads it."""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86_400
RECORDED = "%Y-%m-%d %H:%M:%S %z"  # how nodes' records and leases have a moment


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
