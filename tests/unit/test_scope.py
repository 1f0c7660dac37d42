"""What a command works on where some nodes cannot be reached or read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import ConnectError, SparkctlError
from sparkctl.node.units import Absent, Process, Running, Unread
from sparkctl.operations.scope import Scope
from tests.unit.test_inventory import GOOD
from tests.unit.test_inventory_services import PAIRS

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.node.units import Observed

RACK = parse(PAIRS.encode(), "x")  # chat on b and a, code on c and d, and the node spare


def gone(*nodes: str) -> dict[str, SparkctlError]:
    return {n: ConnectError("refused", node=n, code="connect-refused") for n in nodes}


def scope(*nodes: str, services: Collection[str] = ()) -> Scope:
    """Of a command for these services, without these nodes."""
    made = Scope(RACK, services, partial=True)
    made.leave(gone(*nodes))
    return made


@pytest.mark.parametrize(
    ("nodes", "services", "works", "on", "left"),
    [
        ((), (), ["chat", "code"], "abcd+", []),
        (("a",), (), ["code"], "cd+", [("chat", "a")]),
        (("a", "b"), (), ["code"], "cd+", [("chat", "a"), ("chat", "b")]),
        (("spare",), (), ["chat", "code"], "abcd", [("", "spare")]),
        (("a",), ("code",), ["code"], "cd+", []),
        (("a",), ("chat", "code"), ["code"], "cd+", [("chat", "a")]),
        (("spare",), ("chat",), ["chat"], "abcd", []),
    ],
)
def test_a_node_blocks_its_own_service_alone(
    nodes: tuple[str, ...],
    services: tuple[str, ...],
    works: list[str],
    on: str,
    left: list[tuple[str, str]],
) -> None:
    found = scope(*nodes, services=services)
    assert [view.service for view in found.views] == works
    assert [n.name for n in found.nodes] == [{"+": "spare"}.get(c, c) for c in on]
    assert [(one.service, one.node) for one in found.left] == left


@pytest.mark.parametrize(
    ("nodes", "services"), [(("a", "d"), ()), (("a",), ("chat",)), (("b", "spare"), ("chat",))]
)
def test_where_nothing_remains_the_errors_are_raised(
    nodes: tuple[str, ...], services: tuple[str, ...]
) -> None:
    with pytest.raises(SparkctlError) as caught:
        scope(*nodes, services=services)
    assert caught.value.code == "connect-refused"


def test_one_service_alone_and_a_command_that_is_not_partial_need_every_node() -> None:
    with pytest.raises(ConnectError):
        Scope(parse(GOOD.encode(), "x"), partial=True).leave(gone("spark-2"))
    with pytest.raises(ConnectError):
        Scope(RACK).leave(gone("a"))


def test_a_node_without_a_service_does_not_block_the_only_one() -> None:
    text = PAIRS.partition("  code:")[0]
    found = Scope(parse(text.encode(), "x"), partial=True)
    found.leave(gone("spare", "c"))
    assert [view.service for view in found.views] == ["chat"]
    assert [(one.service, one.node) for one in found.left] == [("", "c"), ("", "spare")]


def test_a_blocked_service_is_left_alone_as_one_with_a_lost_node_is() -> None:
    found = scope()
    found.block({"chat": SparkctlError("damaged", node="a", code="unit-unread")})
    assert [n.name for n in found.nodes] == ["c", "d", "spare"]
    (left,) = found.left
    assert (left.service, left.node, left.document()["code"]) == ("chat", "a", "unit-unread")
    assert left.hint == "`sparkctl doctor` shows why; then run `sparkctl up` again"
    damaged = SparkctlError("damaged", node="a", hint="run this")
    found.block({"chat": damaged})
    assert found.left[0].hint == "run this", "the node did answer"


def test_a_restart_is_what_is_run_again() -> None:
    found = scope("a", services=("chat", "code"))
    assert "run `sparkctl restart chat` again when a answers" in found.left[0].hint
    spare = scope("spare").left[0]
    assert "run `sparkctl up` again when spare answers" in spare.hint
    assert str(spare).startswith("node spare, which has no service, is left alone: ")


def running(node: str) -> Running:
    process = Process(node, 1, "x", rank=False)
    return Running(node, "r1", "d1", "ready", 0.0, (process,))


def test_what_runs_where_nothing_may_be_changed_is_unread_and_not_absent() -> None:
    observed: dict[str, Observed] = {
        "chat/0/rank/a": running("a"),
        "code/0/rank/c": running("c"),
        "code/0/rank/d": running("b"),  # of another inventory; chat has that node now
        "code/0/rank/x": running("x"),
        "old/0/rank/spare": running("spare"),
        "code/0/serve/c": Absent("c"),
    }
    assert scope().observed(observed) == observed
    found = scope("a").observed(observed, ["x"])
    assert "chat/0/rank/a" not in found
    assert isinstance(found.pop("code/0/rank/d"), Unread)
    assert found.items() <= observed.items()
    assert len(found) == 4
