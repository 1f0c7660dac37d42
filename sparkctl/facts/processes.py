"""A node's processes, as it reports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from sparkctl.facts.groups import Build
from sparkctl.facts.shape import (
    Bits,
    CommandLine,
    Count,
    Flag,
    Limit,
    Name,
    Pid,
    Rows,
    Shape,
    Text,
    Time,
    Uid,
)
from sparkctl.node import ranks


class Process(Shape):
    """A process; `started` is in clock ticks since boot, `rank` as in node/ranks.py.

    `unit` is its id (node/units.py), empty if an older sparkctl started it.
    """

    pid: Pid
    ppid: Count
    started: Count
    state: Name
    command: CommandLine
    cluster: Text
    run: Text
    role: Text
    uid: Uid
    rank: Flag
    unit: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _classified(cls, answer: Any) -> Any:
        """Older answers have no `rank`: the title alone decides."""
        if not isinstance(answer, dict) or "rank" in answer:
            return answer
        command = answer.get("command")
        return {**answer, "rank": isinstance(command, str) and ranks.is_worker(command)}


class OurProcess(Process):
    """With what a rank alone has: `memlock`, `capabilities`, `uverbs`, `builds`.

    `libraries` has the version of each libnccl that it maps, `builds` the file's; None is unknown.
    """

    since: Time
    environment: Mapping[Text, Text] | None
    libraries: Mapping[Text, Name | None] | None
    builds: Mapping[Text, Build | None] | None = None
    memlock: Limit | None = None
    capabilities: Bits | None = None
    uverbs: Rows[Name] | None = None
