"""A gang of two ranks without Ray, and a runtime with another uid, as real processes: the rows of
tests/lab/toy alone make sparkctl run them.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.bundled import bundle_is_sent
from tests.lab.cluster import until
from tests.lab.toy import engine, runtime
from tests.lab.toycluster import completed, port, ranks, toy_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("toys")]
HEAD, WORKER = "spark-1", "spark-2"
FABRIC = "192.168.100.11"


@pytest.fixture
def clean(clean: None, cluster: Cluster) -> Iterator[None]:
    yield
    for node, pids in ranks(cluster).items():
        if pids:
            cluster.on(node, f"kill -9 {' '.join(pids)}")


class Rank:
    """A rank that is started on a node by hand, and what it says."""

    def __init__(self, cluster: Cluster, rank: int, *wrapper: str) -> None:
        where = f"{rank} {FABRIC} {port(0) + 1} {port(0)}"
        command = " ".join((*wrapper, "python3", engine.PROGRAM, where))
        argv = [*cluster.ssh((HEAD, WORKER)[rank]), f"SPARKCTL_CLUSTER=toy/1 exec {command}"]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )

    def says(self, line: str) -> None:
        """Wait for this line, its next one."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == line


def serving(cluster: Cluster, *wrapper: str) -> tuple[Rank, Rank]:
    """Both ranks, which serve."""
    first = Rank(cluster, 0, *wrapper)
    first.says("rank 0 waits for rank 1")
    second = Rank(cluster, 1, *wrapper)
    second.says("rank 1 waits for rank 0")
    second.says("rank 1 joined")
    first.says("rank 0 serves")
    return first, second


def refuses(cluster: Cluster, number: int) -> bool:
    """Whether nothing listens at this port of the head."""
    with socket.socket() as probe:
        return probe.connect_ex((cluster.lab.nodes[0].address, number)) != 0


@pytest.mark.usefixtures("clean")
def test_rank_0_serves_with_rank_1_alone(cluster: Cluster) -> None:
    alone = Rank(cluster, 0)
    alone.says("rank 0 waits for rank 1")
    assert refuses(cluster, port(0))
    second = Rank(cluster, 1)
    second.says("rank 1 waits for rank 0")
    second.says("rank 1 joined")
    alone.says("rank 0 serves")
    assert completed(cluster.lab) == 2
    for node, (pid,) in ranks(cluster).items():
        assert "SPARKCTL" not in cluster.on(node, f"tr -d '\\0' < /proc/{pid}/environ")


@pytest.mark.usefixtures("clean")
def test_a_gang_that_lost_a_rank_hangs_until_both_are_new(cluster: Cluster) -> None:
    first, _ = serving(cluster)
    head = cluster.lab.nodes[0].address
    (pid,) = ranks(cluster)[WORKER]
    cluster.on(WORKER, f"kill -9 {pid}")
    body = "{}"
    with socket.create_connection((head, port(0))) as asked:
        asked.sendall(f"POST /v1/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{body}".encode())
        first.says("rank 1 is gone: hanging")
        assert not select.select([asked], [], [], 0)[0]
    third = Rank(cluster, 1)
    third.says("rank 1 waits for rank 0")
    (old,), (new,) = ranks(cluster).values()
    cluster.on(HEAD, f"kill {old}")
    cluster.on(WORKER, f"kill {new}")
    for rank in (first, third):
        assert rank.process.wait(30) in (255, -signal.SIGTERM, 128 + signal.SIGTERM)
    serving(cluster)
    assert completed(cluster.lab) == 2


@pytest.mark.usefixtures("clean")
def test_the_toy_runtime_has_another_uid(cluster: Cluster) -> None:
    serving(cluster, *runtime.AS_OTHER)
    for node, (pid,) in ranks(cluster).items():
        uid = cluster.on(node, f"grep ^Uid: /proc/{pid}/status").split()[1]
        assert uid == runtime.UID
    assert completed(cluster.lab) == 2


def test_a_row_has_less_than_80_lines() -> None:
    for name in ("engine.py", "runtime.py"):
        lines = (Path(__file__).parent / "toy" / name).read_text().splitlines()
        assert len(lines) < 80


def is_well(toy: Cluster) -> None:
    """`doctor` finds nothing wrong with the gang, and judges it by nothing of another engine."""
    out = toy.run("doctor", "--skip", "fabric", "--json").stdout
    found = json.loads(out)["findings"]
    assert {f["severity"] for f in found} <= {"OK", "INFO", "WARN", "UNKNOWN"}
    assert not [f for f in found if "vLLM" in f["summary"]]
    whole = {f["node"] for f in found if (f["check"], f["severity"]) == ("running.ranks", "OK")}
    assert whole == {HEAD, WORKER}
    served = {f["check"] for f in found if f["severity"] == "OK"}
    assert {"running.api", "running.generation"} <= served
    header, *_ = rows = toy.run("status").stdout.splitlines()[1:]
    ray = header.index("RAY")
    assert [row[ray:].split()[:2] for row in rows[1:3]] == [["-", "-"]] * 2
    assert rows[3].startswith("toy: toy 1 serves toy at ")
    nodes = json.loads(toy.run("status", "--json").stdout)["nodes"]
    assert [node["ranks"] for node in nodes] == [None, None], "its ranks have no title"


