"""The look at what a head has recorded, before the facts are known: taken only where it fits."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import RemoteError
from sparkctl.facts.answers import RayTable
from sparkctl.facts.calls import RECALL
from sparkctl.node import completion, look
from sparkctl.operations import serving
from sparkctl.operations.look import recall
from tests.unit.answers import decoded
from tests.unit.asked import CLUSTER, Asked, live
from tests.unit.clusterpair import HEAD, SERVE, applied, desired, entry
from tests.unit.gcs import captured, gcs, reply
from tests.unit.openai import metrics, server
from tests.unit.runs import Told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ADDRESSES = ("192.168.100.11", "192.168.100.12")
BASE, RAY = "http://127.0.0.1:30000", f"{ADDRESSES[0]}:6379"
WANTED = dict.fromkeys(ADDRESSES, 1.0)
NODES = [{"id": a[-1], "address": a, "alive": True, "gpus": 1.0, "hostname": a} for a in ADDRESSES]
GROUP = {"state": "CREATED", "bundles": {"0": "1", "1": "2"}, "gpus": {"0": 1.0, "1": 1.0}}
SERVES = {"models": ["m"], "tokens": 4, "seconds": 0.1, "health": {"state": "generating"}}
WELL = {
    "asked": {"base": BASE, "address": RAY, "wanted": WANTED},
    "seen": {
        "completion": SERVES,
        "table": {"nodes": NODES, "groups": [GROUP], "missing": [], "ray": "2.60.0"},
    },
}
NOTHING = {"asked": None, "seen": None}


def recalled(text: str, home: Path, service: str = "vllm") -> Any:
    """What a node with this record answers."""
    folder = home / ".sparkctl/lab"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "applied.json").write_text(text)
    question: Any = {"tokens": 4, "timeout": 20.0, "still": 20.0, "patience": 20.0}
    request: Any = {"cluster": "lab", "service": service, "completion": question, "seconds": 20.0}
    return decoded(RECALL, dict(look.recall(request)))


def record(units: tuple[str, ...], changes: Mapping[str, str]) -> str:
    """The record of these units with some texts changed."""
    made = desired()
    text = applied({unit: entry(made, unit) for unit in units})
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(completion, "LOOK", 0.02)
    return tmp_path


@pytest.mark.parametrize("has_ray", [False, True])
def test_a_node_looks_where_it_has_recorded_the_service(has_ray: bool, home: Path) -> None:
    still = metrics(num_requests_running=0, generation_tokens_total=8)
    with (
        gcs(lambda name, _: reply(captured()[name])) as address,
        server(lambda _: still) as base,
    ):
        units = (HEAD, SERVE) if has_ray else (SERVE,)
        found = recalled(record(units, {BASE: base, RAY: address}), home)
    assert found.asked.base == base
    assert found.seen.completion.tokens == 4
    assert found.asked.address == (address if has_ray else None)
    assert found.asked.wanted == (WANTED if has_ray else {})
    assert isinstance(found.seen.table, RayTable) is has_ray


def test_nothing_is_asked_where_no_api_of_the_service_is_recorded(home: Path) -> None:
    assert recalled("{}", home).model_dump() == NOTHING
    assert recalled(record((HEAD,), {}), home).model_dump() == NOTHING
    assert recalled(record((HEAD, SERVE), {}), home, "other").model_dump() == NOTHING


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The answer of a head that is well, with one other value."""
    found: dict[str, Any] = json.loads(json.dumps(WELL))
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return found


def looked(answer: Any, *, held: bool = True) -> list[tuple[str, str]]:
    """What is asked to say that a service is sound, whose head has recalled this."""
    session = Asked(live(), {"look.recall": answer, "look.look": WELL["seen"]})
    lease: Any = SimpleNamespace(taken={"spark-1"} if held else set())
    session.lease = lease
    recall(session)
    assert serving.unsound(session, desired(CLUSTER, live()), Told()) == ({}, True)
    return session.order


EARLY, LATE = ("spark-1", "look.recall"), ("spark-1", "look.look")


def test_what_was_recalled_is_not_asked_again() -> None:
    assert looked(WELL) == [EARLY]


@pytest.mark.parametrize(
    "answer",
    [
        NOTHING,
        changed("asked", "base", to="http://127.0.0.1:1"),
        changed("asked", "address", to="192.168.100.12:6379"),
        changed("asked", "address", to=None),
        changed("asked", "wanted", to={ADDRESSES[0]: 1.0}),
        changed("seen", "table", to=None),
        changed("seen", "table", to={"error": "timed out"}),
        changed("seen", "table", "missing", to=[ADDRESSES[1]]),
        changed("seen", "completion", "health", to=None),
        changed("seen", "completion", "health", "state", to="busy"),
        changed("seen", "completion", to={"models": ["m"], "error": "HTTP 500", "status": 500}),
        RemoteError("lost", node="spark-1"),
    ],
)
def test_another_question_and_any_fault_are_looked_at_again(answer: Any) -> None:
    """A fault decides a restart: it is looked at with the lease on every node."""
    assert looked(answer) == [EARLY, LATE]


def test_a_head_without_the_lease_is_not_asked_early() -> None:
    assert looked(WELL, held=False) == [LATE]


def test_what_was_recalled_counts_once() -> None:
    session = Asked(live(), {"look.recall": WELL, "look.look": WELL["seen"]})
    lease: Any = SimpleNamespace(taken={"spark-1"})
    session.lease = lease
    recall(session)
    for _ in range(2):
        serving.unsound(session, desired(CLUSTER, live()), Told())
    assert session.order == [EARLY, LATE]
