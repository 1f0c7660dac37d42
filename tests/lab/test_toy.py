"""A gang of two ranks without Ray, and a runtime with another uid, as real processes: the rows of
tests/lab/toy alone make sparkctl run them.
"""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.bundled import bundle_is_sent, kept_log_is_sent
from tests.lab.cluster import until
from tests.lab.following import followed
from tests.lab.toy import engine, runtime
from tests.lab.toycluster import completed, hold, let_go, port, ranks, toy_cluster
from tests.screen import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster
    from tests.lab.following import Following

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("toys")]
HEAD, WORKER = "spark-1", "spark-2"
LOST = f"on {WORKER}: not running"
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
    status = toy.run("status").stdout.splitlines()
    assert status[0].endswith(": healthy")
    assert "RAY" not in status[2]
    assert [row.split()[:3] for row in status[3:5]] == [
        [HEAD, "ready", "head"],
        [WORKER, "ready", "worker"],
    ]
    assert status[7].split()[:2] == ["toy", "ready"]
    assert toy.run("status", "-o", "name").stdout.split() == [
        f"toy/0/rank/{name}" for name in (HEAD, WORKER)
    ]
    nodes = json.loads(toy.run("status", "--json").stdout)["nodes"]
    assert [node["ranks"] for node in nodes] == [None, None], "its ranks have no title"


def starts_on_a_terminal(toy: Cluster) -> None:
    """`up` fits the terminal, each step has its time, and the curl command asks for a reply."""
    variables = {**toy.variables, "SPARKCTL_INVENTORY": str(toy.inventory)}
    argv = [*toy.program, "up"]
    hold(toy)
    with Terminal(argv, columns=80, rows=60, beyond=80, environment=variables) as terminal:
        terminal.until(lambda lines: "wait for toy rank 0: loading toys" in lines[-1])
        let_go(toy)
        rows = terminal.ended()
        assert terminal.process.returncode == 0, rows
    assert [row for row in rows if len(row) > 80] == []
    end = rows.index(f"toy is served at http://{toy.lab.nodes[0].address}:{port(0)}/v1")
    steps = [re.fullmatch(r"✓ (.+) \d+\.\d s", row) for row in rows[:end] if row[0] == "✓"]
    titles = [step[1] for step in steps if step]
    assert len(titles) == len(steps)
    assert (titles[0], titles[-2:]) == (
        "connect to the nodes",
        ["wait for toy rank 0", "note what runs"],
    )
    assert rows[end + 1].startswith("total time: ")
    first, last = rows.index("Try it:") + 1, rows.index("Next:")
    reply = subprocess.check_output(["sh", "-c", "\n".join(rows[first:last])], text=True)
    assert json.loads(reply)["usage"]["completion_tokens"] == 50
    assert rows[last + 1 :] == [
        f"  sparkctl {name}" for name in ("status", "logs -f", "doctor", "down")
    ]


def has_logs(toy: Cluster, other: Path) -> None:
    """Each rank has its log: by its service, and by its id where that left the inventory."""
    assert "rank 1 joined" in toy.run("logs", "toy", WORKER).stdout
    other.write_text(toy.inventory.read_text().replace("\n  toy:\n", "\n  new:\n"))
    without = replace(toy, inventory=other)
    assert "rank 0 serves" in without.run("logs", f"toy/0/rank/{HEAD}").stdout
    unknown = without.run("logs", f"old/0/rank/{HEAD}", code=2).stderr
    assert f'did you mean "toy/0/rank/{HEAD}"?' in unknown
    both = toy.run("logs", WORKER, HEAD, "--since", "1h")
    lines = [line.partition(" rank | ") for line in both.stdout.splitlines()]
    assert [*dict.fromkeys(node for node, _, _ in lines)] == [WORKER, HEAD]
    assert (WORKER, " rank | ", "rank 1 joined") in lines
    assert both.stderr == "", "the shim has marked when lines were written"


def names_the_lost_rank(toy: Cluster) -> None:
    """`doctor` says which unit of the gang has ended."""
    out = toy.run("doctor", "--check", "running.ranks", "--json", code=3).stdout
    (lost,) = [f for f in json.loads(out)["findings"] if f["severity"] == "FAIL"]
    assert (lost["node"], lost["data"]["unit"]) == (WORKER, f"toy/0/rank/{WORKER}")