def has_logs(toy: Cluster, other: Path) -> None:
    """Each rank has its log: by its service, and by its id where that left the inventory."""
    assert "rank 1 joined" in toy.run("logs", "toy", WORKER).stdout
    other.write_text(toy.inventory.read_text().replace("\n  toy:\n", "\n  new:\n"))
    without = replace(toy, inventory=other)
    assert "rank 0 serves" in without.run("logs", f"toy/0/rank/{HEAD}").stdout
    unknown = without.run("logs", f"old/0/rank/{HEAD}", code=2).stderr
    assert f'did you mean "toy/0/rank/{HEAD}"?' in unknown


def names_the_lost_rank(toy: Cluster) -> None:
    """`doctor` says which unit of the gang has ended."""
    out = toy.run("doctor", "--check", "running.ranks", "--json", code=3).stdout
    (lost,) = [f for f in json.loads(out)["findings"] if f["severity"] == "FAIL"]
    assert (lost["node"], lost["data"]["unit"]) == (WORKER, f"toy/0/rank/{WORKER}")


@pytest.mark.parametrize("where", ["venv", "toy"])
def test_up_kill_a_rank_up_down(lab: Lab, tmp_path: Path, where: str) -> None:
    toy = toy_cluster(lab, tmp_path, runtime=where)
    try:
        toy.up()
        before = ranks(toy)
        assert [len(pids) for pids in before.values()] == [1, 1]
        assert completed(lab) == 2
        if where == "toy":
            uid = toy.on(WORKER, f"grep ^Uid: /proc/{before[WORKER][0]}/status").split()[1]
            assert uid == runtime.UID
        assert json.loads(toy.run("status", "--json").stdout)["healthy"] is True
        assert toy.up().stdout.startswith("no changes")
        assert ranks(toy) == before

        if where == "venv":
            is_well(toy)
            has_logs(toy, tmp_path / "other.yaml")

        toy.on(WORKER, f"kill -9 {before[WORKER][0]}")
        if where == "venv":
            names_the_lost_rank(toy)
        assert json.loads(toy.run("status", "--json", code=1).stdout)["healthy"] is False
        changes = json.loads(toy.up("--json").stdout)["changes"]
        assert len(changes) == 2, "both ranks are replaced together"
        after = ranks(toy)
        assert [len(pids) for pids in after.values()] == [1, 1]
        assert not {*after[HEAD], *after[WORKER]} & {*before[HEAD], *before[WORKER]}
        assert completed(lab) == 2
        if where == "venv":
            bundle_is_sent(toy, tmp_path)
    finally:
        toy.run("down", "--break-lock")
    assert ranks(toy) == {HEAD: [], WORKER: []}
    assert toy.traces() == {}


def test_of_two_services_the_first_failure_ends_the_wait_for_both(lab: Lab, tmp_path: Path) -> None:
    toy = toy_cluster(lab, tmp_path)
    value = yaml.safe_load(toy.inventory.read_text())
    one = value.pop("services")["toy"] | {"tensor_parallel_size": 1}
    value["services"] = {"a": one | {"nodes": [HEAD]}, "b": one | {"nodes": [WORKER]}}
    for node in value["nodes"]:
        del node["role"]
    toy.inventory.write_text(json.dumps(value))
    hold = Path(engine.PROGRAM).with_name("hold")
    try:
        for node in (HEAD, WORKER):
            toy.on(node, f"echo 40 > {hold}")
        process, seen = until(toy, "a: loading toys 40%", "up", "--json")
        assert "] wait for toy rank 0 of a; toy rank 0 of b" in seen
        toy.on(HEAD, f"echo fail > {hold}.new && mv {hold}.new {hold}")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, out + err
        error = json.loads(out)["error"]
        assert (error["node"], error["code"]) == (HEAD, "vllm-failed")
        assert error["message"].startswith("toy rank 0 of a failed to start: ")
        assert "b: loading toys 40%" in seen + err
        assert "Rolled back." in err
        assert ranks(toy) == {HEAD: [], WORKER: []}
        toy.on(WORKER, f"rm {hold}")
        assert len(json.loads(toy.up("--json").stdout)["changes"]) == 2
    finally:
        toy.run("down", "--break-lock")
    assert toy.traces() == {}
