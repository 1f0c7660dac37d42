"""doctor --fix on a terminal, on the lab: its question, and what changes meanwhile."""

from __future__ import annotations

import json
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
    assert f"FAIL    fabric.mtu {TWO}:" in out
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
    assert f"FAIL    reach.ssh {TWO}:" in out


def test_what_is_repaired_while_it_asks_is_no_longer_needed(cluster: Cluster) -> None:
    base = cluster.lab.base
    engine.inject(base, "mtu-1500")
    code, _, err = answered(cluster, b"y\n", lambda: engine.heal(base))
    assert f"no longer needed: {TWO}: set the MTU" in err
    assert "done: " not in err
    assert code == 0


# Kills the call that runs it, as a node's crash would, after a link was set.
KILLER = """\
cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
$(PATH=/usr/sbin:/usr/bin:/sbin:/bin which ip) "$@"
status=$?
[ "$1 $2" = "link set" ] && kill -9 $PPID
exit $status
END
chmod 755 /usr/local/sbin/ip
"""
MTU = "ip link show enP2p1s0f0np0 | grep -o 'mtu [0-9]*'"
JOURNAL = "/var/lib/sparkctl/lab/journal.json"


def test_what_was_not_completed_is_taken_back_by_the_next_one_alone(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "mtu-1500")
    fix = ("doctor", "--fix", "--yes", "--check", "fabric.mtu")
    cluster.on(TWO, KILLER)
    try:
        assert "FAILED" in cluster.run(*fix, code=1).stderr  # the MTU is right afterwards
    finally:
        cluster.on(TWO, "rm /usr/local/sbin/ip")
    assert cluster.on(TWO, MTU) == "mtu 9000\n"
    (entry,) = json.loads(cluster.on(TWO, f"cat {JOURNAL}"))["entries"]
    assert (entry["owner"], entry["done"]) == ("fix", False)
    for other in ("down", "doctor"):
        cluster.run(other)
    assert cluster.on(TWO, MTU) == "mtu 9000\n", "somebody else's change"
    done = cluster.run(*fix, code=3)
    assert f"would: take back {TWO}: set the MTU of enP2p1s0f0np0 from 1500 to 9000" in done.stderr
    assert f"done: take back {TWO}: " in done.stderr
    assert cluster.on(TWO, MTU) == "mtu 1500\n"
    assert "done: " in cluster.run(*fix).stderr
    assert cluster.on(TWO, MTU) == "mtu 9000\n"
    assert cluster.on(TWO, "ls -d /var/lib/sparkctl 2>/dev/null; true") == "", "nothing is left"
