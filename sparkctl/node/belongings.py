"""What a cluster has left on this node, and whether another account has one of its name here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, lease, processes, running, state, users

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Belongings


def belongings(request: Belongings) -> Answer:
    """As `of`, which a probe has among its facts."""
    return of(request, processes.table(request["cluster"]))


def of(request: Belongings, table: list[processes.Process]) -> Answer:
    """`exists`: whether the state directory, at `path`, has more than a lease; the `lease`'s holder
    if it is not the caller's; whether `temp_dir` exists, and its owner; `others`: processes of
    another account's cluster of this name; the texts of the `files` in `names`; this account's
    `uid`.
    """
    base, temporary = files.home(request["cluster"]), Path(request["temp_dir"])
    return {
        "exists": base.is_dir() and not {*os.listdir(base)} <= {*lease.OWN, state.GUARD},
        "path": str(base),
        "lease": lease.held(request["cluster"], but=request.get("lease")),
        "temp_dir": temporary.is_dir(),
        "temp_dir_owner": users.owner(temporary),
        "others": running.others(request["cluster"], table),
        "files": files.read(request),
        "uid": os.getuid(),
    }
