"""The shapes of what node/install.py answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sparkctl.facts.shape import CommandLine, Count, Name, Pid, Rows, Shape, Text, Whole


class VenvUser(Shape):
    """A process that runs from a virtual environment; `cluster` and `unit` are empty if unknown."""

    pid: Pid
    command: CommandLine
    cluster: Text
    unit: Text


class VenvLooked(Shape):
    """What a node has for a virtual environment; `python` is its version, `base_python` that of the
    interpreter `base` which makes it. `free` is in bytes; `left`: an installation is under way, or
    was not completed.
    """

    path: Name
    kind: Literal["absent", "venv", "other"]
    python: Name | None
    versions: Mapping[Name, Name]
    unwritable: Text | None
    base: Name | None
    base_python: Name | None
    ensurepip: bool
    headers: bool
    uv: Name | None
    users: Rows[VenvUser]
    free: Count
    left: bool


class Begun(Shape):
    """What builds a virtual environment, and where; `other` is the cluster that does instead."""

    run: Name
    pid: Pid | None
    started: Count
    log: Name
    new: Name
    other: Name | None


class Built(Shape):
    """How that ended: its exit status, -N for signal N, None if unknown, and its last lines; `free`
    bytes are left on the disk.
    """

    status: Whole | None
    tail: Rows[str]
    free: Count


class Moved(Shape):
    """The log of what was built, now in the virtual environment."""

    log: Name
