"""What a node's helper reads of a running process: this one, which has mapped a made-up libnccl."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.node import processes, running
from tests.unit.test_elf import library, note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRINGS = b"NCCL version mismatch with remote peer %s\0NCCL version 2.18.5+cuda12.2\0"


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Path]:
    """A file called as pip's, with a libnccl's strings, while this process maps it."""
    path = tmp_path / "with a space" / "libnccl.so.2"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF" + bytes(5000) + STRINGS)
    # The plugins are no libnccl.
    plugin = path.with_name("libnccl-net.so")
    plugin.write_bytes(STRINGS)
    with path.open("rb") as one, plugin.open("rb") as other:
        maps = [mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) for f in (one, other)]
        yield path
        for each in maps:
            each.close()


def rank(pid: int) -> processes.Process:
    return processes.Process(
        pid, 1, 1, "S", "ray::RayWorkerProc.run", "lab", "r", "ray", 0, rank=True
    )


def test_the_version_is_the_mapped_files_own(mapped: Path) -> None:
    found = running.details(rank(os.getpid()))
    assert found["libraries"] == {str(mapped): "2.18.5"}
    size = mapped.stat().st_size
    assert found["builds"] == {str(mapped): {"id": None, "bytes": size}}


def test_two_builds_of_one_version_differ_by_their_build_id(mapped: Path) -> None:
    for build in (b"a7f420a1", b"c0db9360"):
        with mapped.open("r+b") as file:  # in place: what is mapped stays the file
            file.write(library(note(b"GNU\0", 3, build)))
        found = running.details(rank(os.getpid()))
        assert found["libraries"] == {str(mapped): "2.18.5"}
        assert found["builds"] == {str(mapped): {"id": build.hex(), "bytes": mapped.stat().st_size}}


def test_a_file_that_was_replaced_since_does_not_speak_for_what_is_loaded(mapped: Path) -> None:
    mapped.unlink()
    mapped.write_bytes(STRINGS.replace(b"2.18.5", b"2.28.9"))
    found = running.details(rank(os.getpid()))
    assert found["libraries"] == found["builds"] == {str(mapped): None}


def test_a_library_that_does_not_tell_its_version(mapped: Path) -> None:
    with mapped.open("r+b") as file:
        file.write(bytes(mapped.stat().st_size))
    assert running.details(rank(os.getpid()))["libraries"] == {str(mapped): None}


def test_a_ranks_limits_and_what_cannot_be_read() -> None:
    found = running.details(rank(os.getpid()))
    program = "import resource as r; print(r.getrlimit(r.RLIMIT_MEMLOCK)[0])"
    limit = subprocess.check_output([sys.executable, "-c", program])
    assert found["memlock"] == int(limit)
    gone = running.details(rank(2**22 + 1))
    assert (gone["libraries"], gone["memlock"]) == (None, None)
    assert gone["environment"] is None


def test_what_is_shown_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    process = rank(os.getpid())
    expected = {"NCCL_NET": "Socket", "OMP_NUM_THREADS": "1"}
    environment = {**expected, "VLLM_API_KEY": "x", "SPARKCTL_CLUSTER": "l/r"}
    monkeypatch.setattr(processes, "environment", lambda _: environment)
    assert running.details(process, ["OMP_NUM_THREADS"])["environment"] == expected
    # A title was written over it: what is left says nothing.
    del environment["SPARKCTL_CLUSTER"]
    assert running.details(process)["environment"] is None
