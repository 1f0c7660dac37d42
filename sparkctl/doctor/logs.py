"""The log reader's verdict on log files, which may be compressed, or piped in."""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from sparkctl.doctor.sglanglines import SglangLines
from sparkctl.doctor.vllmlines import BATCH, VllmLines
from sparkctl.errors import UsageError
from sparkctl.fabric.nccllog.program import NOTED
from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.node.nccllines import pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from sparkctl.fabric.nccllog.model import LogVerdict

GZIP = b"\x1f\x8b"


def read_logs(names: Iterable[str]) -> LogVerdict:
    """The verdict on these files together, with those that have no known line.

    `-` is stdin; gzip is detected by its first bytes. Raises UsageError for an unreadable file.
    """
    reader, vllm, sglang = Reader(), VllmLines(), SglangLines()
    files = list(dict.fromkeys(names))
    for name in files:
        try:
            with _opened(name) as file:
                lines = sglang.passing(name, _noting(reader, name, pieces(file)))
                reader.feed_numbered(name, vllm.passing(name, lines))
        except (OSError, EOFError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UsageError(
                f"--log: {name} could not be read: {reason}",
                hint="name a log of vLLM, SGLang, Ray or NCCL_DEBUG_FILE, or - for stdin",
                code="unreadable-log",
                data={"path": name},
            ) from error
    vllm.leave(sglang.recognized)
    recognized = reader.recognized | vllm.recognized | sglang.recognized
    for name in vllm.recognized:
        reader.of_vllm(name)
    return replace(
        reader.verdict([*vllm.findings(reader.verdict()), *sglang.findings()]),
        unrecognized=tuple(name for name in files if name not in recognized),
    )


def _noting(
    reader: Reader, name: str, lines: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes]]:
    """The lines, of which the log reader notes those of vLLM that matter to NCCL."""
    while batch := list(islice(lines, BATCH)):
        if NOTED.search(b"\n".join(line for _, line in batch)):
            for number, line in batch:
                if NOTED.search(line):
                    reader.note(name, number, line)
        yield from batch


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed if necessary."""
    if name == "-":
        with _unpacked(cast("BufferedReader", sys.stdin.buffer)) as plain:
            yield plain
    else:
        with Path(name).open("rb") as file, _unpacked(file) as plain:
            yield plain


def _unpacked(file: BufferedReader) -> AbstractContextManager[IO[bytes]]:
    if file.peek(len(GZIP))[: len(GZIP)] == GZIP:
        return cast("AbstractContextManager[IO[bytes]]", gzip.open(file))
    return nullcontext(file)
