"""`logs`: the files that Ray's start and vLLM write on a node, read or followed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sparkctl.cluster.session import Session
from sparkctl.cluster.watch import DAY
from sparkctl.inventory.models import Node
from sparkctl.remote import nodecall


def read_log(session: Session, node: Node, what: str, *, lines: int, follow: bool) -> Iterator[str]:
    """Pieces of the log's text: its last `lines` lines, then, with `follow`, what comes."""
    command = nodecall.call(
        "follow.follow",
        {
            "cluster": session.inventory.cluster,
            "unit": what,
            "lines": lines,
            "follow": follow,
        },
        timeout=DAY,
        mutates=False,
        title=f"reading the {what} log",
    )
    with session.pool.connections[node.name].stream(command) as stream:
        for line in stream:
            event = json.loads(line) if line is not None else {}
            if "text" in event:
                yield event["text"]
