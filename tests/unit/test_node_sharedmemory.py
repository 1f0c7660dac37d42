"""The shared memory of a vLLM that was ended: removed, now or once nobody maps it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import sharedmemory

if TYPE_CHECKING:
    import pytest


def test_what_a_rank_maps_a_moment_longer_is_noted_and_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    free, held = (Path(f"/dev/shm/sparkctl-test-{os.getpid()}-{n}") for n in ("free", "held"))
    try:
        for path in (free, held):
            path.write_bytes(bytes(mmap.PAGESIZE))
        with held.open("r+b") as file, mmap.mmap(file.fileno(), 0):
            sharedmemory.release_or_note("c", {str(free), str(held)})
            assert (free.exists(), held.exists()) == (False, True)
            assert sharedmemory.noted("c") == {str(held)}
        assert sharedmemory.release(sharedmemory.noted("c")) == set()
        assert not held.exists()
    finally:
        for path in (free, held):
            path.unlink(missing_ok=True)
