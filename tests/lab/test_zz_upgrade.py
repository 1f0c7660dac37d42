"""What the sparkctl before units serves, in the hands of this one; and starts with real Ray and
vLLM whose controllers are killed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.cluster import Cluster, until
from tests.lab.crashes import crash
from tests.lab.oldtool import old_package, old_tool
from tests.lab.toycluster import with_rows
from tests.lab.users import other_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.serving]
BREAK = "--break-lock"
HEAD, WORKER = "spark-1", "spark-2"
RANK = "[r]ay::RayWorkerProc"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_package(tmp_path_factory.mktemp("old"))


@pytest.fixture
def old(cluster: Cluster, packages: Path) -> Cluster:
    return old_tool(cluster, packages)


@pytest.fixture
def mine(cluster: Cluster) -> Cluster:
    """A tool that can be killed at a call."""
    return with_rows(cluster)


@pytest.fixture
def other(cluster: Cluster) -> Iterator[Cluster]:
    """Another user's tool."""
    with other_user(cluster) as theirs:
        yield theirs


def status(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.run("status", "--deep", "--json").stdout)
    return found


def pids(cluster: Cluster) -> dict[str, list[str]]:
    """The processes of Ray and vLLM on each node, as the nodes have them."""
    look = "pgrep -f '[r]aylet/raylet|[g]cs_server|[v]llm serve|[r]ay::RayWorkerProc'; true"
    return {node: cluster.on(node, look).split() for node in (HEAD, WORKER)}


def count(cluster: Cluster, node: str, pattern: str) -> int:
    return int(cluster.on(node, f"pgrep -fc '{pattern}'; true"))


def assert_one_gang(cluster: Cluster) -> None:
    """Each part runs once, and generates."""
    assert status(cluster)["vllm"]["tokens"] >= 1
    for node in (HEAD, WORKER):
        assert count(cluster, node, "[r]aylet/raylet") == 1
        assert count(cluster, node, RANK) == 1
    assert count(cluster, HEAD, "[b]in/vllm serve") == 1
    assert count(cluster, HEAD, "[g]cs/gcs_server") == 1
    assert count(cluster, WORKER, "[g]cs/gcs_server") == 0


def test_what_the_old_one_started_is_shown_kept_and_ended(cluster: Cluster, old: Cluster) -> None:
    assert cluster.traces() == {}
    old.up()
    found = status(cluster)
    assert found["healthy"] is True
    assert [node["ranks"] for node in found["nodes"]] == [1, 1]
    assert all(node["processes"] for node in found["nodes"])
    assert found["vllm"]["since"] > 0
    before = pids(cluster)
    again = cluster.up()
    assert again.stdout.startswith("no changes")
    assert pids(cluster) == before
    assert_one_gang(cluster)
    cluster.run("down")
    assert cluster.traces() == {}


def test_down_after_up_was_killed_leaves_nothing(
    cluster: Cluster, mine: Cluster, other: Cluster
) -> None:
    assert cluster.traces() == {}
    crash(mine, f"after launch.* on {WORKER}", "up")
    other.run("down", BREAK)
    assert cluster.traces() == {}


def test_up_keeps_what_killed_ones_have_started(
    cluster: Cluster, old: Cluster, mine: Cluster, other: Cluster
) -> None:
    assert cluster.traces() == {}
    crash(mine, f"before launch.* on {HEAD}", "up")
    refused = old.run("up", BREAK, "--json", code=1)
    assert "has unknown schema 2 (this sparkctl reads 1)" in refused.stderr + refused.stdout
    assert not any(pids(cluster).values())
    crash(mine, f"after launch.* on {HEAD}", "up", BREAK)
    ray = cluster.on(HEAD, "until pgrep -f '[g]cs/gcs_server'; do sleep 0.1; done").split()
    second, _ = until(other, "loading the model", "up", BREAK)
    second.kill()
    second.communicate()
    loading = pids(cluster)
    assert {*ray} <= {*loading[HEAD]}, "the Ray that was starting"
    cluster.up(BREAK)
    assert all({*loading[node]} <= {*there} for node, there in pids(cluster).items())
    assert_one_gang(cluster)
    cluster.run("down")
    assert cluster.traces() == {}
