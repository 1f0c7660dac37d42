"""NCCL's lines in the running engine's log, fetched from the head and judged by the log reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.looks import EngineLog
from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.facts.calls import NCCL_LINES

if TYPE_CHECKING:
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session

# node/nccllines.py returns at most 20,000 lines of 4096 bytes, and some 6000 of 2048; bytes outside
# ASCII take more in JSON, but are rare in logs.
LINES_LIMIT = 112 * 2**20


def read(session: Session, node: Node, kind: str, title: str) -> EngineLog:
    """The log of the engine that was started last, a unit of this kind."""
    answer = session.ask(
        node,
        NCCL_LINES,
        {"unit": kind},
        title=f"reading {title}'s log",
        limit=LINES_LIMIT,
    )
    path = answer.path
    reader = Reader()
    reader.feed_numbered(path, ((n, text.encode()) for n, text in answer.lines))
    return EngineLog(reader.verdict(), path, answer.cut, answer.tail, answer.errors)
