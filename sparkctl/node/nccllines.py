"""NCCL's and Gloo's lines in a log on the node, so that a log of gigabytes need not travel."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sparkctl.node import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDLES = (b"NCCL", b"Unable to find address for")  # the second is Gloo's
START = b"== sparkctl "  # launch.py writes it before each start
MOST_LINES, MOST_BYTES, TAIL_LINES = 20_000, 4096, 400
LINE_LIMIT = 1 << 16


def lines(request: dict[str, Any]) -> dict[str, Any]:
    """`lines` of the log at `path`, or else the last of `unit`, that tell of NCCL or Gloo, since
    the last start in it: number (from 1) and text, each cut at 4096 bytes; `cut` is the number of
    the last when there are more than 20,000. `tail` has the log's last 400 lines since then,
    whatever they tell; `path` is where the log is.
    """
    path = logs.named(request)
    found: list[tuple[int, str]] = []
    tail: deque[bytes] = deque(maxlen=TAIL_LINES)
    cut = before = number = 0
    for file in filter(Path.is_file, logs.parts(path)):
        before = number
        with file.open("rb") as stream:
            for line, piece in pieces(stream):
                number = before + line
                if piece.startswith(START):
                    found, cut = [], 0
                    tail.clear()
                    continue
                tail.append(piece[-MOST_BYTES:])
                if _tells(piece) and len(found) >= MOST_LINES:
                    cut = found[-1][0]
                elif _tells(piece):
                    # What a progress bar wrote before NCCL in the same line may be long.
                    said = [part for part in piece.split(b"\r") if _tells(part)]
                    found += [(number, p[:MOST_BYTES].decode(errors="replace")) for p in said]
    last = [piece.decode(errors="replace").rstrip("\r\n") for piece in tail]
    return {"lines": found, "cut": cut, "tail": last, "path": str(path)}


def _tells(text: bytes) -> bool:
    return NEEDLES[0] in text or NEEDLES[1] in text


def pieces(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """A log's lines with their numbers, from 1; of one that is longer than LINE_LIMIT each part
    between carriage returns by itself, cut there, so that none fills the memory.
    """
    number, piece = 1, b""
    while chunk := stream.readline(LINE_LIMIT):
        if piece or not chunk.endswith(b"\n"):
            first, *others = chunk.split(b"\r")
            piece = (piece + first)[:LINE_LIMIT]
            for other in others:
                yield number, piece
                piece = other
        else:
            piece = chunk
        if chunk.endswith(b"\n"):
            yield number, piece
            number, piece = number + 1, b""
    if piece:
        yield number, piece
