"""The lease as a command holds it: real node calls on this machine in place of SSH."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import LeaseLostError, LockedError, RemoteError, SparkctlError, combined
from sparkctl.facts.calls import RENEW_LEASE, TAKE_LEASE, WRITE_FILES, Call
from sparkctl.node import lease
from sparkctl.operations import lease as held
from sparkctl.operations.session import Session
from sparkctl.remote.command import Command, Result
from tests.unit.runs import Told
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


class Here:
    """A connection that runs a call's own command line on this machine, as a node would."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.down = False

    def run(self, command: Command) -> Result:
        if self.down:
            raise RemoteError("connection lost", node=self.home.name)
        done = subprocess.run(
            command.argv,
            input=command.stdin,
            capture_output=True,
            check=False,
            env={**os.environ, "HOME": str(self.home)},
        )
        return Result(self.home.name, command, done.returncode, done.stdout, done.stderr, 0.0)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return made(tmp_path)


def made(tmp_path: Path, text: str = GOOD) -> Session:
    inventory = parse(text.encode(), "x")
    connections = {}
    for node in inventory.nodes:
        (tmp_path / node.name).mkdir(exist_ok=True)
        connections[node.name] = Here(tmp_path / node.name)
    pool: Any = SimpleNamespace(connections=connections, errors={}, changing=list[threading.Event])
    return Session(inventory, tmp_path, pool)


def write(session: Session, node: int = 0) -> None:
    request: dict[str, Any] = {"files": {"a": "1"}}
    session.ask(session.inventory.nodes[node], WRITE_FILES, request)


def test_a_call_that_changes_a_node_needs_the_lease(session: Session) -> None:
    with pytest.raises(SparkctlError, match="without holding the lease"):
        write(session)
    with held.hold(session, Told().note, "up", session.inventory.nodes):
        write(session)


def test_two_commands_exclude_each_other_on_every_node(session: Session, tmp_path: Path) -> None:
    other = made(tmp_path)
    with held.hold(session, Told().note, "up", session.inventory.nodes):
        for nodes in (session.inventory.nodes, session.inventory.nodes[1:]):
            with (
                pytest.raises(LockedError, match=r"locked by \S+ \(pid \d+\) \d s ago \(up\)"),
                held.hold(other, Told().note, "down", nodes),
            ):
                raise AssertionError("not reached")
    with held.hold(other, Told().note, "down", session.inventory.nodes):
        write(other)


def test_two_commands_on_a_part_of_the_nodes_exclude_each_other_where_they_meet(
    session: Session, tmp_path: Path
) -> None:
    other, nodes = made(tmp_path), session.inventory.nodes
    with held.hold(session, Told().note, "up", nodes[1:]):
        with (
            pytest.raises(LockedError),
            held.hold(other, Told().note, "up", nodes, partial=True),
        ):
            raise AssertionError("not reached")
        with held.hold(other, Told().note, "up", nodes[:1]):
            write(other)


def test_who_lost_it_changes_nothing_more(session: Session, tmp_path: Path) -> None:
    other, nodes = made(tmp_path), session.inventory.nodes
    with held.hold(session, Told().note, "up", nodes):
        with held.hold(other, Told().note, "up", nodes, force=True):
            write(other)
        with pytest.raises(LeaseLostError, match="lost the lease on cluster"):
            write(session)
    written = [p.name for p in (tmp_path / "spark-1/.sparkctl").rglob("a")]
    assert written == ["a"]


def test_the_renewal_notices_that_it_is_lost(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "INTERVAL", 0.02)
    other = made(tmp_path)
    with held.hold(session, Told().note, "up", session.inventory.nodes):
        assert session.lease is not None
        with held.hold(other, Told().note, "up", session.inventory.nodes, force=True):
            for thread in session.lease._threads:
                thread.join(30)
        with pytest.raises(LeaseLostError):
            session.lease.check()


def test_a_lease_that_cannot_be_given_back_hides_no_error(session: Session) -> None:
    told = Told()

    def lose() -> None:
        for connection in session.pool.connections.values():
            connection.down = True  # type: ignore[attr-defined]  # Here, see above
        raise ValueError("the real one")

    with (
        pytest.raises(ValueError, match="the real one"),
        held.hold(session, told.note, "up", session.inventory.nodes),
    ):
        lose()
    assert [line.partition(":")[0] for line in told.said] == ["spark-1", "spark-2"]
    assert "expires in 30 s" in told.said[0]


def test_without_room_a_node_is_changed_only_where_that_is_wanted(
    session: Session, tmp_path: Path
) -> None:
    """`down` has to work on a full disk, for it makes room."""
    blocked = tmp_path / "spark-2"
    blocked.rmdir()
    blocked.symlink_to("/dev/full")
    nodes = session.inventory.nodes
    with pytest.raises(RemoteError), held.hold(session, Told().note, "up", nodes):
        raise AssertionError("not reached")
    with held.hold(session, Told().note, "down", nodes, partial=True) as failed:
        assert list(failed) == ["spark-2"]
        write(session)


