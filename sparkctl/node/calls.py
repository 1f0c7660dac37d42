"""What the controller may call on a node: whether it changes the node, and how long it may take."""

from __future__ import annotations

from typing import NamedTuple

DAY = 86_400.0


class Bounds(NamedTuple):
    """Seconds: `timeout` holds unless the caller names another, of `maximum` at most.

    `repeats`: a call that changes the node and was lost with its connection may be made once more,
    even while the first still runs: both together do what one does.
    """

    mutates: bool
    timeout: float
    maximum: float
    repeats: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether a lost call may be made once more; one that only reads may."""
        return self.repeats or not self.mutates


READS = Bounds(mutates=False, timeout=60.0, maximum=60.0)
CHANGES = Bounds(mutates=True, timeout=60.0, maximum=60.0)
REPEATS = CHANGES._replace(repeats=True)
REMOVES = Bounds(mutates=True, timeout=300.0, maximum=600.0, repeats=True)  # some 60,000 files
LEASE = Bounds(mutates=True, timeout=10.0, maximum=10.0, repeats=True)  # by its token
IMAGE = Bounds(mutates=True, timeout=7200.0, maximum=7200.0)  # 50 GB at 7 MB/s
# By module.function. What is not here cannot be called.
CALLS = {
    "belongings.belongings": READS,
    "boxlook.look": Bounds(mutates=False, timeout=60.0, maximum=120.0),
    "claim.claim": REPEATS,
    "clusters.clusters": READS,
    "completion.ask": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
    "files.read": READS,
    "files.write": REPEATS,
    "follow.follow": Bounds(mutates=False, timeout=DAY, maximum=DAY),
    "idle.idle": Bounds(mutates=False, timeout=60.0, maximum=DAY),
    "imageroom.room": READS,
    "imagestream.receive": IMAGE,
    "imagestream.send": IMAGE,
    "imports.imports": Bounds(mutates=False, timeout=120.0, maximum=120.0),
    "inbox.read": READS,
    "inimage.read": READS,
    "install.begin": REMOVES,  # by what it builds
    "install.ended": READS,
    "install.finish": REMOVES,
    "install.look": READS,
    "journal.change": CHANGES,
    "journal.read": READS,
    "journal.take_back": Bounds(mutates=True, timeout=120.0, maximum=600.0),
    "launch.run": Bounds(mutates=True, timeout=60.0, maximum=2 * DAY),
    "launch.start": REPEATS,  # by run and unit
    "lease.free": Bounds(mutates=False, timeout=60.0, maximum=DAY),
    "lease.release": LEASE,
    "lease.renew": LEASE,
    "lease.take": LEASE,
    "look.look": Bounds(mutates=False, timeout=120.0, maximum=2 * DAY),
    "look.recall": Bounds(mutates=False, timeout=30.0, maximum=30.0),
    "nccllines.lines": READS,
    "peers.peers": Bounds(mutates=False, timeout=30.0, maximum=30.0),
    "prepare.prepare": REPEATS,
    "probe.probe": READS,
    "raytable.imported": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
    "raytable.table": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
    "settle.recover": Bounds(mutates=True, timeout=120.0, maximum=600.0, repeats=True),
    "settle.settle": REPEATS,
    "sglangline.parse": Bounds(mutates=False, timeout=120.0, maximum=120.0),
    "state.forget": REPEATS,
    "state.join": REPEATS,
    "stop.clear": REPEATS,
    "stop.remove": REPEATS,
    "stop.stop": Bounds(mutates=True, timeout=60.0, maximum=3600.0, repeats=True),
    "support.read": READS,
    "transient.remove": READS,  # what a call that reads has started
    "verbs.counters": READS,
    "waits.until": Bounds(mutates=False, timeout=60.0, maximum=2 * DAY),
}
