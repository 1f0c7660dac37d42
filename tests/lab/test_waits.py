"""While a connected node is slow to answer, its name is shown; with a real sshd."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.screen import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.conftest import Sshd

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("command", "wait", "waited"),
    [
        (("status",), "probe", "  spark-1  read the node's facts  "),
        (("doctor",), "import", "  spark-1  importing torch, ray and vllm  "),
    ],
)
def test_a_slow_command_names_its_node(
    command: tuple[str, ...], wait: str, waited: str, sshd: Sshd, tmp_path: Path
) -> None:
    released = tmp_path / "released"
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    # Either every command waits, or only the runtime's python.
    pattern = {"probe": "*", "import": f"*{venv}/bin/python*"}[wait]
    script = tmp_path / "slow"
    script.write_text(
        f'case "$SSH_ORIGINAL_COMMAND" in {pattern})\n'
        f'  until [ -e "{released}" ]; do sleep 0.1; done;;\nesac\n'
        'exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    authorized = sshd.folder / "authorized"
    authorized.write_text(f'command="sh {script}" {authorized.read_text()}')
    (tmp_path / "inventory.yaml").write_text(
        f"cluster: sparks\nssh: {{user: root, port: {sshd.port}, known_hosts: {sshd.known_hosts},"
        f" identity_file: {sshd.folder}/client}}\n"
        "nodes:\n  - {name: spark-1, host: 127.0.0.1, role: head}\n"
        f"runtime: {{venv: {venv}}}\nvllm: {{model: /models/m, tensor_parallel_size: 1}}\n"
    )
    inventory = str(tmp_path / "inventory.yaml")
    argv = [sys.executable, "-m", "sparkctl", *command, "-i", inventory]
    try:
        with Terminal(argv) as terminal:
            terminal.until(lambda lines: any(waited in line for line in lines))
            released.touch()
            lines = terminal.ended()
    finally:
        released.touch()
    assert not any(waited in line for line in lines)
    assert any("spark-1" in line for line in lines)
