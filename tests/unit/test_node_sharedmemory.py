"""The shared memory of a vLLM that was ended: removed, now or once nobody maps it."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparkctl.node import files, processes, sharedmemory, stop


def wrote(text: str) -> Any:
    files.write({"cluster": "c", "files": {sharedmemory.NOTED: text}})
    return files.home("c") / sharedmemory.NOTED


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


LOCKED = """\
import multiprocessing, sys
lock = multiprocessing.get_context("spawn").Lock()
print(lock._semlock.name.lstrip("/"), flush=True)
sys.stdin.read()
"""


def test_a_semaphore_that_a_killed_program_leaves_is_removed() -> None:
    """Its tracker, which would remove it, is killed too, as SGLang kills its children."""
    argv = [sys.executable, "-c", LOCKED]
    program = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert program.stdout is not None
        path = Path("/dev/shm") / f"sem.{program.stdout.readline().strip()}"
        (process,) = [p for p in processes.table() if p.pid == program.pid]
        assert sharedmemory.mapped([process]) == {str(path)}
        assert sharedmemory.release({str(path)}) == {str(path)}
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    assert path.exists()
    assert sharedmemory.release({str(path)}) == set()
    assert not path.exists()


def test_a_note_has_a_schema_and_one_of_an_older_release_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = wrote('["/dev/shm/sparkctl-no-such"]')
    assert sharedmemory.noted("c") == {"/dev/shm/sparkctl-no-such"}
    sharedmemory.note({"cluster": "c"})
    assert json.loads(path.read_text()) == {"schema": sharedmemory.SCHEMA, "paths": []}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"schema": 2, "paths": []}', r"has unknown schema 2 \(this sparkctl reads 1\); remove"),
        ('{"schema": 2}', "has unknown schema 2"),
        ('{"schema": "1", "paths": []}', "has unknown schema '1'"),
        ('{"schema": 1}', "is damaged; remove the file"),
        ('{"schema": 1, "paths": [1]}', "is damaged; remove the file"),
        ("[", "is damaged; remove the file"),
    ],
)
def test_a_note_that_cannot_be_read_is_kept_and_named(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is all that the caller of a node's function gets."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = wrote(text)
    with pytest.raises(SystemExit, match=f"{path} {reason}"):
        sharedmemory.note({"cluster": "c"})
    with pytest.raises(SystemExit, match=f"{path} {reason}"):
        stop.remove({"cluster": "c", "temp_dir": str(tmp_path / "none")})
    assert path.read_text() == text
