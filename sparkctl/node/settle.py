"""The end of a run on a node: what it started is complete, or another's unfinished run is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node import entries, journal, sharedmemory, state
from sparkctl.node.unitid import kind_of

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Recover, Settle


def settle(request: Settle) -> Answer:
    """Record that these `units` (each with its run) are ready, and the shared memory that they use.

    What their runs did is complete, and leaves the journal.
    """
    cluster, found = request["cluster"], entries.of(request["cluster"], root=False)
    for unit, run in request["units"].items():
        state.phase({"cluster": cluster, "unit": unit, "run": run, "phase": "ready"})
        found.close(f"up/{run}", "unit", {"role": kind_of(unit)})
        found.close(f"up/{run}", "files")
    return sharedmemory.note({"cluster": cluster})


def recover(request: Recover) -> Answer:
    """Take back what runs that ended early have started and nobody keeps.

    `keep` has the units that go on, each with its run. Returns as journal.take_back.
    """
    cluster = request["cluster"]
    kept = {(run, kind_of(unit)) for unit, run in request["keep"].items()}
    chosen = [
        entry
        for entry in journal.readable(entries.of(cluster, root=False))
        if entry.undo == "unit" and entry.is_of("up") and not entry.done
        if (entry.owner.partition("/")[2], entry.data.get("role")) not in kept
    ]
    return journal.undone(cluster, chosen, root=False)
