"""NCCL's and Gloo's lines in a log on the node, so that a log of gigabytes need not travel."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

NEEDLES = (b"NCCL", b"Unable to find address for")  # the second is Gloo's
START = b"== sparkctl "  # launch.py writes it before each start
MOST_LINES, MOST_BYTES, TAIL_LINES = 20_000, 4096, 400
LINE_LIMIT = 1 << 16


def lines(request: dict[str, Any]) -> dict[str, Any]:
    """`lines` of the log at `path` that tell of NCCL or Gloo, since the last start in it: number
    (from 1) and text, each cut at 4096 bytes; `cut` is the number of the last when there are more
    than 20,000. `tail` has the log's last 400 lines since then, whatever they tell.
    """
    path = Path(request["path"]).expanduser()
    found: list[tuple[int, str]] = []
    tail: deque[bytes] = deque(maxlen=TAIL_LINES)
    cut = 0
    if path.is_file():
        with path.open("rb") as stream:
            for number, piece in pieces(stream):
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
    return {"lines": found, "cut": cut, "tail": last}


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
