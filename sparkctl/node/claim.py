"""The lease and the facts of a node in one call: nothing read before the lease is trusted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sparkctl.node import lease, probe

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Claim


def claim(request: Claim) -> Answer:
    """Take the lease and, if that succeeds, read the facts.

    Returns `taken` as of lease.take, and `facts` as of probe.probe, null where another has the
    lease. One that a slow probe has used up is renewed, as the caller cannot do that meanwhile.
    """
    begun, take = time.monotonic(), request["take"]
    taken = lease.take(take)
    if taken["holder"] or taken["shared"]:
        return {"taken": taken, "facts": None}
    facts = probe.probe(request["probe"])
    if not taken["unwritten"] and time.monotonic() - begun > take["seconds"] / 3:
        renewed = lease.renew(take)
        taken = {**taken, "holder": renewed["holder"]}
    return {"taken": taken, "facts": facts}
