"""Log files as lines: cut where they are long, unpacked where they are packed."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.logs import read_logs
from sparkctl.errors import UsageError
from sparkctl.node import nccllines
from sparkctl.node.errorlines import FIRST, LAST, READY, TAIL
from sparkctl.node.nccllines import LINE_LIMIT, pieces
from tests.unit.nccllogs import HEALTHY

if TYPE_CHECKING:
    from pathlib import Path


class Endless(io.BytesIO):
    """A file of so many bytes without a line's end; `most` is what was asked for at once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left, self.most = size, 0

    def readline(self, size: int | None = -1, /) -> bytes:
        asked = self.left if size is None or size < 0 else size
        self.most = max(self.most, asked)
        given = min(self.left, asked)
        self.left -= given
        return b"x" * given


def test_a_long_line_is_cut_and_counts_once() -> None:
    file = io.BytesIO(b"first\n" + b"y" * (5 * LINE_LIMIT) + b"\nthird\n" + b"last")
    read = list(pieces(file))
    assert [(number, len(line)) for number, line in read] == [*enumerate((6, LINE_LIMIT, 6, 4), 1)]
    assert [line for _, line in read[2:]] == [b"third\n", b"last"]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    file = Endless(64 << 20)
    assert [len(line) for _, line in pieces(file)] == [LINE_LIMIT]
    assert (file.left, file.most) == (0, LINE_LIMIT)


BAR = b"\r".join(b"Loading shards: %3d%%" % n for n in range(100))
SAID = b"spark-1:1:1 [0] NCCL INFO Using network Socket"


@pytest.mark.parametrize("bars", [1, 6, 60])
def test_what_nccl_writes_after_a_long_progress_bar_is_read(tmp_path: Path, bars: int) -> None:
    log = tmp_path / "vllm.log"
    log.write_bytes(b"first\n" + (BAR + b"\r") * bars + SAID + b"\r" + BAR + b"\nlast\n")
    verdict = read_logs([str(log)])
    assert [(rank.host, rank.transport) for rank in verdict.ranks] == [("spark-1", "socket")]
    assert verdict.ranks[0].evidence[0].line == 2
    fetched = nccllines.lines({"path": str(log)})
    assert (fetched["lines"], fetched["cut"]) == ([(2, SAID.decode())], 0)


def test_gloos_line_is_fetched_too(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_bytes(b"INFO x\nRuntimeError: Unable to find address for: eth0\n")
    lines: Any = nccllines.lines({"path": str(log)})["lines"]
    ((number, text),) = lines
    assert (number, "eth0" in text) == (2, True)


def test_of_a_log_with_too_many_lines_of_nccl_the_last_that_was_taken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nccllines, "MOST_LINES", 3)
    log = tmp_path / "vllm.log"
    log.write_bytes(b"\n" + (SAID + b"\n") * 3)
    assert nccllines.lines({"path": str(log)})["cut"] == 0
    log.write_bytes(b"\n" + (SAID + b"\n") * 5)
    fetched: Any = nccllines.lines({"path": str(log)})
    assert (len(fetched["lines"]), fetched["cut"]) == (3, 4)
    with log.open("ab") as stream:
        stream.write(nccllines.START + b"anew\n" + SAID)
    said = SAID.decode()
    fetched = nccllines.lines({"path": str(log)})
    assert (fetched["lines"], fetched["cut"], fetched["tail"]) == ([(8, said)], 0, [said])


def test_the_last_lines_of_the_last_start_come_too(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_bytes(
        nccllines.START + b"old\nold\n" + nccllines.START + b"new\n" + b"x\n" * 500 + b"y"
    )
    assert nccllines.lines({"path": str(log)})["tail"] == ["x"] * 399 + ["y"]


@pytest.mark.parametrize("packed", [False, True])
def test_gzip_is_detected_by_the_content(tmp_path: Path, packed: bool) -> None:
    names = []
    for name, text in HEALTHY.items():
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        names.append(str(path))
    verdict = read_logs([*names, names[0]])
    assert (verdict.transport, verdict.cause) == ("rdma", None)
    assert verdict.ranks[0].channels == {"rocep1s0f0": 2, "roceP2p1s0f0": 2}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"x" * 100_000)[:40])
    bad = tmp_path / "bad.gz"
    bad.write_bytes(b"\x1f\x8b and no more")
    for path in (tmp_path / "none.log", tmp_path, cut, bad):
        with pytest.raises(UsageError) as caught:
            read_logs([str(path)])
        assert (caught.value.code, caught.value.data) == ("unreadable-log", {"path": str(path)})


def test_lines_around_errors_are_fetched_wherever_they_are(tmp_path: Path) -> None:
    """The first and the last ones since the start, as a log may have an error for each request."""
    log = tmp_path / "vllm.log"
    fine, error = b"INFO fine\n" * 1000, b"ValueError: %d\n"
    errors = b"".join(error % n for n in range(10_000))
    log.write_bytes(fine + error % 5 + nccllines.START + b"\n" + fine + errors + fine)
    fetched: Any = nccllines.lines({"path": str(log)})
    rows = fetched["errors"]
    numbers = [number for number, _ in rows]
    assert numbers == sorted(set(numbers))
    assert rows[0] == (1002, "== sparkctl ")
    assert rows[1] == (2003, "ValueError: 0")
    assert (12_002, "ValueError: 9999") in rows
    assert rows[-1] == (13_002, "INFO fine")
    assert len(rows) == FIRST + LAST + TAIL
    log.write_bytes(errors + READY + b"\nINFO x\n")
    fetched = nccllines.lines({"path": str(log)})
    assert fetched["errors"][-2:] == [(10_001, READY.decode()), (10_002, "INFO x")]
