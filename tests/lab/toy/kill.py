"""Ends this process as kill -9 does, at one of the calls by which it changes nodes."""

from __future__ import annotations

import os
import signal
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.node.calls import CALLS
from sparkctl.operations.session import Session

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node

KILL_AT = "SPARKCTL_TEST_KILL_AT"  # the number of a point, from 1, or a pattern of its line
POINTS = "SPARKCTL_TEST_POINTS"  # a file to which each point is appended
RENEWAL = "lease.renew"  # by time, so that it would change the numbers


def arm() -> None:
    """Count the points before and after each call that changes a node, and die at KILL_AT."""
    at, listed = os.environ.get(KILL_AT), os.environ.get(POINTS)
    ask, lock, passed = Session.ask, threading.Lock(), [0]

    def point(what: str) -> None:
        with lock:
            passed[0] += 1
            if listed:
                with Path(listed).open("a", encoding="utf-8") as file:
                    file.write(f"{what}\n")
            if at and (at == str(passed[0]) or fnmatch(what, at)):
                os.kill(os.getpid(), signal.SIGKILL)

    def counted(self: Session, node: Node, call: Call[Any], *args: Any, **options: Any) -> Any:
        if not CALLS[call.target].mutates or call.target == RENEWAL:
            return ask(self, node, call, *args, **options)
        point(f"before {call.target} on {node.name}")
        answer = ask(self, node, call, *args, **options)
        point(f"after {call.target} on {node.name}")
        return answer

    if at or listed:
        Session.ask = counted  # type: ignore[method-assign]  # so that the product has no test code
