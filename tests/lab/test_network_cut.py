"""A network that drops every packet for a while, between this machine and the lab's first node."""

from __future__ import annotations

import json
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import load
from sparkctl.errors import LeaseLostError
from sparkctl.operations import lease as leases
from sparkctl.operations.connect import session as connected
from sparkctl.operations.follow import follow
from sparkctl.operations.lease import hold
from sparkctl.remote import login, node_rpc, reconnect, tcp
from tests.lab.cutting import numbered
from tests.lab.nodestate import running_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab
    from sparkctl.lab.running import RunningNode
    from sparkctl.operations.session import Session

pytestmark = pytest.mark.lab
LOG = "/tmp/numbered.log"
TABLE = "inet sparkctl-test"
RULES = f"""
table {TABLE} {{
    chain in {{ type filter hook input priority 0; iifname != "lo" drop; }}
    chain out {{ type filter hook output priority 0; oifname != "lo" drop; }}
}}
"""
LINES = 600
# A line each 50 ms: some are written while the network is cut.
WRITER = f"""
import sys, time
for line in sys.argv[1].splitlines(True):
    with open({LOG!r}, "a", encoding="utf-8") as log:
        log.write(line)
    time.sleep(0.05)
"""


@pytest.fixture
def node(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningNode]:
    monkeypatch.setattr(leases, "SECONDS", 4.0)
    monkeypatch.setattr(leases, "INTERVAL", 1.0)
    monkeypatch.setattr(reconnect, "QUIET", 1.0)
    node = running_nodes(lab)["spark-1"]
    yield node
    restore(node)
    node.run("rm", "-f", LOG)


def cut(node: RunningNode) -> None:
    node.run("nft", "-f", "-", text=RULES)


def restore(node: RunningNode) -> None:
    node.run("sh", "-c", f"nft delete table {TABLE} 2> /dev/null; true")


def lease(node: RunningNode, function: str, **request: Any) -> Any:
    """What a function of node/lease.py answers on the node, past its network."""
    command = node_rpc.call(f"lease.{function}", {"cluster": "lab", **request})
    return json.loads(node.run(*command.argv, text=command.stdin.decode()))


def taken(node: RunningNode, token: str) -> dict[str, Any] | None:
    """Take it as another run, with this token; the holder if it is refused."""
    owner = {"who": "another", "when": "now", "why": "up"}
    answer = lease(node, "take", token=token, owner=owner, seconds=60.0)
    holder: dict[str, Any] | None = answer["holder"]
    return holder


@contextmanager
def holding(lab: Lab, notices: list[str], lost: threading.Event) -> Iterator[Session]:
    """A session that holds the lease; `lost` is set when an attempt to reconnect has failed."""

    def note(text: str) -> None:
        notices.append(text)
        if "reconnecting (" in text:
            lost.set()

    loaded = load(lab.inventory)
    short = loaded.model_copy(
        update={"ssh": loaded.ssh.model_copy(update={"connect_timeout": 2.0})}
    )
    with (
        connected(short, lab.inventory.parent, facts=False) as session,
        hold(session, note, "up", session.inventory.nodes),
    ):
        yield session


def text_until(session: Session, node: RunningNode, whole: str) -> str:
    """What a follow of the log gives until it is whole; the network is cut at its first text."""
    text = ""
    request = {"path": LOG, "offset": 0}
    with closing(follow(session, session.inventory.head, request, title="log")) as events:
        for event in events:
            if not text and event is not None:
                cut(node)
            text += (event and event.text) or ""
            if len(text) >= len(whole):
                break
    return text


def test_a_network_that_comes_back_loses_no_text_and_no_lease(lab: Lab, node: RunningNode) -> None:
    """With the real bounds: a dead path gives no sign, and the lease expires meanwhile."""
    notices, lost, whole = list[str](), threading.Event(), numbered(LINES)
    detached = 'setsid python3 -c "$1" "$2" < /dev/null > /dev/null 2>&1 &'

    def come_back() -> None:
        assert lost.wait(60)
        restore(node)

    with holding(lab, notices, lost) as session:
        threading.Thread(target=come_back, daemon=True).start()
        node.run("sh", "-c", detached, "sh", WRITER, whole)
        assert text_until(session, node, whole) == whole
        assert session.lease is not None
        session.lease.confirm()
        assert taken(node, "another") is not None
    assert any("restored" in notice for notice in notices)
    assert taken(node, "another") is None, "it was not released"
    lease(node, "release", token="another")


def test_a_lease_that_was_taken_while_the_network_was_cut_is_lost(
    lab: Lab, node: RunningNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "DEAD_AFTER", 2)
    monkeypatch.setattr(login, "KEEPALIVE", 1)
    notices, lost = list[str](), threading.Event()

    def come_back() -> None:
        assert lost.wait(60)
        assert taken(node, "another") is None, "it has not expired"
        restore(node)

    node.run("sh", "-c", f"echo begun > {LOG}")
    with holding(lab, notices, lost) as session:
        threading.Thread(target=come_back, daemon=True).start()
        with pytest.raises(LeaseLostError):
            text_until(session, node, "begun\nnever")
    lease(node, "release", token="another")
