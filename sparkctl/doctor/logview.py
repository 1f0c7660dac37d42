"""NCCL's lines in the logs of the running engine, judged together by the log reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.looks import EngineLog
from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.facts.calls import NCCL_LINES
from sparkctl.remote.fanout import check_all, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.facts.answers import Lines
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session

# node/nccllines.py returns at most 20,000 lines of 4096 bytes, and some 6000 of 2048; bytes outside
# ASCII take more in JSON, but are rare in logs.
LINES_LIMIT = 112 * 2**20


def read(session: Session, nodes: Sequence[Node], kind: str, title: str) -> EngineLog:
    """The log of the engine that was started last, by units of this kind on these nodes.

    Tail and errors are the first node's. Raises the error of a node whose log cannot be read.
    """
    words, request = f"reading {title}'s log", {"unit": kind}

    def ask(node: Node) -> Lines:
        return session.ask(node, NCCL_LINES, request, title=words, limit=LINES_LIMIT)

    answers = check_all(each(nodes, ask, key=lambda node: node.name))
    reader = Reader()
    for name, answer in answers.items():
        file = answer.path if len(answers) == 1 else f"{name}:{answer.path}"
        reader.feed_numbered(file, ((n, text.encode()) for n, text in answer.lines))
    first = answers[nodes[0].name]
    return EngineLog(reader.verdict(), first.path, first.cut, first.tail, first.errors)
