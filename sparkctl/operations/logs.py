"""`logs`: the files that Ray's start and vLLM write on a node, read or followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.facts.calls import FOLLOW
from sparkctl.facts.decode import decode
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session


def read_log(
    session: Session, node: Node, what: str, *, lines: int | None, follow: bool
) -> Iterator[str]:
    """Pieces of the log's text: its last `lines` lines, None for all that is kept of it, then, with
    `follow`, what comes.
    """
    command = node_rpc.call(
        FOLLOW.target,
        {
            "cluster": session.inventory.cluster,
            "unit": what,
            **({"all": True} if lines is None else {"lines": lines}),
            "follow": follow,
        },
        title=f"read the {what} log",
    )
    with session.pool.connections[node.name].stream(command) as stream:
        for line in stream:
            event = decode(FOLLOW, line.encode(), node.name, command.title) if line else None
            if event and event.text:
                yield event.text
