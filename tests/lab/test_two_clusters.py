"""Two clusters of one name: one of another inventory, and one of another account of a node."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("clean")]
HEAD, WORKER = "spark-1", "spark-2"
STATE = "~/.sparkctl/lab/applied.json"
TEMPORARY = "/tmp/sparkctl-lab"
ACCOUNT, UID = "carol", 4343
COMMANDS = pytest.mark.parametrize("command", ["up", "down"])


def state(who: str, number: int) -> dict[str, Any]:
    """The state of a cluster of the same name that `who` started on a node of another inventory."""
    by = {"who": who, "when": "2026-11-22 02:00:00 +0000"}
    nodes = {f"{who[:4]}-node": {"host": "192.0.2.1", "ssh": {}}}
    header = {"schema": 2, "id": f"{number:016x}", "cluster": "lab", "by": by, "nodes": nodes}
    return {**header, "units": {}, "older": {}}


@contextmanager
def planted(cluster: Cluster, node: str, who: str, number: int) -> Iterator[None]:
    text = json.dumps(state(who, number))
    cluster.on(node, f"mkdir -p -m 700 ~/.sparkctl/lab; echo '{text}' > {STATE}; chmod 600 {STATE}")
    try:
        yield
        assert json.loads(cluster.on(node, f"cat {STATE}")) == state(who, number)
    finally:
        cluster.on(node, "rm -rf ~/.sparkctl")


@COMMANDS
def test_two_clusters_of_one_name_are_both_named_and_left(cluster: Cluster, command: str) -> None:
    with planted(cluster, HEAD, "anna@desk", 1), planted(cluster, WORKER, "ben@laptop", 2):
        refused = cluster.run(command, code=1).stderr
        assert "anna@desk" in refused
        assert "ben@laptop" in refused


@contextmanager
def of_another_account(cluster: Cluster, node: str) -> Iterator[str]:
    """A process of another account's cluster of the same name on a node; gives its pid."""
    cluster.on(node, f"echo '{ACCOUNT}:x:{UID}:{UID}::/nonexistent:/bin/sh' >> /etc/passwd")
    cluster.on(node, f"mkdir -m 700 {TEMPORARY}; chown {UID}:{UID} {TEMPORARY}")
    mark = "SPARKCTL_CLUSTER=lab/20260101-000000-aaaa SPARKCTL_ROLE=ray"
    mark += f" SPARKCTL_UNIT=vllm/0/ray/{node}"
    account = f"setpriv --reuid {UID} --regid {UID} --clear-groups"
    argv = [*cluster.ssh(node), f"echo $$; exec env {mark} {account} sleep 600"]
    holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid = holder.stdout.readline().strip()
    try:
        yield pid
        assert cluster.on(node, f"stat -c '%u %a' {TEMPORARY}") == f"{UID} 700\n"
        assert cluster.on(node, f"cat /proc/{pid}/comm") == "sleep\n"
    finally:
        cluster.on(node, f"kill {pid}; rm -r {TEMPORARY}; sed -i '/^{ACCOUNT}:/d' /etc/passwd")
        holder.communicate(timeout=30)


@COMMANDS
def test_another_accounts_cluster_is_named_and_left(cluster: Cluster, command: str) -> None:
    with of_another_account(cluster, WORKER):
        failed = json.loads(cluster.run(command, "--json", code=1).stdout)
        printed = json.dumps(failed)
        assert ACCOUNT in printed
        assert WORKER in printed
