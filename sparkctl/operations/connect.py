"""Reaching the nodes of an inventory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparkctl.errors import combined
from sparkctl.remote.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.errors import SparkctlError
    from sparkctl.events import Wait
    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.session import Session

Watch = Callable[["Callable[[], Sequence[Wait]]"], object]


@contextmanager
def session(
    inventory: Inventory,
    base: Path,
    *,
    read_only: bool = False,
    partial: bool = False,
    facts: bool = True,
    meanwhile: Callable[[], object] | None = None,
    watch: Watch | None = None,
) -> Iterator[Session]:
    """A session with every node connected, in parallel; closed at the end.

    With `facts` each node's are read as soon as it is connected. `meanwhile` is called while the
    nodes are waited for; `watch` is called before that with Pool.waiting. Raises RemoteError
    naming every node that cannot be reached, unless `partial`.
    """

    making = threading.Lock()
    made: list[Session] = []

    def opened() -> Session:
        """Made once, while the nodes are waited for: what it imports takes as long as a login."""
        with making:
            if not made:
                from sparkctl.operations.session import Session

                made.append(Session(inventory, base, pool))
            return made[0]

    def ready() -> None:
        opened()
        from sparkctl.facts.calls import PROBE, TAKE_LEASE
        from sparkctl.facts.decode import load
        from sparkctl.remote import node_rpc

        # Without facts a command begins with the lease.
        node_rpc.bytecode((PROBE if facts else TAKE_LEASE).target.partition(".")[0])
        if facts:
            load()
        if meanwhile:
            meanwhile()

    pool = Pool(
        inventory,
        read_only=read_only,
        then=(lambda node: opened().probe([node])) if facts else None,
        meanwhile=ready,
    )
    if watch:
        watch(pool.waiting)
    with pool:
        if pool.errors and not partial:
            raise combined(pool.errors, "cannot be reached")
        found = opened()
        found.facts = {n: found.facts[n] for n in pool.connections if n in found.facts}
        yield found


def reach(inventory: Inventory, watch: Watch) -> dict[str, SparkctlError | None]:
    """Connect to every node once: each node's error, None where it was reached.

    `watch` is called as by `session`.
    """
    pool = Pool(inventory, read_only=True)
    watch(pool.waiting)
    with pool:
        return {n.name: pool.errors.get(n.name) for n in inventory.nodes}
