"""A cluster of the sparkctl before units, in the hands of this one; and the other way round."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.cluster import Cluster, until
from tests.lab.oldtool import old_package, old_tool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("downed")]
STATE = "~/.sparkctl/lab/applied.json"
NEWER = json.dumps({"schema": 99, "units": {"vllm/0/ray/spark-2": {}}})
# Without the lock file that is taken for each look at the lease.
FILES = (
    "find ~/.sparkctl ! -name lease.lock -printf '%p %m\\n'"
    " -type f -printf '%T@ ' -exec md5sum {} ';' 2>&1; true"
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_package(tmp_path_factory.mktemp("old"))


@pytest.fixture
def old(cluster: Cluster, packages: Path) -> Cluster:
    return old_tool(cluster, packages)


def document(cluster: Cluster, *command: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.run(*command, "--json", code=code).stdout)
    return found


def files(cluster: Cluster) -> dict[str, str]:
    """Each node's files of sparkctl: names, modes, times and contents."""
    return {node.name: cluster.on(node.name, FILES) for node in cluster.lab.nodes}


def test_the_old_sparkctl_is_another_one(old: Cluster, packages: Path) -> None:
    argv = [*old.program[:2], "-c", "import sparkctl; print(sparkctl.__file__)"]
    variables = dict(old.variables)
    seen = subprocess.run(argv, env=variables, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == str(packages / "sparkctl/__init__.py")


def test_a_lease_of_the_old_one_is_honoured(cluster: Cluster, old: Cluster) -> None:
    first, _ = until(old, "read the nodes' facts", "up", "--json")
    try:
        first.send_signal(signal.SIGSTOP)
        refused = cluster.error("down")
        assert refused["code"] == "locked"
        assert f"(pid {first.pid})" in refused["data"]["who"]
        assert f"(pid {first.pid})" in document(cluster, "status", code=1)["lease"]["who"]
        # `up` waits as long as the old one renews its lease, and then brings the cluster up itself.
        watching, seen = until(cluster, "watch the start by", "up")
        watching.kill()
        watching.communicate()
        assert f"(pid {first.pid})" in seen
    finally:
        first.kill()
        first.communicate()


def test_the_old_one_honours_a_lease_of_this_one(cluster: Cluster, old: Cluster) -> None:
    first, _ = until(cluster, "read the nodes' facts", "up", "--json")
    try:
        first.send_signal(signal.SIGSTOP)
        for command in ("up", "down"):
            refused = old.error(command)
            assert refused["code"] == "locked"
            assert f"(pid {first.pid})" in refused["data"]["who"]
    finally:
        first.kill()
        first.communicate()


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_state_of_a_newer_schema_is_named_and_left(cluster: Cluster, command: str) -> None:
    cluster.on("spark-2", f"mkdir -p -m 700 ~/.sparkctl/lab; echo '{NEWER}' > {STATE}")
    try:
        before = files(cluster)
        failed = cluster.run(command, "--json", code=1)
        assert "applied.json" in failed.stdout + failed.stderr
        assert "schema 99" in failed.stdout + failed.stderr
        assert files(cluster) == before
        printed = cluster.run(command, code=1)
        assert "schema 99" in printed.stdout + printed.stderr
    finally:
        cluster.on("spark-2", "rm -r ~/.sparkctl")
