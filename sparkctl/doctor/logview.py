"""NCCL's lines in the running vLLM's log, fetched from the head and read by the log reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.looks import EngineLog
from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.facts.calls import NCCL_LINES

if TYPE_CHECKING:
    from sparkctl.cluster.session import Session
    from sparkctl.inventory.models import Node

# node/nccllines.py gives at most 20,000 lines of 4096 bytes, and 400 more; a byte that is no ASCII
# takes more in JSON, which no log is full of.
LINES_LIMIT = 96 * 2**20


def read(session: Session, node: Node) -> EngineLog:
    """`verdict` on the log of the vLLM that was started last, the log's `path`, `cut`: the last
    line that was read when there are too many, else 0, and `tail`: its last 400 lines.
    """
    answer = session.ask(
        node,
        NCCL_LINES,
        {"unit": "vllm"},
        title="reading vLLM's log",
        limit=LINES_LIMIT,
    )
    path = answer.path
    reader = Reader()
    reader.feed_numbered(path, ((n, text.encode()) for n, text in answer.lines))
    return EngineLog(reader.verdict(), path, answer.cut, answer.tail)
