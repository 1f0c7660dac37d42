"""`status --host`: what a node tells, as text and as JSON."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sparkctl.errors import AuthError, ConnectError
from sparkctl.operations import host
from tests.bench.hostile import run
from tests.bench.nodes import Answers, Node
from tests.unit.started import ID, ONE, RAY, SERVE, TWO, WHO, started
from tests.unit.test_status_units import LOADING

if TYPE_CHECKING:
    from tests.unit.started import Facts

ADDRESS = "10.77.0.11"
OTHER = {"uid": 1001, "user": "bob", "cluster": "chat", "processes": 3}


class Host(Answers):
    """A node that answers with these clusters, and this log."""

    def __init__(self, *clusters: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(Random(0), {}, harmed=())
        self.login: tuple[str, str | None] = ("", None)
        self.answer = {"clusters": [*clusters], "left_out": 0, "others": [*others]}

    def give(self, node: str, target: str, request: dict[str, Any]) -> bytes:
        if target == "follow.follow":
            return json.dumps({"text": LOADING}).encode()
        assert target == "clusters.clusters"
        return json.dumps(self.answer).encode()


class There(Node):
    """The connection as a block."""

    def __enter__(self) -> There:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def cluster(facts: Facts, **values: Any) -> dict[str, Any]:
    """What the head tells of its cluster."""
    head = facts[ONE]
    record = head["state"]["files"]["applied.json"]
    own = {"name": "lab", "record": record, "lease": None, "unread": None}
    return {**own, "processes": head["ours"], **values}


def asked(given: Host, *words: str, name: str = ADDRESS) -> tuple[int, str, str]:
    def connect(node: str, address: str, ssh: Any, *, read_only: bool) -> There:
        assert read_only
        given.login = (address, ssh.user)
        return There(node, given, [])

    with mock.patch.object(host, "connect", connect):
        return run(["status", "--host", name, *words])


def test_a_cluster_there_is_told_with_who_started_it_and_its_units() -> None:
    code, out, _ = asked(Host(cluster(started(vllm="starting"))), "--json")
    document = json.loads(out)
    (found,) = document["clusters"]
    assert (code, document["host"], document["others"]) == (0, ADDRESS, [])
    assert (found["name"], found["id"], found["who"]) == ("lab", ID, WHO)
    assert found["when"] == "2026-11-22 02:00:00 +0000"
    assert found["nodes"] == {ONE: "10.77.0.11", TWO: "10.77.0.12"}
    units = {u["id"]: (u["state"], u["stage"], u["percent"]) for u in found["units"]}
    assert units == {RAY: ("ready", None, None), SERVE: ("starting", "loading", 42)}


def test_ranks_on_nodes_that_were_not_asked_are_not_called_dead() -> None:
    _, out, _ = asked(Host(cluster(started())), "--json")
    (found,) = json.loads(out)["clusters"]
    assert {u["state"] for u in found["units"]} == {"ready"}


def test_the_text_has_the_same() -> None:
    code, out, _ = asked(Host(cluster(started(vllm="starting")), others=(OTHER,)))
    assert code == 0
    assert out.startswith(f"host {ADDRESS}\n\ncluster lab, started by {WHO} ")
    assert f"on {ONE} (10.77.0.11), {TWO} (10.77.0.12)" in out
    assert "loading the model 42 %" in out
    assert "cluster chat of account bob: 3 processes" in out


def test_an_account_without_a_cluster() -> None:
    code, out, _ = asked(Host())
    assert (code, out) == (0, f"host {ADDRESS}\nthis account has no cluster there\n")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"record": '{"schema": 3, "units": {}}'}, "record-newer"),
        ({"record": None, "unread": "/h: denied"}, "unread"),
    ],
)
def test_what_cannot_be_read_is_said_and_its_processes_are_shown(
    values: dict[str, Any], code: str
) -> None:
    given = Host(cluster(started(), **values))
    _, out, _ = asked(given, "--json")
    (found,) = json.loads(out)["clusters"]
    assert found["code"] == code
    assert {u["id"]: u["state"] for u in found["units"]} == {RAY: "unread", SERVE: "unread"}
    _, out, _ = asked(given)
    assert "what was started could not be read: " in out


@pytest.mark.parametrize(
    ("name", "login"), [("spark", ("spark", None)), ("me@fe80::1%eth0", ("fe80::1%eth0", "me"))]
)
def test_the_host_is_a_name_of_ssh(name: str, login: tuple[str, str | None]) -> None:
    given = Host()
    assert asked(given, name=name)[0] == 0
    assert given.login == login


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "", "a@-b"])
def test_what_is_no_host_is_refused(name: str) -> None:
    code, _, err = asked(Host(), name=name)
    assert code == 2
    assert "expected a name or an address" in err


def test_a_generation_needs_the_inventory() -> None:
    code, _, err = asked(Host(), "--deep")
    assert (code, "--host conflicts with --deep" in err) == (2, True)


def test_a_host_that_is_not_reached_is_an_error() -> None:
    refused = mock.Mock(side_effect=AuthError("refused", node=ADDRESS))
    with mock.patch.object(host, "connect", refused):
        code, out, _ = run(["status", "--host", ADDRESS, "--json"])
    assert (code, json.loads(out)["error"]["exit_code"]) == (1, 1)


def test_a_name_that_is_unknown_is_no_inventorys() -> None:
    unknown = ConnectError("no such name", node=ADDRESS, code="name-unknown", hint="the inventory")
    with mock.patch.object(host, "connect", mock.Mock(side_effect=unknown)):
        _, out, _ = run(["status", "--host", ADDRESS, "--json"])
    assert json.loads(out)["error"]["hint"].startswith("check the name, or give it a HostName")
