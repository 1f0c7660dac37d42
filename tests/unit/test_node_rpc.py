"""What is sent to a node: bytecode for a Python like ours, sources for any other."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.remote.node_rpc import LOADER, call, sources

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = {"cluster": "no-such-cluster", "names": ["a"]}


def answer(**changes: Any) -> subprocess.CompletedProcess[str]:
    """What a node with this Python says to a payload with these changes."""
    load = {**json.loads(call("files.read", REQUEST).stdin), **changes}
    argv = [sys.executable, "-I", "-S", "-c", LOADER]
    return subprocess.run(
        argv, input=json.dumps(load) + "\n", capture_output=True, text=True, check=False
    )


def test_a_python_like_ours_compiles_nothing() -> None:
    unread = [(name, "1 +") for name, _ in sources("files")]
    assert json.loads(answer(modules=unread).stdout) == {"a": None}


def test_another_python_compiles_the_sources() -> None:
    assert json.loads(answer(magic="", code="not bytecode").stdout) == {"a": None}


@pytest.mark.parametrize("module", ["probe", "completion", "stop", "raytable"])
def test_what_only_the_type_checker_reads_is_not_sent(module: str) -> None:
    assert "wire" not in dict(sources(module))


@pytest.mark.parametrize("magic", ["", None])
def test_sources_that_are_broken_are_seen_there(magic: str | None) -> None:
    broken = answer(magic=magic, modules=[(name, "1 +") for name, _ in sources("files")])
    assert "SyntaxError" in broken.stderr


def test_a_file_that_fails_is_named_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / ".sparkctl").write_text("")
    command = call("files.write", {"cluster": "c", "files": {"a": "1"}})
    argv, home = [sys.executable, *command.argv[1:]], {"HOME": str(tmp_path)}
    done = subprocess.run(argv, input=command.stdin, capture_output=True, check=False, env=home)
    assert (done.returncode, done.stderr.decode()) == (1, f"{tmp_path}/.sparkctl: File exists\n")
