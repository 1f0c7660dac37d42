"""Which nodes are asked for what, when some are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sparkctl.doctor.check import Source
from sparkctl.doctor.collect import collect
from sparkctl.errors import RemoteTimeout
from sparkctl.facts.calls import IMPORTS, PEERS
from sparkctl.facts.unread import Unread
from sparkctl.operations.session import Session
from tests.unit.answers import all_facts
from tests.unit.doctorview import healthy

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node
    from tests.unit.doctorview import Answers

T = TypeVar("T")

ONE, TWO = "spark-1", "spark-2"


class Pool:
    """Connected to every node, and to none that has an error."""

    def __init__(self) -> None:
        self.connections = dict.fromkeys((ONE, TWO))
        self.errors: dict[str, Exception] = {}
        self.seconds = {ONE: 0.1, TWO: 0.1}


class Asked(Session):
    """Knows the healthy pair's facts; remembers what else a node is asked, and gives no answer."""

    def __init__(self, answers: Answers | None = None) -> None:
        answers = answers or healthy()
        pool: Any = Pool()
        super().__init__(answers.inventory, Path(), pool, facts=all_facts(answers.facts))
        self.requests: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(self, node: Node, call: Call[T], request: dict[str, Any], **_: Any) -> T:
        self.requests[node.name, call.target] = json.loads(json.dumps(request))
        raise RemoteTimeout("timed out after 60 s", node=node.name)


@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_named_node_and_its_peers_try_each_other(name: str) -> None:
    session = Asked()
    snapshot = collect(session, [session.node(name)], [Source.PEERS, Source.IMPORTS])
    assert snapshot.names == [name]
    assert snapshot.reached == [ONE, TWO]
    assert {n for n, target in session.requests if target == PEERS.target} == {ONE, TWO}
    assert {n for n, target in session.requests if target == IMPORTS.target} == {name}
    for node, other in ((ONE, TWO), (TWO, ONE)):
        request = session.requests[node, PEERS.target]
        assert [p["to"] for p in request["pings"]] == [other, other]
        assert {c["to"] for c in request["connects"]} == {other}


def test_a_look_that_fails_is_unread_with_its_kind() -> None:
    session = Asked()
    snapshot = collect(session, session.inventory.nodes, [Source.PEERS])
    peers = snapshot.looks.peers[TWO]
    assert isinstance(peers, Unread)
    assert (peers.what, peers.kind) == ("peers", "timeout")


def test_the_head_is_asked_for_the_cluster_also_when_another_node_is_named() -> None:
    session = Asked()
    snapshot = collect(session, [session.node(TWO)], [Source.RAY])
    assert snapshot.looks.ray == {ONE: Unread("ray", "Ray is not running", "absent")}


def test_a_peer_whose_halves_are_not_known_is_left_out_and_hides_nobody() -> None:
    answers = healthy()
    del answers.facts[TWO]["net"]
    session = Asked(answers)
    snapshot = collect(session, session.inventory.nodes, [Source.PEERS])
    assert session.requests[ONE, PEERS.target]["pings"] == []
    assert ONE in snapshot.looks.peers


def test_passive_takes_no_look() -> None:
    session = Asked()
    snapshot = collect(session, session.inventory.nodes, list(Source), passive=True)
    assert session.requests == {}
    assert snapshot.looks.peers == {}


def test_facts_that_could_not_be_read_are_kept_apart_from_logins_that_failed() -> None:
    session = Asked()
    del session.facts[TWO]
    session.unread = {TWO: RemoteTimeout("did not end within 60 s", node=TWO)}
    snapshot = collect(session, session.inventory.nodes, [])
    assert snapshot.errors == {}
    assert list(snapshot.unreadable) == [TWO]
