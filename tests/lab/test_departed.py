"""Nodes and services that left the inventory, on real nodes with the toy engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.lab.toycluster import completed, hold, let_go, port, toy_cluster, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("toys")]
HEAD, WORKER = "spark-1", "spark-2"
STATE = "~/.sparkctl/toy0/applied.json"


@pytest.fixture
def toy(lab: Lab, tmp_path: Path) -> Iterator[Cluster]:
    """One service, a gang on both nodes, which is up."""
    cluster = toy_cluster(lab, tmp_path)
    original = cluster.inventory.read_text()
    assert cluster.traces() == {}
    cluster.up()
    yield cluster
    cluster.inventory.write_text(original)
    cluster.run("down", "--break-lock")
    assert ranks(cluster) == {HEAD: [], WORKER: []}
    assert cluster.traces() == {}


@pytest.fixture
def pair(lab: Lab, tmp_path: Path) -> Iterator[Cluster]:
    """Two services, each on a node of its own, which are up."""
    cluster = toy_cluster(lab, tmp_path)
    assert cluster.traces() == {}
    services = {"chat": service(HEAD), "code": service(WORKER, number=1)}
    edit(cluster, services=services, nodes=without(cluster, ""))
    cluster.up()
    yield cluster
    cluster.run("down", "--break-lock")
    assert ranks(cluster) == {HEAD: [], WORKER: []}
    assert cluster.traces() == {}


def service(*nodes: str, number: int = 0) -> dict[str, Any]:
    row = {"engine": "toy", "executor": "gang", "model": "toy", "port": port(number)}
    row |= {"nodes": list(nodes), "tensor_parallel_size": len(nodes)}
    return row


def edit(cluster: Cluster, **changes: Any) -> None:
    """Change the cluster's inventory in place."""
    value = yaml.safe_load(cluster.inventory.read_text())
    cluster.inventory.write_text(yaml.safe_dump({**value, **changes}))


