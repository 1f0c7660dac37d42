"""Nodes that left the inventory: who they are by what others recorded, and the lease on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import RemoteError
from sparkctl.operations import departed as left
from sparkctl.operations.lease import hold
from sparkctl.operations.session import Session
from sparkctl.plan.departed import MOST, departed, described
from sparkctl.plan.observed import Seen
from sparkctl.plan.record import State
from sparkctl.remote.fanout import GroupResult
from tests.unit.answers import all_facts
from tests.unit.clusterpair import CLUSTER, WORKER, desired, nodes, running
from tests.unit.runs import Told
from tests.unit.test_inventory import GOOD
from tests.unit.test_lease_held import Here, made

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTS = {n.name: n.host for n in CLUSTER.nodes}


def state(own_id: str = "id-1", **hosts: Any) -> State:
    """A state with these nodes; a host, or host and SSH settings."""
    found = {}
    for name, host in hosts.items():
        where, ssh = host if isinstance(host, tuple) else (host, {})
        found[name.replace("_", "-")] = {"host": where, "ssh": ssh}
    return State(own_id, {}, found)


def names(*states: State) -> list[str]:
    return [n.name for n in departed(CLUSTER, states)]


def test_a_recorded_node_that_the_inventory_does_not_have_left() -> None:
    own = {n.replace("-", "_"): h for n, h in HOSTS.items()}
    assert names(state(**own)) == []
    assert names(state(**own, spark_3="c"), state(spark_3="c", spark_4="d")) == [
        "spark-3",
        "spark-4",
    ]


def test_a_renamed_node_did_not_leave() -> None:
    assert names(state(old=HOSTS["spark-2"])) == []
    assert names(state(old=(HOSTS["spark-2"], {"port": 2222}))) == ["old"]


def test_another_host_of_the_same_name_is_named_with_it() -> None:
    (node,) = departed(CLUSTER, [state(spark_2="old-host")])
    assert (node.name, node.host) == ("spark-2@old-host", "old-host")
    again = State("id-1", {}, described([node]))
    assert [n.name for n in departed(CLUSTER, [again])] == [node.name]
    assert described([node]) == again.nodes


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "a\n", "$(x)", "x" * 300, None, 7])
def test_what_is_no_host_is_left_out(host: Any) -> None:
    assert names(state(spark_3=host)) == []


def test_whom_to_trust_is_not_what_a_node_recorded() -> None:
    ssh = {"user": "u", "host_keys": "accept-new", "known_hosts": "/tmp/x", "connect_timeout": 9e3}
    (node,) = departed(CLUSTER, [state(spark_3=("c", ssh))])
    assert node.ssh is not None
    assert node.ssh.model_dump(exclude_unset=True) == {"user": "u"}
    assert CLUSTER.ssh_of(node).host_keys == CLUSTER.ssh.host_keys
    assert names(state(spark_3=("c", {"port": 70_000}))) == []
    assert names(state(spark_3=("c", ["x"]))) == ["spark-3"]


def test_one_node_cannot_name_thousands() -> None:
    assert len(names(state(**{f"n{i}": f"h{i}" for i in range(1000)}))) == MOST


THREE = GOOD.replace("vllm:", "  - {name: spark-3, host: c, role: worker}\nvllm:")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def opening(session: Session, find: Callable[[Any], Any]) -> None:
    """Have the session's pool connect to more nodes as `find` says, or fail as it raises."""

    def connect(more: Any) -> GroupResult[Any]:
        found: GroupResult[Any] = GroupResult({}, {})
        for node in more:
            try:
                found.ok[node.name] = session.pool.connections[node.name] = find(node)
            except RemoteError as error:
                found.failed[node.name] = error
        return found

    pool: Any = session.pool
    pool.open = connect


def test_the_lease_is_taken_where_they_are_and_released(home: Path) -> None:
    session = made(home)
    (home / "spark-3").mkdir()
    opening(session, lambda node: Here(home / node.name))
    lease = home / "spark-3/.sparkctl/sparks/lease.json"
    with hold(session, Told().note, "up", session.inventory.nodes):
        found = left.reach(session, {"spark-1": state(spark_3="c")})
        assert [*found.nodes] == ["spark-3"]
        assert not found.lost
        assert session.node("spark-3").host == "c"
        assert lease.exists()
        assert session.lease is not None
        session.lease.confirm()
        session.lease.check()
    assert not lease.exists()


def test_a_machine_that_another_name_leads_to_did_not_leave(home: Path) -> None:
    session = made(home)
    opening(session, lambda _: session.pool.connections["spark-2"])
    with hold(session, Told().note, "up", session.inventory.nodes, force=True):
        found = left.reach(session, {"spark-1": state(spark_3="alias-of-b")})
        assert (found.nodes, found.lost) == ({}, {})
        assert session.lease is not None
        session.lease.confirm()
        session.lease.check()


def test_what_cannot_be_reached_or_is_held_by_another_is_a_doubt(home: Path) -> None:
    session, other = made(home), made(home, THREE)

    def find(node: Any) -> Here:
        if node.name == "spark-4":
            raise RemoteError("no route to host", node=node.name)
        return Here(home / node.name)

    opening(session, find)
    with (
        hold(other, Told().note, "down", other.inventory.nodes[2:]),
        hold(session, Told().note, "up", session.inventory.nodes),
    ):
        states = {"spark-1": state(spark_3="c", spark_4="d")}
        found = left.reach(session, states)
        assert found.nodes == {}
        assert found.lost.keys() == {"spark-3", "spark-4"}
    doubts = {doubt.data["node"]: doubt for doubt in found.doubts()}
    assert doubts["spark-3"].data["code"] == "locked"
    assert "spark-4 (d) is no longer in the inventory" in str(doubts["spark-4"])
    assert "no route to host" in str(doubts["spark-4"])


def test_what_runs_on_a_departed_node_is_seen_and_stopped() -> None:
    live = running(desired(), nodes())
    alone = parse(
        GOOD.replace("  - {name: spark-2, host: b, role: worker}\n", "")
        .replace("model: /models/m", "model: /models/m\n  tensor_parallel_size: 1")
        .encode(),
        "x",
    )
    facts = all_facts(live)
    seen = Seen(alone, {"spark-1": facts["spark-1"]}, departed={"spark-2": facts["spark-2"]})
    found = seen.observed({})
    assert seen.places(WORKER) == ["spark-2"]
    assert WORKER in found


def test_a_record_of_what_left_is_untidy() -> None:
    session = Session(CLUSTER, Path(), None)  # type: ignore[arg-type]  # not asked here
    seen = Seen(CLUSTER, all_facts(running(desired(), nodes())))
    units = desired().units
    seen.states = {
        n: State("id-1", {}, described(CLUSTER.nodes), there.units)
        for n, there in seen.states.items()
    }
    assert not left.untidy(session, seen, units)
    assert left.untidy(session, seen, [u for u in units if u != WORKER])
    seen.states["spark-1"] = state(**{n.replace("-", "_"): h for n, h in HOSTS.items()}, x="y")
    assert left.untidy(session, seen, units)
