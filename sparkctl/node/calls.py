"""What the controller may call on a node: whether it changes the node, and how long it may take."""

from __future__ import annotations

from typing import NamedTuple

DAY = 86_400.0


class Bounds(NamedTuple):
    """Seconds: `timeout` holds unless the caller names another, of `maximum` at most."""

    mutates: bool
    timeout: float
    maximum: float


READS = Bounds(mutates=False, timeout=60.0, maximum=60.0)
CHANGES = Bounds(mutates=True, timeout=60.0, maximum=60.0)
# By module.function. What is not here cannot be called.
CALLS = {
    "change.run": CHANGES,
    "completion.ask": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
    "files.read": READS,
    "files.write": CHANGES,
    "follow.follow": Bounds(mutates=False, timeout=DAY, maximum=DAY),
    "idle.idle": Bounds(mutates=False, timeout=60.0, maximum=DAY),
    "imports.imports": Bounds(mutates=False, timeout=120.0, maximum=120.0),
    "launch.run": Bounds(mutates=True, timeout=60.0, maximum=2 * DAY),
    "launch.start": CHANGES,
    "lease.free": Bounds(mutates=False, timeout=60.0, maximum=DAY),
    "lease.release": Bounds(mutates=True, timeout=10.0, maximum=10.0),
    "lease.renew": Bounds(mutates=True, timeout=10.0, maximum=10.0),
    "lease.take": Bounds(mutates=True, timeout=10.0, maximum=10.0),
    "nccllines.lines": READS,
    "peers.peers": Bounds(mutates=False, timeout=30.0, maximum=30.0),
    "probe.probe": READS,
    "raytable.table": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
    "sharedmemory.note": CHANGES,
    "state.check": READS,
    "state.forget": CHANGES,
    "state.join": CHANGES,
    "state.phase": CHANGES,
    "stop.clear": CHANGES,
    "stop.remove": CHANGES,
    "stop.stop": Bounds(mutates=True, timeout=60.0, maximum=3600.0),
    "verbs.counters": READS,
    "waits.until": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
}
