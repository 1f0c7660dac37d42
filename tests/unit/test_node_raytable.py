"""Ray's node table from its GCS, without ray: captured answers over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.facts.answers import Failed, RayTable
from sparkctl.facts.calls import LOOK, RAY_IMPORTED, RAY_TABLE
from sparkctl.node import claim, completion, lease, look, probe, protobuf, raytable
from sparkctl.node import gcs as node_gcs
from sparkctl.node.units import RayNodes
from sparkctl.operations.raytable import ask_ray
from tests.unit.answers import decoded
from tests.unit.gcs import UNAUTHENTICATED, captured, gcs, reply
from tests.unit.openai import metrics, server

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.session import Session

WANTED = {"192.168.100.11": 1.0, "192.168.100.12": 1.0}
NODES = "GetAllNodeInfo"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(raytable, "AGAIN", 0.01)
    return tmp_path


def well(name: str, _headers: bytes) -> bytes:
    return reply(captured()[name])


def table(address: str, **more: Any) -> Any:
    request: Any = {"cluster": "c", "address": address, "wanted": WANTED, **more}
    return decoded(RAY_TABLE, dict(raytable.table(request)))


def message(number: int, payload: bytes) -> bytes:
    """A field with a length of two bytes."""
    size = bytes([len(payload) & 127 | 128, len(payload) >> 7])
    return bytes([number << 3 | 2]) + size + payload


def nodes(*suffixes: bytes) -> bytes:
    """The captured nodes, each with these bytes appended: a later value of a field counts."""
    found = protobuf.decode(captured()[NODES])[2]
    joined = zip(found, suffixes, strict=True)
    return b"".join(message(2, protobuf.data(node) + more) for node, more in joined)


def test_the_table_has_nodes_groups_and_the_version() -> None:
    with gcs(well) as address:
        found = table(address)
    assert {n.address: (n.hostname, n.alive, n.gpus) for n in found.nodes} == {
        "192.168.100.11": ("spark-1", True, 1.0),
        "192.168.100.12": ("spark-2", True, 1.0),
    }
    where = {n.id: n.address for n in found.nodes}
    (group,) = found.groups
    assert group.state == "CREATED"
    assert [where[group.bundles[i]] for i in ("0", "1")] == ["192.168.100.11", "192.168.100.12"]
    assert dict(group.gpus) == {"0": 1.0, "1": 1.0}
    assert (found.missing, found.ray) == ((), "2.60.0")


def test_a_node_that_the_gcs_holds_for_dead_is_missing() -> None:
    dead = nodes(b"\x38\x01", b"")  # field 7, the state: 1
    with gcs(lambda name, _: reply(dead if name == NODES else captured()[name])) as address:
        found = table(address)
    (lost,) = [n for n in found.nodes if not n.alive]
    assert (found.missing, lost.gpus) == ((lost.address,), 0.0)


def test_the_node_that_is_missing_is_waited_for() -> None:
    looks: list[str] = []

    def late(name: str, _headers: bytes) -> bytes:
        looks.append(name)
        late_ones = nodes(b"\x38\x01", b"")
        return reply(late_ones if looks.count(NODES) < 3 else captured()[name])

    with gcs(late) as address:
        assert table(address, timeout=30.0).missing == ()
    assert looks.count(NODES) == 3


@pytest.mark.parametrize("size", [64, 300])
def test_the_clusters_token_is_sent(size: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "token").write_text("t" * size + "\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "token"))

    def guarded(name: str, headers: bytes) -> bytes:
        known = b"Bearer " + b"t" * size + b"\0" in headers + b"\0"
        return reply(captured()[name]) if known else reply(None, UNAUTHENTICATED)

    with gcs(guarded) as address:
        assert isinstance(table(address), RayTable)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        refused = table(address)
    assert (refused.foreign, "gRPC status 16" in refused.error) == (True, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",  # a TLS alert
        reply(None),
        reply(b"\xff"),
        reply(message(2, b"\x12\x04none")),  # a node without an id
        reply(captured()[NODES])[:-900],
        reply(message(2, b"\x08\x01\x12\x01a")),  # an id that is a number
    ],
)
def test_what_is_not_understood_is_foreign(sent: bytes) -> None:
    with gcs(lambda *_: sent) as address:
        found = table(address)
    assert (type(found), found.foreign) == (Failed, True)


def test_an_answer_without_an_end_is_not_read_forever() -> None:
    endless = reply(bytes(5 << 20))
    with gcs(lambda *_: endless) as address:
        assert "more than" in table(address).error


def test_a_gcs_that_is_gone_or_silent_is_no_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    with gcs(lambda *_: None) as address:
        monkeypatch.setattr(node_gcs, "ANSWER", 0.05)
        assert (table(address).foreign, "timed out" in table(address).error) == (False, True)
    gone = table(address)
    assert (gone.foreign, "refused" in gone.error) == (False, True)


@given(st.binary(max_size=40))
def test_any_bytes_are_fields_or_a_value_error(text: bytes) -> None:
    try:
        found = protobuf.decode(text)
    except ValueError:
        return
    assert sum(map(len, found.values())) <= len(text)


@pytest.mark.parametrize("foreign", [False, True])
def test_ray_itself_is_asked_only_where_the_gcs_is_not_understood(foreign: bool) -> None:
    asked: list[tuple[str, str, tuple[str, ...]]] = []

    class Asking:
        inventory = type("Inventory", (), {"head": None})

        def ask(self, _node: Any, call: Any, _request: Any, **more: Any) -> Failed:
            asked.append((call.target, more.get("python", ""), more.get("inside", ())))
            return Failed(error="x", foreign=foreign and call is RAY_TABLE)

    session: Session = Asking()  # type: ignore[assignment]  # has what is used of it
    ask_ray(session, RayNodes("a:1", "python3", {}, 1.0, ("docker", "exec", "box")))
    through_ray = [(RAY_IMPORTED.target, "python3", ("docker", "exec", "box"))]
    assert asked == [(RAY_TABLE.target, "", ()), *(through_ray if foreign else [])]


@pytest.mark.parametrize("has_ray", [False, True])
def test_a_look_gives_a_completion_and_the_table(
    has_ray: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "LOOK", 0.02)
    still = metrics(num_requests_running=0, generation_tokens_total=8)
    with gcs(well) as address, server(lambda _: still) as base:
        asked = {"cluster": "c", "base": base, "tokens": 4, "timeout": 20}
        ray = {"cluster": "c", "address": address, "wanted": WANTED} if has_ray else None
        request: Any = {"cluster": "c", "completion": asked, "table": ray}
        found = decoded(LOOK, dict(look.look(request)))
    assert found.completion.tokens == 4
    assert isinstance(found.table, RayTable) is has_ray


def test_a_claim_reads_facts_only_where_it_took_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[Any] = []
    monkeypatch.setattr(probe, "probe", lambda _: {"hostname": "a"})

    def renew(request: Any) -> dict[str, Any]:
        renewed.append(request)
        return {"held": True, "holder": None}

    monkeypatch.setattr(lease, "renew", renew)
    owner = {"who": "anna", "when": "noon", "why": "up"}

    def claimed(token: str, seconds: float) -> Any:
        take = {"cluster": "c", "token": token, "seconds": seconds, "owner": owner}
        request: Any = {"take": take, "probe": {}}
        return claim.claim(request)

    first, second = claimed("t1", 30.0), claimed("t2", 30.0)
    assert (first["taken"]["holder"], first["facts"]) == (None, {"hostname": "a"})
    assert (second["taken"]["holder"]["who"], second["facts"]) == ("anna", None)
    assert renewed == []
    claimed("t1", 0.0)  # the probe took all of its time
    assert len(renewed) == 1
