"""An image's bytes from one process to others, as nodes run them; `cat` in place of an engine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import blocks
from sparkctl.node.imageroom import room
from sparkctl.remote.node_rpc import LOADER, call

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "127.0.0.1"
KEY = "ab" * 32
SIZE = 5 * blocks.SIZE + 7
INSPECT = ["echo", '[{"Id": "sha256:1"}]']


class End:
    """A node's end of a transfer; its stdin stays open, as the controller's does."""

    def __init__(self, target: str, folder: Path, **request: Any) -> None:
        at = {"address": ADDRESS} if target == "receive" else {"addresses": [ADDRESS]}
        load = {"key": KEY, "scratch": "", **at, **request}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LOADER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdout, self.stdin = self.process.stdout, self.process.stdin
        self.stdin.write(call(f"imagestream.{target}", load).stdin)
        self.stdin.flush()

    def line(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout.readline())
        return found

    def answer(self) -> dict[str, Any]:
        """The last of what it prints."""
        *_, last = self.stdout.read().splitlines()
        found: dict[str, Any] = json.loads(last)
        return found


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def made(target: str, **request: Any) -> End:
            end = End(target, tmp_path, **request)
            stack.callback(end.process.wait)
            stack.callback(end.stdout.close)
            stack.callback(end.process.kill)
            stack.callback(end.stdin.close)
            return end

        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(SIZE))
    return path


def receiver(ends: Any, port: int, name: str, script: str, **more: Any) -> End:
    end: End = ends(
        "receive",
        port=port,
        name=name,
        argv=["sh", "-c", script],
        named=[],
        inspect=INSPECT,
        **more,
    )
    return end


def test_all_receivers_get_it_and_one_that_fails_stops_none(
    ends: Any, image: Path, tmp_path: Path
) -> None:
    sender = ends("send", argv=["cat", str(image)], receivers=["a", "b", "c"])
    port = sender.line()["ports"][0]
    stranger = receiver(ends, port, "a", "cat", key="cd" * 32)
    assert stranger.answer()["error"] == "refused"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = f'test -w "$TMPDIR" && cat >{tmp_path}/'
    a = receiver(ends, port, "a", f"{script}a; touch $TMPDIR/left", scratch=str(scratch))
    b = receiver(ends, port, "b", f"{script}b")
    full = receiver(ends, port, "c", "head -c 9 >/dev/null; echo no space left >&2; exit 1")
    assert a.answer() == b.answer() == {"image": "sha256:1"}
    assert full.answer() == {"error": "unloaded", "reason": "no space left"}
    assert sender.answer()["bytes"] == SIZE
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == image.read_bytes()
    assert [*scratch.iterdir()] == []


def test_an_image_that_is_not_saved_whole_is_not_taken(ends: Any) -> None:
    sender = ends("send", argv=["sh", "-c", "echo part; echo gone >&2; exit 1"], receivers=["a"])
    a = receiver(ends, sender.line()["ports"][0], "a", "cat >/dev/null")
    assert a.answer() == {"error": "broken", "reason": "the stream ended early"}
    assert sender.answer() == {"error": "unsaved", "reason": "gone"}


@pytest.mark.parametrize("first", ["controller", "sender"])
def test_both_ends_end_with_the_controller(ends: Any, tmp_path: Path, first: str) -> None:
    pids = tmp_path / "pids"
    sender = ends("send", argv=["sh", "-c", f"echo $$ >>{pids}; cat /dev/zero"], receivers=["a"])
    a = receiver(ends, sender.line()["ports"][0], "a", f"echo $$ >>{pids}; cat >/dev/null")
    assert a.line()["bytes"], "it is under way"
    if first == "controller":
        a.stdin.close()
        assert sender.answer()["lost"], "the sender has nobody left"
    else:
        sender.process.kill()
    assert a.answer()["error"] == "broken"
    assert (a.process.wait(5), sender.process.wait(5) <= 0) == (0, True)
    left = [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}/root").exists()]
    assert left == []


def test_a_sender_that_does_not_listen_is_named_as_that(ends: Any) -> None:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        answer = receiver(ends, free.getsockname()[1], "a", "cat").answer()
    assert answer == {"error": "unconnected", "reason": "Connection refused"}


def test_a_block_that_is_changed_or_moved_is_refused() -> None:
    key, data = bytes.fromhex(KEY), memoryview(b"data")
    for block in (
        blocks.sealed(key, 0, data)._replace(data=memoryview(b"date")),
        blocks.sealed(key, 1, data),
    ):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            blocks.send(ours, block)
            with pytest.raises(blocks.Broken, match="changed"):
                next(blocks.blocks(theirs, key))


def test_the_room_of_both_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    store = {"store": {"graphRoot": str(tmp_path)}}
    found: Any = room({"argv": ["echo", json.dumps(store)]})
    assert found["images"]["path"] == found["archive"]["path"] == str(tmp_path)
    assert found["scratch"]
    assert found["images"]["free"] > 0
    docker = {"DockerRootDir": str(tmp_path / "missing"), "DriverStatus": [["a", "b"]]}
    found = room({"argv": ["echo", json.dumps(docker)]})
    assert (found["images"]["path"], found["scratch"]) == (str(tmp_path), False)
    with pytest.raises(OSError, match="echo info is not understood"):
        room({"argv": ["echo", "{}"]})
