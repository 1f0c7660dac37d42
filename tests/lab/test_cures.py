"""Remedies as a user pastes them into a login of the node: what they are for is cured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.lab.faults import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
TWO = "spark-2"
FOLDER = "/etc/security/limits.d"


def finding(cluster: Cluster, check: str, code: int) -> dict[str, Any]:
    """The only finding of a check on the second node; the command exits with `code`."""
    printed = cluster.run("doctor", TWO, "--check", check, "--json", code=code).stdout
    (found,) = [f for f in json.loads(printed)["findings"] if f["node"] == TWO]
    return dict(found)


def paste(cluster: Cluster, found: dict[str, Any]) -> None:
    """Run the commands of a finding's remedy on the second node, in order."""
    assert found["fix"]["commands"]
    for command in found["fix"]["commands"]:
        cluster.on(TWO, command)


@pytest.fixture
def limits(cluster: Cluster) -> Iterator[None]:
    """The folder of limits as it was, but for the faults' own files."""
    before = cluster.on(TWO, f"ls {FOLDER}").split()
    yield
    after = cluster.on(TWO, f"ls {FOLDER}").split()
    for name in {*after} - {*before, "site.conf", "rdma.conf", "files.conf"}:
        cluster.on(TWO, f"rm {FOLDER}/{name}")


def lifted(cluster: Cluster, found: dict[str, Any]) -> None:
    """After the remedy a login has no limit; or the highest one that root can have, on a machine
    whose root lacks CAP_SYS_RESOURCE.
    """
    highest = cluster.on("spark-1", "ulimit -l unlimited 2>&-; ulimit -l").strip()
    paste(cluster, found)
    assert cluster.on(TWO, "ulimit -l").strip() == highest
    after = finding(cluster, "fabric.memlock", code=0 if highest == "unlimited" else 3)
    assert (after["severity"] == "OK") == (highest == "unlimited")
    assert after["severity"] == "OK" or "lifts it already" in after["fix"]["text"]


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("memlock-64k", [f"{FOLDER}/site.conf:3"]),
        ("memlock-later", [f"{FOLDER}/rdma.conf:1", f"{FOLDER}/site.conf:1"]),
    ],
)
@pytest.mark.usefixtures("limits")
def test_the_line_that_decides_is_named_and_its_change_lifts_the_limit(
    fault: str, lines: list[str], cluster: Cluster
) -> None:
    engine.inject(cluster.lab.base, fault)
    found = finding(cluster, "fabric.memlock", code=3)
    assert (found["severity"], found["data"]["lines"]) == ("FAIL", lines)
    lifted(cluster, found)


@pytest.mark.usefixtures("limits")
def test_where_no_line_decides_a_new_one_lifts_the_limit(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "memlock-64k")
    cluster.on(TWO, f"sed -i /^root/d {FOLDER}/site.conf")  # `*` is not for root
    found = finding(cluster, "fabric.memlock", code=3)
    assert (found["severity"], found["data"]["lines"]) == ("FAIL", [])
    lifted(cluster, found)


@pytest.mark.usefixtures("limits")
def test_more_open_files_are_allowed_to_root_too(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "memlock-64k")  # so that a login reads the files
    cluster.on(TWO, f"echo 'root - nofile 1024' >{FOLDER}/files.conf")
    found = finding(cluster, "host.login", code=0)
    assert (found["severity"], found["code"]) == ("WARN", "few-open-files")
    paste(cluster, found)
    assert finding(cluster, "host.login", code=0)["severity"] == "OK"
