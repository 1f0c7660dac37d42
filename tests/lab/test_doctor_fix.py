"""doctor --fix on a terminal, on the lab: its question, and what changes meanwhile."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from sparkctl.lab.faults import engine
from tests.lab.cluster import Cluster, environment

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
ONE, TWO = "spark-1", "spark-2"


def answered(
    cluster: Cluster, answer: bytes, meanwhile: Callable[[], object] = lambda: None
) -> tuple[int, str, str]:
    """`doctor --fix` with this answer, given after `meanwhile`: exit code, stdout and stderr."""
    master, slave = pty.openpty()
    argv = ["doctor", "--fix", "--check", "fabric.mtu", "--check", "reach"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sparkctl", *argv],
        env=environment(cluster.inventory),
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    assert process.stderr is not None
    seen = b""
    bound = threading.Timer(120, process.kill)  # a question with other words would never come
    bound.start()
    while b"Apply?" not in seen:
        byte = process.stderr.read(1)
        assert byte, seen
        seen += byte
    bound.cancel()
    meanwhile()
    os.write(master, answer)
    out, err = process.communicate(timeout=120)
    os.close(master)
    return process.returncode, out.decode(), (seen + err).decode()


def test_no_prints_the_findings(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "mtu-1500")
    code, out, err = answered(cluster, b"n\n")
    assert code == 3
    assert f"FAIL    {TWO}: fabric.mtu" in out
    assert "done: " not in err


def test_ctrl_d_at_the_prompt_interrupts(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "mtu-1500")
    code, out, _ = answered(cluster, b"\x04")
    assert (code, out) == (130, "")


def test_a_node_that_goes_away_while_it_asks_is_a_failed_change(cluster: Cluster) -> None:
    base = cluster.lab.base
    engine.inject(base, "mtu-1500", ONE)
    engine.inject(base, "mtu-1500", TWO)
    code, out, err = answered(cluster, b"y\n", lambda: engine.inject(base, "ssh-down", TWO))
    assert code == 3
    assert f"FAILED: {TWO}: " in err
    assert f"done: {ONE}: set the MTU" in err
    assert f"FAIL    {TWO}: reach.ssh" in out


def test_what_is_repaired_while_it_asks_is_no_longer_needed(cluster: Cluster) -> None:
    base = cluster.lab.base
    engine.inject(base, "mtu-1500")
    code, _, err = answered(cluster, b"y\n", lambda: engine.heal(base))
    assert f"no longer needed: {TWO}: set the MTU" in err
    assert "done: " not in err
    assert code == 0