def follows_over_a_lost_connection(following: Following) -> None:
    """Both logs at once, of one node over a lost connection."""
    following.until(f"{HEAD} rank | rank 0 serves", f"{WORKER} rank | rank 1 joined")
    following.write("before")
    following.cut(WORKER)
    following.write("after")


def goes_on_with_the_next_logs(following: Following) -> None:
    """Those of the ranks that `up` has started in place of the others; every line came once."""
    following.until(f"{HEAD} rank | rank 0 serves", f"{WORKER} rank | rank 1 joined")
    err = following.interrupted().splitlines()
    lines = following.lines
    once = [f"{node} rank | {line}" for node in (HEAD, WORKER) for line in ("before", "after")]
    assert [lines.count(line) for line in once] == [1] * 4
    assert lines.count(f"{HEAD} rank | rank 0 serves") == 2
    assert len([line for line in lines if line.startswith(f"{WORKER} rank | == sparkctl ")]) == 1
    assert err[0] == f"connection to {WORKER} lost; reconnecting"
    assert err[1].startswith(f"connection to {WORKER} restored after ")
    assert [line for line in err[2:] if line] == ["interrupted"]


def on_terminal(toy: Cluster, columns: int, *words: str) -> Terminal:
    """`sparkctl status` on a terminal that sees rows over its width."""
    variables = {**toy.variables, "SPARKCTL_INVENTORY": str(toy.inventory)}
    argv = [*toy.program, "status", *words]
    return Terminal(argv, columns=columns, beyond=0 if words else 100, environment=variables)


def fits(toy: Cluster, columns: int) -> None:
    """The status fits this terminal and has each name."""
    with on_terminal(toy, columns) as terminal:
        lines = terminal.ended()
    text = "\n".join(lines)
    assert all(len(line) <= columns for line in lines), text
    address = toy.lab.nodes[0].address
    assert [
        each for each in (HEAD, WORKER, f"http://{address}:{port(0)}") if each not in text
    ] == []
    assert text.count("imitated: ") == 1


def watches_a_loss(toy: Cluster, pid: str) -> None:
    """A rank that is killed shows in what is watched, and stays on the screen after Ctrl-C."""
    with on_terminal(toy, 60, "--watch", "--interval", "0.5") as watch:
        watch.until(lambda lines: any(line.endswith(": healthy") for line in lines))
        toy.on(WORKER, f"kill -9 {pid}")
        watch.until(lambda lines: any(LOST in line for line in lines))
        watch.process.send_signal(signal.SIGINT)
        lines = watch.ended()
        assert any(line.startswith(f"{WORKER}  absent") for line in lines), "it stays"
        assert (lines[-1], watch.process.returncode) == ("interrupted", 130)


@pytest.mark.parametrize("where", ["venv", "toy"])
def test_up_kill_a_rank_up_down(lab: Lab, tmp_path: Path, where: str) -> None:
    toy = toy_cluster(lab, tmp_path, runtime=where)
    try:
        if where == "venv":
            starts_on_a_terminal(toy)
        else:
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
            fits(toy, 60)
            fits(toy, 120)
            has_logs(toy, tmp_path / "other.yaml")

        with followed(toy) if where == "venv" else nullcontext() as following:
            if following:
                follows_over_a_lost_connection(following)
                watches_a_loss(toy, before[WORKER][0])
                names_the_lost_rank(toy)
            else:
                toy.on(WORKER, f"kill -9 {before[WORKER][0]}")
            assert json.loads(toy.run("status", "--json", code=1).stdout)["healthy"] is False
            changes = json.loads(toy.up("--json").stdout)["changes"]
            assert len(changes) == 2, "both ranks are replaced together"
            if following:
                goes_on_with_the_next_logs(following)
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
        kept_log_is_sent(toy, HEAD, tmp_path / "after.zip")
        toy.on(WORKER, f"rm {hold}")
        assert len(json.loads(toy.up("--json").stdout)["changes"]) == 2
    finally:
        toy.run("down", "--break-lock")
    assert toy.traces() == {}
