"""Which line of pam_limits' files gives a user the limit of locked memory; pure.

Read from Linux-PAM 1.5.2 to 1.7, modules/pam_limits/pam_limits.c: /etc/security/limits.conf first,
then limits.d by name; a user's line wins over a group's, and that over `*`; of equal ones the last
wins; `-` sets soft and hard, and soft is at most hard. A line that exempts the user from all limits
ends everything. Debian and Ubuntu apply only lines that name root to root.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.facts.hostgroups import LimitFiles, LimitLine

UNLIMITED = -1
UNLIMITED_WORDS = ("unlimited", "infinity", "-1", "-")
RANGE = re.compile(r"(@?)(\d*):(\d*)")


class Rank(IntEnum):
    """How near a line's domain is to the user; the nearest wins."""

    ANYBODY = 1
    GROUP = 2
    USER = 3


def rank(line: LimitLine, files: LimitFiles, user: str, uid: int) -> Rank | None:
    """How the domain of a line names the user; None if it does not."""
    domain = line.domain
    if domain == user:
        return Rank.USER
    if uid == 0:
        return None
    if match := RANGE.fullmatch(domain):
        group, low, high = match.groups()
        ids = files.gids if group else (uid,)
        return (Rank.GROUP if group else Rank.USER) if _within(ids, low, high) else None
    if domain.startswith("@"):
        return Rank.GROUP if domain[1:] in files.groups else None
    return Rank.ANYBODY if domain == "*" else None


def _within(ids: Iterable[int], low: str, high: str) -> bool:
    """`:5` is 5 alone, `5:` is 5 and above (limits.conf(5))."""
    first = int(low or high or -1)
    return any(first <= i and (not high or i <= int(high)) for i in ids)


def deciding(files: LimitFiles, user: str, uid: int) -> tuple[LimitLine, ...]:
    """The lines that give the user's soft and hard limit, often one line for both; or the line that
    exempts the user. None if no line is about the user.
    """
    soft: tuple[Rank, LimitLine] | None = None
    hard = soft
    for line in files.lines:
        its = rank(line, files, user, uid)
        if its is None:
            continue
        if line.value is None:
            if its is not Rank.ANYBODY:
                return (line,)
            continue
        if value(line) is None:
            continue
        if line.type in ("soft", "-") and (soft is None or its >= soft[0]):
            soft = its, line
        if line.type in ("hard", "-") and (hard is None or its >= hard[0]):
            hard = its, line
    found = [entry[1] for entry in (soft, hard) if entry is not None]
    return tuple(dict.fromkeys(found))


def lowest(lines: Iterable[LimitLine]) -> int:
    """The limit that these lines give together, in bytes or UNLIMITED."""
    limits = [limit for limit in map(value, lines) if limit is not None and limit != UNLIMITED]
    return min(limits, default=UNLIMITED)


def value(line: LimitLine) -> int | None:
    """The limit of a line in bytes, UNLIMITED, or None for what pam_limits skips."""
    if line.value in UNLIMITED_WORDS:
        return UNLIMITED
    match = re.match(r"\d+", line.value or "")
    return int(match[0]) * 1024 if match else None
