"""Log files as lines: cut where they are long, unpacked where they are packed."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from sparkctl.doctor.logs import LINE_LIMIT, lines, read_logs
from sparkctl.errors import UsageError
from tests.unit.nccllogs import HEALTHY


class Endless(io.BytesIO):
    """A file of so many bytes without a line's end; `most` is what was asked for at once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left, self.most = size, 0

    def readline(self, size: int | None = -1, /) -> bytes:
        wanted = self.left if size is None or size < 0 else size
        self.most = max(self.most, wanted)
        given = min(self.left, wanted)
        self.left -= given
        return b"x" * given


def test_a_long_line_is_cut_and_counts_once() -> None:
    file = io.BytesIO(b"first\n" + b"y" * (5 * LINE_LIMIT) + b"\nthird\n" + b"last")
    read = list(lines(file))
    assert [len(line) for line in read] == [6, LINE_LIMIT, 6, 4]
    assert read[2:] == [b"third\n", b"last"]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    file = Endless(64 << 20)
    assert [len(line) for line in lines(file)] == [LINE_LIMIT]
    assert (file.left, file.most) == (0, LINE_LIMIT)


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_told_by_their_content(tmp_path: Path, packed: bool) -> None:
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
        with pytest.raises(UsageError, match=path.name):
            read_logs([str(path)])
