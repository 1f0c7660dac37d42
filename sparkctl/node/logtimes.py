"""When a log had which size, as its shim has marked (shim.py): where lines since a time begin.

Next to each part of a log, NAME.log, are its marks, NAME.times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LARGEST = 2**62  # bytes: more is no file's size


def begin(parts: Sequence[Path], when: float) -> tuple[int, int] | None:
    """The part of a log, by its index, and the offset in it where that begins which was written
    since `when` (seconds, epoch): of the last mark before the first one after that time.

    None where no part has marks. No line is lost: a clock that was set back and a mark that is
    missing or damaged make it begin earlier.
    """
    found, marked = (0, 0), False
    for number, part in enumerate(parts):
        for seconds, size in _marks(part):
            if seconds > when:
                return found
            found, marked = (number, size), True
    return found if marked else None


def _marks(part: Path) -> Iterator[tuple[int, int]]:
    """The marks of a part in the order of their writing."""
    try:
        path = part.with_suffix(".times")
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
    except OSError:
        return
    for line in lines:
        seconds, _, size = line.partition(b" ")
        whole = seconds.isdigit() and size.isdigit() and len(line) < 40
        if whole and int(size) < LARGEST:
            yield int(seconds), int(size)
