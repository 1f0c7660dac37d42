"""The Build ID in the notes of a made-up ELF file, and in a real one."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from sparkctl.node.elf import HEADER, MAGIC, NOTE, SEGMENT, build_id

ID = bytes(range(20))


def note(owner: bytes, kind: int, content: bytes) -> bytes:
    padded = (part + b"\0" * (-len(part) % 4) for part in (owner, content))
    return NOTE.pack(len(owner), len(content), kind) + b"".join(padded)


def library(*segments: bytes, kind: int = 4, magic: bytes = MAGIC) -> bytes:
    """A file with these segments."""
    begin = HEADER.size + SEGMENT.size * len(segments)
    head = HEADER.pack(3, 183, 1, 0, HEADER.size, 0, 0, 64, 56, len(segments), 0, 0, 0)
    table = b""
    for segment in segments:
        table += SEGMENT.pack(kind, 4, begin, 0, 0, len(segment), len(segment), 4)
        begin += len(segment)
    return magic + head[len(magic) :] + table + b"".join(segments)


BUILD = note(b"GNU\0", 3, ID)
PROPERTY = note(b"GNU\0", 5, bytes(16))


@pytest.mark.parametrize(
    "segments",
    [(BUILD,), (PROPERTY, BUILD), (PROPERTY + BUILD,), (note(b"Go\0", 3, b"abc"), BUILD)],
)
def test_the_build_id_is_found_among_other_notes(segments: tuple[bytes, ...]) -> None:
    assert build_id(library(*segments)) == ID.hex()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        b"#!/bin/sh\n" + bytes(200),
        library(),
        library(PROPERTY),
        library(BUILD, kind=1),  # no segment of notes
        library(BUILD, magic=b"\x7fELF\x01\x01"),  # 32 bits
        library(note(b"GNU\0", 3, b"")),
        library(note(b"GNU\0", 3, bytes(4096))),
        library(note(b"ABC\0", 3, ID)),
        library(struct.pack("<III", 2**32 - 1, 2**32 - 1, 3)),
        library(bytes(2**18)),  # an endless row of empty notes
    ],
)
def test_a_file_without_a_build_id_has_none(data: bytes) -> None:
    assert build_id(data) is None


def test_a_file_that_is_cut_anywhere_is_no_crash() -> None:
    whole = library(PROPERTY, BUILD)
    assert [build_id(whole[:end]) for end in range(len(whole) - len(BUILD))] == [None] * (
        len(whole) - len(BUILD)
    )


def test_a_real_library_has_one() -> None:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    (libc,) = {line.split()[-1] for line in maps.splitlines() if "/libc.so.6" in line}
    assert re.fullmatch("[0-9a-f]{32,40}", build_id(Path(libc).read_bytes()) or "")
