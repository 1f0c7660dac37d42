"""The Build ID of a program file, by which two builds of one version differ."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian: aarch64 and x86-64
# elf(5): Elf64_Ehdr, Elf64_Phdr and Elf64_Nhdr.
HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
NOTE = struct.Struct("<III")
PT_NOTE, NT_GNU_BUILD_ID, OWNER = 4, 3, b"GNU\0"
MOST = 64 * 1024  # bytes of a segment of notes that are read; a Build ID's note has 36
LONGEST = 64  # bytes of a Build ID; linkers make 20, 16 or 8


def build_id(data: bytes | mmap) -> str | None:
    """The Build ID in hex, as `readelf -n` prints it; None for a file without one, or another's
    format.
    """
    try:
        for segment in _segments(data):
            for owner, kind, content in _notes(segment):
                if (owner, kind) == (OWNER, NT_GNU_BUILD_ID) and 0 < len(content) <= LONGEST:
                    return content.hex()
    except struct.error:  # it is cut off
        pass
    return None


def _segments(data: bytes | mmap) -> Iterator[bytes]:
    """The content of each segment of notes."""
    if data[: len(MAGIC)] != MAGIC:
        return
    header = HEADER.unpack_from(data)
    offset, size, count = header[4], header[8], header[9]
    for number in range(count if size == SEGMENT.size else 0):
        kind, _, at, _, _, length, _, _ = SEGMENT.unpack_from(data, offset + number * size)
        if kind == PT_NOTE:
            yield data[at : at + min(length, MOST)]


def _notes(segment: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """The owner, type and content of each note; each part begins at a multiple of four bytes."""
    at = 0
    while at + NOTE.size <= len(segment):
        owner, content, kind = NOTE.unpack_from(segment, at)
        begin = at + NOTE.size
        middle = begin + (owner + 3) // 4 * 4
        yield segment[begin : begin + owner], kind, segment[middle : middle + content]
        at = middle + (content + 3) // 4 * 4
