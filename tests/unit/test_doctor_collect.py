"""Which nodes are asked for what, when some are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.cluster.session import Session
from sparkctl.doctor.check import Source
from sparkctl.doctor.collect import gather
from sparkctl.errors import RemoteTimeout
from tests.unit.doctorview import healthy

if TYPE_CHECKING:
    from sparkctl.inventory.models import Node

ONE, TWO = "spark-1", "spark-2"


class Pool:
    """Connected to every node, and to none that has an error."""

    def __init__(self) -> None:
        self.connections = dict.fromkeys((ONE, TWO))
        self.errors: dict[str, Exception] = {}
        self.seconds = {ONE: 0.1, TWO: 0.1}


class Asked(Session):
    """Knows the healthy pair's facts; remembers what else a node is asked."""

    def __init__(self) -> None:
        view = healthy()
        pool: Any = Pool()
        super().__init__(view.inventory, Path(), pool, facts=dict(view.view().all_facts))
        self.requests: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(self, node: Node, target: str, request: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.requests[node.name, target] = json.loads(json.dumps(request))
        return {}


@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_named_node_and_its_peers_try_each_other(name: str) -> None:
    session = Asked()
    view = gather(session, [session.node(name)], [Source.PEERS, Source.IMPORTS])
    assert view.names == [name]
    assert view.reached == [ONE, TWO]
    assert {n for n, target in session.requests if target == "peers.peers"} == {ONE, TWO}
    assert {n for n, target in session.requests if target == "imports.imports"} == {name}
    for node, other in ((ONE, TWO), (TWO, ONE)):
        request = session.requests[node, "peers.peers"]
        assert [p["to"] for p in request["pings"]] == [other, other]
        assert {c["to"] for c in request["connects"]} == {other}


def test_the_head_is_asked_for_the_cluster_also_when_another_node_is_named() -> None:
    session = Asked()
    view = gather(session, [session.node(TWO)], [Source.RAY])
    assert view.unread == {"ray": {ONE: "no Ray of ours runs"}}


def test_a_peer_whose_halves_are_not_known_is_left_out_and_hides_nobody() -> None:
    session = Asked()
    del session.facts[TWO]["net"]
    view = gather(session, session.inventory.nodes, [Source.PEERS])
    assert session.requests[ONE, "peers.peers"]["pings"] == []
    assert ONE in view.sources["peers"]


def test_facts_that_could_not_be_read_are_kept_apart_from_logins_that_failed() -> None:
    session = Asked()
    del session.facts[TWO]
    session.unread = {TWO: RemoteTimeout("did not end within 60 s", node=TWO)}
    view = gather(session, session.inventory.nodes, [])
    assert view.errors == {}
    assert list(view.unreadable) == [TWO]
