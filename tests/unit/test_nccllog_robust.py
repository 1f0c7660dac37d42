"""The verdict does not depend on what is around the lines; any input is read in bounded memory."""

from __future__ import annotations

import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.node.nccllines import LINE_LIMIT
from tests.unit.nccllogs import CASES, Files, Warn, process, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.fabric.nccllog.model import LogVerdict

HEAD = re.compile(r"(?=(?:\[2026-\S+ \S+\] )?[\w-]+:\d+:\d+ \[\d\] .*NCCL )")


def shown(verdict: LogVerdict, *, rank: bool = True) -> Any:
    """All of a verdict but its evidence."""
    return (
        verdict.transport,
        verdict.cause,
        [(f.code, f.severity, f.summary, f.candidates, sorted(f.ranks)) for f in verdict.findings],
        sorted(
            (
                (r.host, r.pid, r.rank if rank else None, r.nccl),
                (r.transport, r.devices, r.cause, tuple(r.channels.items())),
            )
            for r in verdict.ranks
        ),
    )


def each_line(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "\n".join(change(line) for line in text.split("\n"))


def before_records(prefix: str) -> Callable[[str], str]:
    return each_line(lambda line: prefix + line if HEAD.match(line) else line)


def fold(line: str) -> str:
    """As Ray folds, but for channel lines: those prove less when they are folded."""
    record = HEAD.match(line) and " via NET/" not in line
    return f"{line}\x1b[32m [repeated 3x across cluster]\x1b[0m" if record else line


DECORATIONS: dict[str, Callable[[str], str]] = {
    "ray": each_line("(EngineCore pid=2301) (RayWorkerProc pid=9, ip=192.168.100.12) ".__add__),
    "ansi": each_line("\x1b[36m(RayWorkerProc pid=9)\x1b[0m ".__add__),
    "ansi without ESC": each_line("[36m(RayWorkerProc pid=9)[0m ".__add__),
    "vllm colours": each_line("\x1b[0;36m(EngineCore pid=9)\x1b[0;0m ".__add__),
    "folded": each_line(fold),
    "compose": each_line("spark-1  | ".__add__),
    "kubernetes": each_line("2026-11-21T00:06:24.123456789Z stdout F ".__add__),
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "progress bar": before_records("Loading:  50%|##  | 13/26 [00:01<?, ?it/s]\r"),
    "bad UTF-8": each_line(lambda line: f"\udcff\udc80\n{line}\n\x00\x01"),
    "twice": lambda text: text + text,
}


@pytest.mark.parametrize("decoration", DECORATIONS)
@pytest.mark.parametrize("name", CASES)
def test_decorations_change_no_verdict(name: str, decoration: str) -> None:
    files = CASES[name][0]
    decorated = {file: DECORATIONS[decoration](text) for file, text in files.items()}
    found, expected = shown(read(decorated)), shown(read(files))
    if decoration == "twice":
        found, expected = found[:3], expected[:3]  # channel lines count twice
    assert found == expected


@given(st.data())
def test_ranks_mixed_in_one_file_change_no_verdict(data: st.DataObject) -> None:
    files = CASES[data.draw(st.sampled_from(list(CASES)))][0]
    queues = [text.splitlines(keepends=True) for text in files.values()]
    merged = []
    while queues := [queue for queue in queues if queue]:
        merged.append(data.draw(st.sampled_from(queues)).pop(0))
    one = read({"all.log": "".join(merged)})
    apart = read(files)
    # torch's prefix names a rank that failed before its communicator only in a file of its own.
    assert shown(one, rank=False)[:3] == shown(apart, rank=False)[:3]
    assert [(r.pid, r.transport, r.cause) for r in sorted(one.ranks, key=lambda r: r.pid)] == [
        (r.pid, r.transport, r.cause) for r in sorted(apart.ranks, key=lambda r: r.pid)
    ]


def check_document(verdict: LogVerdict) -> None:
    document = verdict.document()
    keys = ["ranks", "transport", "cause", "findings", "unrecognized", "earlier_starts"]
    assert list(document) == keys
    keys = ["host", "pid", "rank", "nccl", "transport", "devices", "cause", "evidence"]
    assert all(list(rank) == keys for rank in document["ranks"])


@given(st.lists(st.binary(max_size=300)))
def test_arbitrary_bytes_never_raise(lines: list[bytes]) -> None:
    reader = Reader()
    reader.feed("x", lines)
    check_document(reader.verdict())


FRAGMENTS = sorted(
    {
        line.partition("NCCL INFO ")[2] or line.partition("NCCL WARN ")[2]
        for files, _, _ in CASES.values()
        for text in files.values()
        for line in text.splitlines()
    }
)


@given(st.lists(st.tuples(st.sampled_from(FRAGMENTS), st.text(max_size=8), st.integers(0, 99))))
def test_mutilated_messages_never_raise(pieces: list[tuple[str, str, int]]) -> None:
    messages: list[str | Warn] = []
    for text, extra, cut in pieces:
        changed = text[:cut] + extra.replace("\n", "") + text[cut:]
        messages.append(Warn(changed) if cut % 2 else changed)
    check_document(read({"x": process(*messages)}))


def test_a_huge_log_is_read_in_bounded_memory() -> None:
    """A stream of everything that is kept as evidence, with fresh values in each line."""
    held: Files = {
        f"{name}/{file}": text for name, case in CASES.items() for file, text in case[0].items()
    }
    lines = [line for text in held.values() for line in text.splitlines() if "NCCL" in line]

    def stream(count: int) -> Iterator[bytes]:
        for number in range(count):
            line = re.sub(
                r"^(\[.*?\] )?[\w-]+:\d+:\d+", r"\1spark-1:1:1", lines[number % len(lines)]
            )
            line = line.replace("commId 0x", f"commId 0x{number:x}")
            line = re.sub(r"via NET/IB/\d", f"via NET/IB/{number}", line)
            line = re.sub(r"Using network \w+", f"Using network N{number}", line)
            yield line.encode() + b"x" * 2000 + b"\n"

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            reader = Reader()
            reader.feed("huge", stream(count))
            assert len(reader.verdict().ranks) >= 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(len(lines))
    few, many = peak(2 * len(lines)), peak(8 * len(lines))
    assert many < few + 300_000
    assert many < 10 * LINE_LIMIT + 2_000_000
