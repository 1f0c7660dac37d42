"""The commands of a finding, pasted as they are, cure it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.lab.faults import engine
from sparkctl.lab.faults.table import FAULTS
from tests.lab.cluster import Cluster, environment
from tests.lab.pasted import FILLED, NOT_PASTED, PASTED

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]


def wrong(cluster: Cluster) -> list[dict[str, Any]]:
    """The findings that fail or warn, as a script reads them."""
    process = cluster.start("doctor", "--json", "--skip", "runtime.imports")
    document = json.loads(process.communicate(timeout=120)[0])
    return [f for f in document["findings"] if f["severity"] in ("FAIL", "WARN")]


def typed(line: str, fault: str) -> str:
    """The command with what the user fills in."""
    for word, value in FILLED.get(fault, {}).items():
        line = line.replace(word, value)
    return line


def commands(found: list[dict[str, Any]], fault: str) -> Iterator[tuple[str, str]]:
    """Each command with its finding's node, once."""
    lines = [(f["node"], typed(c, fault)) for f in found for c in (f["fix"] or {})["commands"]]
    yield from dict.fromkeys(lines)


def paste(cluster: Cluster, node: str, line: str) -> None:
    """Run a command in a shell: sparkctl's on this machine, any other on the node."""
    if line.startswith("sparkctl "):
        consented(cluster, line)
    else:
        cluster.on(node, line)


def consented(cluster: Cluster, line: str) -> None:
    """Run a command of sparkctl on a terminal, where the user answers yes."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, b"y\n")
        subprocess.run(
            ["sh", "-c", line],
            env={**environment(cluster.inventory), "PATH": path},
            stdin=terminal,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            timeout=120,
            check=True,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_the_tables_are_of_faults() -> None:
    assert {*PASTED, *NOT_PASTED} <= {*FAULTS}
    assert {*PASTED} & {*NOT_PASTED} == set()
    assert {*FILLED} <= {*PASTED}


@pytest.mark.parametrize("name", PASTED)
def test_the_commands_cure(name: str, cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, name)
    lines = [*commands(wrong(cluster), name)]
    assert lines
    for node, line in lines:
        paste(cluster, node, line)
    assert wrong(cluster) == []
