"""NCCL's lines in a log on the node, so that a log of gigabytes need not travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NEEDLE = b"NCCL"
START = b"== sparkctl "  # launch.py writes it before each start
MOST_LINES, MOST_BYTES = 20_000, 4096


def lines(request: dict[str, Any]) -> dict[str, Any]:
    """`lines` of the log at `path` that hold NCCL, since the last start in it: number (from 1) and
    text, each cut at 4096 bytes; `cut` when there are more than 20,000.
    """
    path = Path(request["path"]).expanduser()
    found: list[tuple[int, str]] = []
    cut = False
    if path.is_file():
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.startswith(START):
                    found, cut = [], False
                elif NEEDLE in line:
                    cut = len(found) >= MOST_LINES
                    if not cut:
                        found.append((number, line[:MOST_BYTES].decode(errors="replace")))
    return {"lines": found, "cut": cut}
