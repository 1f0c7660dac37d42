"""What `up` would end: a model that may be served is not stopped without consent."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sparkctl.cli.bringup import ask
from sparkctl.engines.inventory import parse
from sparkctl.errors import RemoteError, ServingError, UsageError
from sparkctl.facts.calls import COMPLETION, LOOK, RAY_TABLE
from sparkctl.node.difference import Change
from sparkctl.operations import outlook as looks
from sparkctl.operations.serving import lacking
from sparkctl.operations.session import Session
from sparkctl.operations.up import blocked
from sparkctl.plan.observed import Seen
from sparkctl.plan.older import base
from sparkctl.remote.fanout import GroupResult
from tests.unit.answers import all_facts, decoded, process
from tests.unit.clusterpair import (
    CLUSTER,
    SERVE,
    WORKER,
    applied,
    desired,
    entry,
    nodes,
    running,
    without,
)
from tests.unit.runs import Told
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.facts.answers import Completion
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Inventory, Node

T = TypeVar("T")

OTHER = parse((GOOD + "  port: 31000\n").encode(), "x")
SERVES = {"models": ["m"], "tokens": 4, "seconds": 0.1, "health": {"state": "generating"}}


def outlook(
    answer: dict[str, Any],
    known: dict[str, Any],
    inventory: Inventory = OTHER,
    *,
    asks: bool = True,
) -> tuple[looks.Outlook, list[str]]:
    """Of an inventory with another port than the cluster was started with, and what was asked."""
    asked: list[str] = []

    # It takes the options that the real one has and needs none; no connection is looked at.
    class Asking(Session):
        def ask(  # type: ignore[override]
            self, _: Any, call: Call[Completion], request: dict[str, Any], **__: Any
        ) -> Completion:
            if call.target == RAY_TABLE.target:  # a kept Ray is whole
                return decoded(call, {"nodes": [], "groups": [], "missing": [], "ray": "2.60.0"})
            assert call is COMPLETION
            asked.append(request["base"])
            health = {"still_for": 60.0, **answer["health"]}
            return decoded(COMPLETION, {"models": [], **answer, "health": health})

    def lost(gone: list[Node]) -> GroupResult[Any]:
        return GroupResult(failed={n.name: RemoteError("lost", node=n.name) for n in gone})

    session = Asking(inventory, Path(), SimpleNamespace(open=lost))  # type: ignore[arg-type]  # as above
    session.facts = all_facts(known)
    return looks.outlook(session, Told(), asks=asks), asked


@pytest.fixture
def known() -> dict[str, Any]:
    return running(desired(), nodes())


def test_a_changed_port_asks_the_model_where_it_was_started(known: dict[str, Any]) -> None:
    found, asked = outlook(SERVES, known)
    assert str(found.plan.changes[0]).endswith("vLLM on spark-1: --port: 30000 -> 31000")
    assert found.ends == ("/models/m",)
    assert asked == ["http://127.0.0.1:30000"]


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        ({"health": {"state": "busy"}}, True),
        ({"health": {"state": "unclear"}, "error": "no metrics"}, True),
        ({"health": {"state": "failing"}, "status": 401, "error": "the key"}, True),
        ({"health": {"state": "wedged"}, "error": "no step"}, False),
        ({"health": {"state": "failing"}, "status": 503, "error": "overloaded"}, True),
        ({"health": {"state": "failing"}, "status": None, "error": "no JSON"}, True),
        ({"health": {"state": "silent"}, "status": None, "error": "timed out"}, True),
        ({"health": {"state": "silent"}, "refused": True, "error": "refused"}, False),
        ({"health": {"state": "failing"}, "status": 500, "error": "EngineDead"}, False),
    ],
)
def test_only_one_that_is_known_not_to_serve_goes_unasked(
    answer: dict[str, Any], ends: bool, known: dict[str, Any]
) -> None:
    assert bool(outlook(answer, known)[0].ends) is ends


@pytest.mark.parametrize("written", [None, '{"vllm": "digest", "vllm_run": "r"}'])
def test_where_nothing_says_how_it_was_started_it_may_serve(
    written: str | None, known: dict[str, Any]
) -> None:
    known["spark-1"]["state"]["files"]["applied.json"] = written
    found, asked = outlook({}, known)
    assert found.ends
    assert asked == []


def test_with_yes_the_model_is_not_asked_whether_it_serves(known: dict[str, Any]) -> None:
    found, asked = outlook(SERVES, known, asks=False)
    assert (found.stops, found.ends, asked) == (("/models/m",), (), [])


def test_a_record_that_cannot_be_read_is_refused_before_anything_is_asked(
    known: dict[str, Any],
) -> None:
    """What runs may have other settings than the inventory, which cannot be seen."""
    known["spark-1"]["state"]["files"]["applied.json"] = "{"
    found, asked = outlook({}, known)
    assert asked == []
    error = blocked(found)["vllm"]
    assert "damaged" in error.message
    assert (error.code, error.node) == ("unit-unread", "spark-1")
    assert "sparkctl down" in (error.hint or "")


def test_ranks_on_other_nodes_than_planned_are_an_error_and_end_nothing(
    known: dict[str, Any],
) -> None:
    """A restart is not known to help, so nothing is to be agreed to."""
    asked: list[str] = []
    nodes = [
        {"id": i, "address": f"192.168.100.{n}", "alive": True, "gpus": 1.0, "hostname": f"h{n}"}
        for i, n in (("a", 11), ("b", 12))
    ]
    group = {"state": "CREATED", "bundles": {"0": "a", "1": "a"}, "gpus": {"0": 1.0, "1": 1.0}}
    table = {"nodes": nodes, "groups": [group], "missing": [], "ray": "2.60.0"}

    class Misplaced(Session):
        def ask(  # type: ignore[override]  # as above
            self, _: Any, call: Call[T], *__: Any, **___: Any
        ) -> T:
            asked.append(call.target)
            assert call.target == LOOK.target
            return decoded(call, {"completion": SERVES, "table": table})

    session = Misplaced(CLUSTER, Path(), None)  # type: ignore[arg-type]  # see above
    session.facts = all_facts(known)
    with pytest.raises(ServingError, match="the ranks are on other nodes than planned") as caught:
        looks.outlook(session, Told())
    assert caught.value.node == "spark-1"
    assert asked == ["look.look"]


def test_a_vllm_that_is_gone_ends_nothing(known: dict[str, Any]) -> None:
    found, asked = outlook({}, without(known, "spark-1", role="vllm"))
    assert (found.ends, found.stops, asked) == ((), (), [])


def test_a_rank_that_outlived_what_serves_ends_without_consent(known: dict[str, Any]) -> None:
    """As under mp, where the head's container was killed and the other node's rank hangs."""
    rank = process("ray", "ray::RayWorkerProc.run", unit=WORKER, pid=9, rank=True)
    known["spark-2"]["ours"].append(rank)
    moved = parse((GOOD + "ray: {port: 6400}\n").encode(), "x")
    assert outlook(SERVES, known, moved)[0].ends == ("/models/m",)
    found, asked = outlook(SERVES, without(known, "spark-1", role="vllm"), moved)
    assert found.stops == ("/models/m",), "the rank's"
    assert (found.ends, asked) == ((), [])


CHANGE = Change(SERVE, "spark-1", "vllm", "vLLM", "restart", "its settings changed")


def test_nobody_is_asked_on_a_stdin_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    known: Any = SimpleNamespace(ends=("m",), served=("m",), plan=SimpleNamespace(changes=[CHANGE]))
    with pytest.raises(UsageError, match="m is served and would be restarted") as caught:
        ask(known)
    assert "--yes" in (caught.value.hint or "")


def test_models_that_only_end_are_not_called_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    changes = (replace(CHANGE, action="stop"), replace(CHANGE, action="start"))
    known: Any = SimpleNamespace(
        ends=("m", "n"), served=("m of a", "n of b"), plan=SimpleNamespace(changes=changes)
    )
    asked = "m of a, n of b are served and would be stopped"
    with pytest.raises(UsageError, match=asked) as caught:
        ask(known, dry_run=False)
    assert caught.value.hint == "--yes stops without asking"
    assert caught.value.data == {"model": "m, n", "models": ["m", "n"]}


@pytest.mark.parametrize(
    ("argv", "url"),
    [
        (("vllm", "serve", "m", "--host", "0.0.0.0", "--port", "1234"), "http://127.0.0.1:1234"),
        (("vllm", "serve", "m", "--host", "fd00::1", "--port", "1"), "http://[fd00::1]:1"),
        (
            ("v", "--port", "2", "--ssl-certfile", "/c", "--ssl-keyfile", "/k"),
            "https://127.0.0.1:2",
        ),
        (("vllm", "serve", "m"), "http://127.0.0.1:8000"),
    ],
)
def test_the_address_of_a_command_line(argv: tuple[str, ...], url: str) -> None:
    assert base(argv) == url


SWAPPED = GOOD.replace("role: head", "role: x").replace("role: worker", "role: head")
SWAPPED = SWAPPED.replace("role: x", "role: worker")
ALONE = "\n".join(line for line in SWAPPED.splitlines() if "spark-1" not in line)


@pytest.mark.parametrize("title", ["ray::RayWorkerProc", "ray::RayWorkerWrapper", "VLLM::Worker"])
@pytest.mark.parametrize("text", [SWAPPED, ALONE], ids=["swapped", "another's worker alone"])
def test_an_inventory_with_another_head_ends_no_model_unasked(
    text: str, title: str, known: dict[str, Any]
) -> None:
    """Its vLLM runs on a node that is no head here, or a rank of it."""
    known["spark-2"]["ours"].append(process("ray", title, pid=7))
    text = text.replace("model: /models/m", "model: /models/m\n  tensor_parallel_size: 1")
    found, asked = outlook(SERVES, known, parse(text.encode(), "x"))
    assert found.ends
    # It is asked where it runs, if that node is still in the inventory.
    assert asked == (["http://127.0.0.1:30000"] if "spark-1" in text else [])


def test_what_is_down_has_the_name_that_it_was_served_by(known: dict[str, Any]) -> None:
    renamed = parse((GOOD + "  served_model_name: other\n").encode(), "x")
    found, _ = outlook(SERVES, known, renamed)
    assert found.ends == found.stops == ("/models/m",)


def test_a_group_that_lost_a_unit_serves_nobody() -> None:
    """One rank of it ended: the others wait for it. Another group, or another start, is whole."""
    made = desired(CLUSTER)
    gang = {u: replace(unit, group="g") for u, unit in made.units.items()}

    def lost(group: dict[str, Any], run: str = "r1") -> set[str]:
        nodes_ = running(replace(made, units=group), nodes())
        units = {WORKER: entry(replace(made, units=group), WORKER, run=run)}
        nodes_["spark-2"]["state"]["files"]["applied.json"] = applied(units)
        return lacking(Seen(CLUSTER, all_facts(without(nodes_, "spark-2", role="ray"))))

    assert lost(gang) == {*gang}
    assert lost(made.units) == {WORKER}
    assert lost(gang, run="r0") == {WORKER}