def without(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """The inventory's nodes but this one."""
    nodes = yaml.safe_load(cluster.inventory.read_text())["nodes"]
    return [{"name": n["name"], "host": n["host"]} for n in nodes if n["name"] != name]


def ranks(cluster: Cluster) -> dict[str, list[str]]:
    """The pids of the toy's ranks on each node."""
    look = "pgrep -f '[/]gang.py [01]'; true"
    return {node.name: cluster.on(node.name, look).split() for node in cluster.lab.nodes}


def changes(cluster: Cluster, *args: str) -> list[str]:
    found = json.loads(cluster.run(*args, "--json").stdout)["changes"]
    return [str(change) for change in found]


@pytest.mark.parametrize(("left", "stays"), [(WORKER, HEAD), (HEAD, WORKER)])
def test_a_node_that_left_is_ended_and_cleaned(toy: Cluster, left: str, stays: str) -> None:
    edit(toy, nodes=without(toy, left), services={"toy": service(stays)})
    refused = toy.error("up", code=2)
    assert refused["code"] == "consent-required"
    assert f"on {left}: no longer in the inventory" in refused["message"]
    found = changes(toy, "up", "--yes")
    assert any(c.startswith("stop toy rank") and f"on {left}: no longer" in c for c in found)
    after = ranks(toy)
    assert (len(after[stays]), after[left]) == (1, [])
    assert toy.on(left, "ls -d ~/.sparkctl 2>/dev/null; true") == ""
    nodes = json.loads(toy.on(stays, f"cat {STATE}"))["nodes"]
    assert list(nodes) == [stays]
    assert changes(toy, "up") == []
    assert ranks(toy) == after


def test_down_ends_a_node_that_left(toy: Cluster) -> None:
    edit(toy, nodes=without(toy, WORKER), services={"toy": service(HEAD)})
    done = toy.run("down")
    assert f"{WORKER} is no longer in the inventory" in done.stderr
    assert ranks(toy) == {HEAD: [], WORKER: []}
    assert toy.traces() == {}
    assert toy.run("down").stdout == "nothing to do\n"


def test_a_node_that_left_is_known_until_it_is_ended(toy: Cluster) -> None:
    before, own_id = ranks(toy), known(toy, HEAD)["id"]
    edit(toy, nodes=without(toy, WORKER), services={"toy": service(HEAD)})
    with unreachable(toy, WORKER):
        for words in (("down", "toy"), ("down",), ("down",)):
            code = 0 if "toy" in words else 1
            found = json.loads(toy.run(*words, "--json", code=code).stdout)
            assert [*found["failed"]] == [WORKER] * code
            assert [*known(toy, HEAD)["nodes"]] == [HEAD, WORKER]
        toy.run("up")
        assert known(toy, HEAD)["id"] == own_id
    assert ranks(toy)[WORKER] == before[WORKER]
    assert f"{WORKER} is no longer in the inventory" in toy.run("down", "toy").stderr
    assert toy.traces() == {}, "the departed node had units of that service"


def known(cluster: Cluster, node: str) -> dict[str, Any]:
    """A node's record."""
    found: dict[str, Any] = json.loads(cluster.on(node, f"cat {STATE}"))
    return found


def record(cluster: Cluster, name: str, host: str, **ssh: object) -> None:
    """Have the head's record name one more node."""
    state = json.loads(cluster.on(HEAD, f"cat {STATE}"))
    state["nodes"][name] = {"host": host, "ssh": ssh}
    cluster.on(HEAD, f"cat > {STATE} <<'END'\n{json.dumps(state)}\nEND\n")


def test_one_that_cannot_be_reached_blocks_nothing_and_stays_known(toy: Cluster) -> None:
    before, closed = ranks(toy), toy.lab.nodes[1].address
    record(toy, "spark-9", closed, port=1)
    for _ in range(2):  # the second time it is known by what the first recorded
        done = toy.run("up", "--json")
        (warning,) = json.loads(done.stdout)["doubts"]
        assert (warning["code"], warning["data"]["node"]) == ("node-departed", "spark-9")
        assert "sparkctl down" in warning["text"]
    assert ranks(toy) == before
    assert "spark-9" in json.loads(toy.on(WORKER, f"cat {STATE}"))["nodes"]
    failed = json.loads(toy.run("down", "--json", code=1).stdout)
    assert failed["failed"].keys() == {"spark-9"}
    assert ranks(toy) == {HEAD: [], WORKER: []}
    for node in (HEAD, WORKER):
        toy.on(node, f"rm {STATE}")


def test_a_renamed_node_is_the_same_machine(toy: Cluster) -> None:
    nodes = [{**n, "name": n["name"].replace("2", "b")} for n in without(toy, "")]
    edit(toy, nodes=nodes, services={"toy": service(HEAD, "spark-b")})
    found = changes(toy, "up", "--yes")
    assert "stop toy rank 1 on spark-2: no longer in the inventory" in found
    assert "start toy rank 1 on spark-b: not running" in found
    assert [len(pids) for pids in ranks(toy).values()] == [1, 1]
    assert completed(toy.lab) == 2
    assert changes(toy, "up") == []


def test_services_are_changed_one_by_one(pair: Cluster) -> None:
    first = ranks(pair)
    assert [len(pids) for pids in first.values()] == [1, 1]
    edit(pair, services={"chat": service(HEAD), "code": service(WORKER, number=2)})
    assert "toy of code is served" in pair.error("up", code=2)["message"]
    (change,) = changes(pair, "up", "--yes")
    assert change.startswith("restart toy rank 0 of code on spark-2: ")
    second = ranks(pair)
    assert second[HEAD] == first[HEAD]
    assert second[WORKER] != first[WORKER]
    assert changes(pair, "restart", "chat", "--yes") == [
        "restart toy rank 0 of chat on spark-1: restart requested"
    ]
    third = ranks(pair)
    assert third[HEAD] != second[HEAD]
    assert third[WORKER] == second[WORKER]
    assert pair.error("restart", "chat", code=2)["code"] == "consent-required"
    pair.run("down", "chat")
    assert ranks(pair) == {HEAD: [], WORKER: third[WORKER]}
    assert pair.run("down", "chat").stdout == "nothing to do\n"
    leftovers = ("doctor", "--check", "host.leftovers", "--json")
    assert json.loads(pair.run(*leftovers).stdout)["counts"]["WARN"] == 0
    assert changes(pair, "up") == ["start toy rank 0 of chat on spark-1: not running"]


def test_a_node_that_left_is_known_to_one_whose_service_was_ended(pair: Cluster) -> None:
    before = ranks(pair)
    pair.run("down", "chat")
    edit(pair, nodes=without(pair, WORKER), services={"chat": service(HEAD)})
    assert ranks(pair) == {HEAD: [], WORKER: before[WORKER]}
    assert f"{WORKER} is no longer in the inventory" in pair.run("down").stderr
    assert ranks(pair) == {HEAD: [], WORKER: []}
    assert pair.traces() == {}


def test_the_last_service_that_ends_leaves_nothing(pair: Cluster) -> None:
    pair.run("down", "chat")
    pair.run("down", "code")
    assert pair.traces() == {}


@pytest.mark.parametrize("command", ["down", "restart"])
def test_an_unknown_service_is_named(pair: Cluster, command: str) -> None:
    error = pair.error(command, "cht", code=2)
    assert error["code"] == "service-unknown"
    assert error["message"] == 'unknown service "cht"; did you mean "chat"?'


def test_a_service_that_left_is_ended(pair: Cluster) -> None:
    before = ranks(pair)
    edit(pair, services={"chat": service(HEAD)})
    assert changes(pair, "up", "--yes") == [
        "stop toy rank 0 of code on spark-2: no longer in the inventory"
    ]
    assert ranks(pair) == {HEAD: before[HEAD], WORKER: []}
    assert json.loads(pair.on(WORKER, f"cat {STATE}"))["units"] == {}


def whys(cluster: Cluster) -> dict[str, str]:
    """Why `up` would change each unit."""
    found = json.loads(cluster.run("up", "--dry-run", "--json").stdout)["changes"]
    return {change["id"]: change["why"] for change in found}


def test_a_node_goes_from_one_service_to_the_other(pair: Cluster) -> None:
    before = ranks(pair)
    edit(pair, services={"chat": service(WORKER), "code": service(HEAD, number=1)})
    assert whys(pair)["chat/0/rank/spark-1"] == "moved to spark-2"
    edit(pair, services={"chat": service(HEAD, WORKER, number=2)})
    has_status_of_both(pair)
    error = pair.error("restart", "chat", "--yes")
    assert (error["code"], error["node"]) == ("node-taken", WORKER)
    assert error["hint"].startswith("run `sparkctl up`: "), "all nodes were reached"
    assert ranks(pair) == before
    pair.run("down", "chat")
    assert ranks(pair) == {HEAD: [], WORKER: before[WORKER]}, "code is another service"
    changes(pair, "up", "--yes")
    after = ranks(pair)
    assert [len(pids) for pids in after.values()] == [1, 1]
    assert completed(pair.lab, 2) == 2
    edit(pair, services={"chat": service(WORKER, number=2)})
    assert whys(pair)["chat/0/rank/spark-1"] == "no longer on this node"


def has_status_of_both(pair: Cluster) -> None:
    """`status` where `code` has left, and half of the chat's gang was not started on its node."""
    found = json.loads(pair.run("status", "--json").stdout)
    (added,) = [unit for unit in found["units"] if unit["id"] == f"chat/0/rank/{WORKER}"]
    assert (added["state"], added["pending"]) == ("absent", True)
    assert found["services"]["chat"]["state"] == "ready"
    assert found["departed_services"] == [{"name": "code", "nodes": [WORKER]}]
    out = pair.run("status").stdout
    assert f"{WORKER}: not started; run `sparkctl up`" in out
    assert f"service code still runs on {WORKER}, and is no longer in the inventory" in out
    done = pair.run("logs", "code", HEAD, code=2)
    assert f"error: code ran on {WORKER}, not on {HEAD}" in done.stderr


def left(document: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """What a command left alone: the service, the node and the error's code."""
    return [(one["service"], one["node"], one["code"]) for one in document["left_alone"]]


def test_a_node_that_cannot_be_reached_or_read_blocks_its_service_alone(pair: Cluster) -> None:
    before = ranks(pair)
    edit(pair, services={"chat": service(HEAD, number=2), "code": service(WORKER, number=3)})
    gone = [("chat", HEAD, "connect-refused")]
    with unreachable(pair, HEAD):
        for words in (("plan",), ("up", "--dry-run")):
            found = json.loads(pair.run(*words, "--json", code=1).stdout)
            assert left(found) == gone
            assert [WORKER in str(change) for change in found["changes"]] == [True]
        done = pair.run("up", "--yes", "--json", code=1)
        found = json.loads(done.stdout)
        assert (left(found), [*found["services"]]) == (gone, ["code"])
        assert f"error: service chat is left alone: {HEAD}: cannot connect" in done.stderr
        assert changes(pair, "restart", "code", "--yes") == [
            "restart toy rank 0 of code on spark-2: restart requested"
        ]
        assert pair.error("restart", "chat", "--yes")["code"] == "connect-refused"
        pair.run("down", "code")  # so that no node that answers knows the cluster's id
        pair.run("up", code=1)
    after = ranks(pair)
    assert (after[HEAD], len(after[WORKER])) == (before[HEAD], 1)
    state = pair.on(HEAD, f"cat {STATE}")
    pair.on(HEAD, f"echo '{{' > {STATE}")
    found = json.loads(pair.run("up", "--yes", "--json", code=1).stdout)
    assert (left(found), found["changes"]) == ([("chat", HEAD, "unit-unread")], [])
    assert "sparkctl down chat" in found["left_alone"][0]["hint"]
    assert "answers" not in found["left_alone"][0]["hint"]
    changes(pair, "restart", "code", "--yes")
    assert pair.on(HEAD, f"cat {STATE}") == "{\n", "another service's record"
    for made in ("mkdir", "mkfifo"):
        pair.on(HEAD, f"rm -r {STATE}; {made} {STATE}")
        error = pair.error("restart", "chat", "--yes")
        assert (error["code"], "damaged" in error["message"]) == ("unit-unread", True)
    assert ranks(pair)[HEAD] == after[HEAD]
    after = ranks(pair)
    pair.on(HEAD, f"rm {STATE}")
    pair.on(HEAD, f"cat > {STATE} <<'END'\n{state}\nEND\n")
    (change,) = changes(pair, "up", "--yes")
    assert change.startswith("restart toy rank 0 of chat on spark-1: ")
    assert ranks(pair)[WORKER] == after[WORKER]


def test_a_node_without_a_service(toy: Cluster) -> None:
    toy.run("down")
    edit(toy, services={"toy": service(HEAD)})
    hold(toy, "fail")
    toy.error("up")
    let_go(toy)
    assert toy.traces() == {}, "of a first start that failed"
    toy.up()
    leftovers = ("doctor", "--check", "host.leftovers", "--json")
    assert json.loads(toy.run(*leftovers).stdout)["counts"]["WARN"] == 0
    before = ranks(toy)
    with unreachable(toy, WORKER):
        done = toy.run("up", "--json", code=1)
        found = json.loads(done.stdout)
        assert (left(found), found["changes"]) == ([(None, WORKER, "connect-refused")], [])
        assert f"node {WORKER}, which has no service, is left alone" in done.stderr
    assert ranks(toy) == before
