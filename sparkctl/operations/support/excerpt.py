"""The first and the last part of a log, in whole lines: a secret that is cut is not recognized."""

from __future__ import annotations

import base64
import binascii
import os
import stat
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.errors import CommandError
from sparkctl.node.support import BEGIN, END

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.facts.supportanswers import LogExcerpt


@dataclass(frozen=True)
class Excerpt:
    """A log's text: all of it in `begin`, or its begin and end without `left_out` bytes between."""

    begin: str
    end: str = ""
    left_out: int = 0


def excerpt(begin: bytes, end: bytes, size: int) -> Excerpt:
    """The excerpt of a log of `size` bytes; lines that the parts cut are left out."""
    if not end:
        return Excerpt(begin.decode(errors="replace"))
    begin = begin[: begin.rfind(b"\n") + 1]
    end = end[end.find(b"\n") + 1 :] if b"\n" in end else b""
    left_out = max(0, size - len(begin) - len(end))
    return Excerpt(begin.decode(errors="replace"), end.decode(errors="replace"), left_out)


def unpacked(log: LogExcerpt, node: str) -> Excerpt:
    """The excerpt in a node's answer. Raises CommandError where it is malformed, or too large."""
    try:
        begin, end = (_unpacked(text) for text in (log.begin, log.end))
    except (ValueError, binascii.Error, zlib.error) as error:
        raise CommandError(
            f"reading the log: the answer is malformed: {error}", node=node, code="bad-answer"
        ) from None
    return excerpt(begin, end, log.size)


def _unpacked(text: str) -> bytes:
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(base64.b64decode(text, validate=True), BEGIN + END)
    if not unpacking.eof:
        raise ValueError("it is too large, or cut")
    return data


def of_file(path: Path) -> Excerpt:
    """The excerpt of a file of this machine. Raises OSError for a link and what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no regular file")
        if status.st_size <= BEGIN + END:
            return excerpt(stream.read(BEGIN + END), b"", status.st_size)
        begin = stream.read(BEGIN)
        stream.seek(-END, os.SEEK_END)
        return excerpt(begin, stream.read(END), status.st_size)
