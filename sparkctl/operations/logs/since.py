"""A time in the past, as `--since` takes it: kept as a duration, as no clock is like another."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime

from sparkctl.errors import UsageError

SPAN = re.compile(r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
UNITS = (86_400, 3600, 60, 1)  # seconds
ON_ITS_WAY = 5.0  # seconds that a request may take to a node: lines too many, none too few


@dataclass(frozen=True)
class Since:
    """A time of this machine's monotonic clock."""

    begin: float

    def seconds(self) -> float:
        """How long ago it was when a request that is sent now reaches a node, or somewhat more.

        The node subtracts it from its own clock.
        """
        return time.monotonic() - self.begin + ON_ITS_WAY


def since(text: str, now: datetime | None = None) -> Since:
    """A time ago such as 90s, 10m or 1h30m, or a time of ISO 8601, of this machine's clock and time
    zone if it names none.

    Raises UsageError for another text, and for a time that is still to come.
    """
    if match := SPAN.fullmatch(text):
        ago = sum(int(n) * unit for n, unit in zip(match.groups("0"), UNITS, strict=True))
        return Since(time.monotonic() - ago)
    try:
        when = datetime.fromisoformat(text).astimezone()
        passed = ((now or datetime.now()).astimezone() - when).total_seconds()
    except (ValueError, OverflowError) as error:
        raise _invalid(f"--since: unknown time {text}", text) from error
    if passed < 0:
        raise _invalid(f"--since: {text} is in the future", text)
    return Since(time.monotonic() - passed)


def _invalid(message: str, text: str) -> UsageError:
    return UsageError(
        message,
        hint="give a time ago such as 90s, 10m, 2h or 1d, or a time such as 2026-07-01T09:30",
        code="since-invalid",
        data={"since": text},
    )
