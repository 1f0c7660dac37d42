"""A node whose sshd kills its own session when it is armed, and one behind a path that dies."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.engines.inventory import parse
from sparkctl.operations.connect import session as connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.session import Session
    from tests.lab.conftest import Sshd

# Runs the command, then ends the connection instead of answering, if the file `armed` is there.
SCRIPT = """\
sshd() {{
    pid=$PPID
    until case $(cat /proc/$pid/comm) in sshd*) true;; *) false;; esac; do
        pid=$(ps -o ppid= -p $pid | tr -d ' ')
    done
    echo $pid
}}
echo "$SSH_ORIGINAL_COMMAND" | wc -l >> {folder}/calls
if rm {folder}/armed 2> /dev/null; then
    sh -c "$SSH_ORIGINAL_COMMAND" > /dev/null
    exec kill -9 $(sshd)
fi
sshd > {folder}/session
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass
class Node:
    """The node spark-1 of an inventory; its home and the script's files are in `folder`."""

    sshd: Sshd
    folder: Path

    def arm(self) -> None:
        """Let the next call end the connection after it has run, before its answer."""
        (self.folder / "armed").touch()

    def calls(self) -> int:
        """How many commands have reached the node."""
        return (self.folder / "calls").read_text().count("\n")

    def session_pid(self) -> int:
        """The sshd process of the connection of the last command."""
        return int((self.folder / "session").read_text())

    def inventory(self, port: int | None = None) -> Inventory:
        """The inventory of this node alone; `port` is that of a relay before it."""
        sshd = self.sshd
        text = (
            f"cluster: sparks\nssh: {{user: root, port: {port or sshd.port},"
            f" known_hosts: {sshd.known_hosts}, identity_file: {sshd.folder}/client,"
            " connect_timeout: 5}\n"
            "nodes:\n  - {name: spark-1, host: 127.0.0.1, role: head}\n"
            "vllm: {model: /models/m, tensor_parallel_size: 1}\n"
        )
        return parse(text.encode(), "inventory.yaml")

    @contextmanager
    def connected(self) -> Iterator[Session]:
        """A session with this node."""
        with connected(self.inventory(), self.folder, facts=False) as session:
            yield session


def scripted(sshd: Sshd, folder: Path) -> Node:
    """The node of this sshd, whose commands all go through SCRIPT."""
    (folder / "script").write_text(SCRIPT.format(folder=folder))
    authorized = sshd.folder / "authorized"
    authorized.write_text(f'command="sh {folder}/script" {authorized.read_text()}')
    return Node(sshd, folder)


class Relay:
    """A TCP relay to a port of this machine; once frozen it swallows what it receives."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.frozen = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                node = socket.create_connection(("127.0.0.1", self._to))
                for ends in ((client, node), (node, client)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.frozen.is_set():
                    target.sendall(data)


def numbered(count: int) -> str:
    """The text of a log of so many lines."""
    return "".join(f"line {n} \N{GREEK SMALL LETTER MU}\n" for n in range(count))


def seconds_left_out(notices: list[str]) -> list[str]:
    """Notices without their seconds."""
    return [re.sub(r"\d+ s", "N s", notice) for notice in notices]
