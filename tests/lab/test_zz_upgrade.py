"""What the sparkctl before units serves, in the hands of this one; and a start with real Ray whose
controllers are killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.crashes import crash
from tests.lab.guarded import status
from tests.lab.oldtool import old_package, old_tool
from tests.lab.raygang import assert_one_gang, parts
from tests.lab.toycluster import with_rows
from tests.lab.users import other_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.serving]
BREAK = "--break-lock"
HEAD, WORKER = "spark-1", "spark-2"


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


def test_what_the_old_one_started_is_shown_kept_and_ended(cluster: Cluster, old: Cluster) -> None:
    assert cluster.traces() == {}
    old.up()
    found = status(cluster)
    assert found["healthy"] is True
    assert [node["ranks"] for node in found["nodes"]] == [1, 1]
    assert all(node["processes"] for node in found["nodes"])
    assert found["vllm"]["since"] > 0
    before = parts(cluster)
    again = cluster.up()
    assert again.stdout.startswith("no changes")
    assert parts(cluster) == before
    assert_one_gang(cluster)
    cluster.run("down")
    assert cluster.traces() == {}


def test_the_old_one_refuses_and_down_ends_what_a_killed_up_has_started(
    cluster: Cluster, old: Cluster, mine: Cluster, other: Cluster
) -> None:
    assert cluster.traces() == {}
    crash(mine, f"before launch.* on {HEAD}", "up")
    refused = old.run("up", BREAK, "--json", code=1)
    assert "has unknown schema 2 (this sparkctl reads 1)" in refused.stderr + refused.stdout
    assert not any(parts(cluster).values())
    crash(mine, f"after launch.* on {WORKER}", "up", BREAK)
    other.run("down", BREAK)
    assert cluster.traces() == {}
