"""Requests for logs, for the type checker alone (see wire.py)."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Log(TypedDict):
    """A log: by its path, or the last one of a unit of a cluster."""

    path: NotRequired[str]
    cluster: NotRequired[str]
    unit: NotRequired[str]


class Position(TypedDict):
    """How far a log was read; `begins` is of its first bytes, see node/follow.py."""

    path: str
    offset: int
    begins: str


class Follow(Log):
    """Where to begin reading, and the process to watch."""

    at: NotRequired[Position]
    offset: NotRequired[int]
    lines: NotRequired[int]
    all: NotRequired[bool]
    since: NotRequired[float]
    follow: NotRequired[bool]
    pid: NotRequired[int]
    started: NotRequired[int]
