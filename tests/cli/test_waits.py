"""Who is waited for is seen on a terminal while it lasts, and nowhere else."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.screen import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONNECTING = re.compile(r"  spark-1  connecting  \d+ s")
COMMANDS = (
    ("status",),
    ("doctor",),
    ("plan",),
    ("env",),
    ("fabric", "show"),
    ("validate", "--connect"),
    ("logs",),
)


class Silent:
    """A node whose sshd accepts and says nothing until it is released."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def release(self) -> None:
        """Close, so that each connection is refused or reset."""
        self._socket.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    node = Silent()
    yield node
    node.release()


def write(folder: Path, port: int, timeout: float) -> None:
    """An inventory of that node and of one that refuses at once."""
    (folder / "inventory.yaml").write_text(
        f"cluster: sparks\nssh: {{port: {port}, connect_timeout: {timeout:g}}}\n"
        "nodes:\n  - {name: spark-1, host: 127.0.0.1, role: head}\n"
        "  - {name: spark-2, host: 127.0.0.2, role: worker}\nvllm: {model: /models/m}\n"
    )


def sparkctl(*args: str) -> list[str]:
    return [sys.executable, "-m", "sparkctl", *args]


def waited(lines: list[str]) -> bool:
    return any(CONNECTING.fullmatch(line) for line in lines)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_node_that_is_waited_for_is_named_until_it_has_answered(
    command: tuple[str, ...], silent: Silent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, silent.port, 60)
    with Terminal(sparkctl(*command)) as terminal:
        lines = terminal.until(waited)
        assert lines[-1:] == lines  # spark-2 was refused, nobody waits for it
        first = lines[-1]
        terminal.until(lambda lines: waited(lines) and lines[-1] != first)
        silent.release()
        lines = terminal.ended()
    assert not waited(lines)
    assert any("spark-1" in line for line in lines)


def test_a_json_document_is_all_that_stdout_gets(
    silent: Silent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, silent.port, 60)
    with Terminal(sparkctl("status", "--json"), stdout=subprocess.PIPE) as terminal:
        terminal.until(waited)
        silent.release()
        assert terminal.process.stdout
        document = json.loads(terminal.process.stdout.read())
        assert terminal.ended() == [""]
    assert [node["name"] for node in document["nodes"]] == ["spark-1", "spark-2"]


def test_ctrl_c_takes_the_rows_away(
    silent: Silent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, silent.port, 60)
    with Terminal(sparkctl("status")) as terminal:
        terminal.until(waited)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == ["", "interrupted"]  # click ends the line of the ^C
        assert terminal.process.returncode == 130
        assert not terminal.cursor_hidden


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_command_with_steps_has_the_nodes_below_them(
    command: str, silent: Silent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, silent.port, 60)
    with Terminal(sparkctl(command)) as terminal:
        lines = terminal.until(waited)
        assert re.fullmatch(r"\S connect to the nodes  \d+ s", lines[0])
        assert len(lines) == 2
        silent.release()
        lines = terminal.ended()
    assert not waited(lines)
    assert re.fullmatch(r"✗ connect to the nodes \d+\.\d s failed", lines[0])


@pytest.mark.parametrize("terminal_name", ["dumb", None])
def test_where_no_line_can_be_drawn_again_nothing_is(
    terminal_name: str | None, silent: Silent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, silent.port, 2)  # seconds: longer than the line's patience
    given = {} if terminal_name is None else {"TERM": terminal_name}
    stderr = {"stderr": subprocess.PIPE} if terminal_name is None else {}
    with Terminal(sparkctl("status"), environment=given, **stderr) as terminal:
        if terminal.process.stderr:
            assert terminal.process.stderr.read() == b""
        assert any("unreachable" in line for line in terminal.ended())
        assert b"connecting" not in terminal.written