def test_a_node_that_is_slow_lets_the_lease_of_no_other_expire(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "INTERVAL", 0.02)
    first, second = session.inventory.nodes
    go_on, renewed = threading.Event(), threading.Semaphore(0)
    ask = session.ask

    def slow(node: Any, call: Call[T], request: dict[str, Any], **options: Any) -> T:
        if call is RENEW_LEASE and node.name == second.name:
            assert go_on.wait(60)
        answer = ask(node, call, request, **options)
        if call is RENEW_LEASE and node.name == first.name:
            renewed.release()
        return answer

    monkeypatch.setattr(session, "ask", slow)
    with held.hold(session, Told().note, "up", [first, second]):
        for _ in range(3):
            assert renewed.acquire(timeout=30)
        go_on.set()


def test_every_node_that_fails_is_named(session: Session) -> None:
    for connection in session.pool.connections.values():
        connection.down = True  # type: ignore[attr-defined]  # Here, see above
    result = session.ask_all(session.inventory.nodes, TAKE_LEASE, lambda _: {}, leased=False)
    said = str(combined(result.failed))
    assert said.startswith("2 nodes failed:")
    assert "spark-1: connection lost" in said
    assert "spark-2: connection lost" in said


@pytest.fixture
def shared(session: Session, tmp_path: Path) -> Session:
    """A session whose second node has the first one's home, and a boot of its own."""
    here, boot_id = Here(tmp_path / "spark-1"), tmp_path / "boot_id"
    boot_id.write_text("another\n")

    def run(command: Command) -> Result:
        load = json.loads(command.stdin)
        sources = [[m, s.replace(str(lease.BOOT_ID), str(boot_id))] for m, s in load["modules"]]
        load |= {"modules": sources, "magic": "", "code": ""}
        return here.run(replace(command, stdin=json.dumps(load).encode() + b"\n"))

    other = SimpleNamespace(run=run)
    session.pool.connections["spark-2"] = other  # type: ignore[assignment]  # a stand-in
    return session


def test_a_home_that_nodes_share_is_an_error(shared: Session, tmp_path: Path) -> None:
    nodes = shared.inventory.nodes
    with (
        pytest.raises(RemoteError) as error,
        held.hold(shared, Told().note, "up", nodes, force=True),
    ):
        raise AssertionError("not reached")
    assert error.value.code == "shared-home"
    assert error.value.node == "spark-2"
    assert error.value.hint
    with held.hold(shared, Told().note, "down", nodes, partial=True) as failed:
        assert list(failed) == ["spark-2"]
        assert shared.lease is not None
        shared.lease.confirm()
        with pytest.raises(LockedError), held.hold(made(tmp_path), Told().note, "up", nodes[:1]):
            raise AssertionError("not reached")


def test_a_file_in_place_of_the_directory_is_named(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "spark-1/.sparkctl"
    path.write_text("")
    with (
        pytest.raises(RemoteError) as error,
        held.hold(session, Told().note, "up", session.inventory.nodes),
    ):
        raise AssertionError("not reached")
    assert error.value.data == {"status": 1, "stderr": [f"{path}: File exists"]}


THREE = GOOD.replace("vllm:", "  - {name: spark-3, host: c, role: worker}\nvllm:")


def test_it_is_taken_in_the_order_of_names_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands with some nodes in common: the one that is ahead gets all of its own."""
    ahead, behind = made(tmp_path, THREE), made(tmp_path, THREE)
    one, two, three = ahead.inventory.nodes
    asked: list[str] = []
    ask_all = ahead.ask_all

    def watched(nodes: Any, call: Any, request: Any, **options: Any) -> Any:
        names = [node.name for node in nodes]
        if call is TAKE_LEASE:
            asked.extend(names)
        if call is TAKE_LEASE and names == ["spark-3"]:
            with pytest.raises(LockedError), held.hold(behind, Told().note, "down", [three, two]):
                raise AssertionError("not reached")
            assert lease_files(tmp_path) == ["spark-1", "spark-2"], "released at once"
        return ask_all(nodes, call, request, **options)

    monkeypatch.setattr(ahead, "ask_all", watched)
    with held.hold(ahead, Told().note, "up", [three, one, two]):
        assert lease_files(tmp_path) == ["spark-1", "spark-2", "spark-3"]
    assert asked == ["spark-1", "spark-2", "spark-3"]
    assert lease_files(tmp_path) == []


def lease_files(tmp_path: Path) -> list[str]:
    """The nodes on which a lease lies."""
    found = tmp_path.glob(f"spark-*/.sparkctl/sparks/{lease.NAME}")
    return sorted(path.parents[2].name for path in found)
