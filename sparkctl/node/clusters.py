"""Every cluster that this account has on this node, and signs of other accounts' clusters."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, lease, processes, state, users

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Json

MOST = 50  # clusters, and of other accounts
PROCESSES = 500  # of one cluster
RECORD = 2**20  # bytes of a cluster's record
TEMPORARY = Path("/tmp")  # where plan/paths.py has each cluster's own directory
PREFIX = "sparkctl-"
NAME = re.compile(r"[a-z0-9-]{1,32}")  # of a cluster, as inventory/models.py has it


def clusters(_: Answer) -> Answer:
    """`clusters`: of this account by name, with `record` (the text of applied.json), the `lease`'s
    holder and `processes` as the probe's; `unread`: why its files could not be read.

    `others`: clusters of other accounts, by the owner of their directory in /tmp or by their
    processes' marks as far as these can be read: uid, user, cluster and the number of `processes`.
    """
    base = Path.home() / ".sparkctl"
    table = processes.table()
    running = {p.cluster for p in table if p.cluster and p.state not in "ZX"}
    named = {p.name for p in base.iterdir() if p.is_dir()} if base.is_dir() else set()
    names = sorted(n for n in named | running if NAME.fullmatch(n))
    return {
        "clusters": [_cluster(name) for name in names[:MOST]],
        "left_out": max(0, len(names) - MOST),
        "others": _others(table)[:MOST],
    }


def _cluster(name: str) -> Answer:
    found: dict[str, Json] = {"record": None, "lease": None, "unread": None}
    try:
        path = files.home(name) / state.NAME
        if path.is_file():
            with path.open("rb") as stream:
                found["record"] = stream.read(RECORD + 1)[:RECORD].decode(errors="replace")
        found["lease"] = lease.held(name)
    except OSError as error:
        found["unread"] = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return {"name": name, **found, "processes": _processes(name)}


def _processes(name: str) -> list[Answer]:
    boot, tick = processes.boot_time(), os.sysconf("SC_CLK_TCK")
    unlooked: Answer = {"environment": None, "libraries": {}}
    own = processes.ours(name)[:PROCESSES]
    return [{**p.document(), "since": boot + p.started / tick, **unlooked} for p in own]


def _others(table: list[processes.Process]) -> list[Answer]:
    counts: dict[tuple[int, str], int] = {}
    for process in table:
        if process.claims and process.state not in "ZX":
            key = (process.uid, process.claims.partition("/")[0])
            counts[key] = counts.get(key, 0) + 1
    for path in TEMPORARY.glob(f"{PREFIX}*"):
        uid = path.lstat().st_uid
        if path.is_dir() and uid != os.getuid():
            counts.setdefault((uid, path.name[len(PREFIX) :]), 0)
    return [
        {"uid": uid, "user": users.name(uid), "cluster": cluster, "processes": count}
        for (uid, cluster), count in sorted(counts.items())
        if NAME.fullmatch(cluster)
    ]
