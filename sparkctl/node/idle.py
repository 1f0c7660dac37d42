"""Waiting until an engine has no request, by its /metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sparkctl.node import completion

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Ask

COUNTS = ("num_requests_running", "num_requests_waiting")


def idle(request: Ask) -> Answer:
    """Wait until the engine at `base` has no request, `timeout` seconds at most.

    Returns the `requests` that are left; null if the metrics do not show them, which ends the wait.
    """
    deadline = time.monotonic() + request.get("timeout", 0.0)
    while True:
        found = completion.metrics(request)
        known = [found[name] for name in COUNTS if name in found] if found else []
        left = int(sum(known)) if known else None
        if not left or time.monotonic() >= deadline:
            return {"requests": left}
        time.sleep(completion.LOOK)
