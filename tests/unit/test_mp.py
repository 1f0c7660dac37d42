"""vLLM over its own multiprocessing: its units, and how a start is watched."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import ServingError
from sparkctl.node.units import RANK, Generates, LogStages, Member
from sparkctl.operations import group
from sparkctl.operations.outlook import Outlook, plan
from sparkctl.plan.desired import desire
from sparkctl.plan.observed import Seen
from tests.unit.answers import all_facts
from tests.unit.asked import run as prepared
from tests.unit.clusterpair import nodes
from tests.unit.test_inventory import GOOD, codes, problems

if TYPE_CHECKING:
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run
    from sparkctl.plan.desired import Desired

LIMIT = 10.0  # seconds
HEAD, OTHER = "vllm/0/vllm/spark-1", "vllm/0/vllm/spark-2"
SHORT = GOOD.replace("vllm:\n", "vllm:\n  executor: mp\n", 1)


def desired(text: str = SHORT) -> Desired:
    inventory = parse(text.encode(), "x")
    return desire(inventory.views[0], [], all_facts(nodes(inventory)), {})


def flag(unit: Unit, name: str) -> str:
    argv = unit.program.argv
    return argv[argv.index(name) + 1]


def test_each_node_has_a_launcher_and_the_first_the_api() -> None:
    found = desired()
    first, second = found.units.values()
    assert [*found.units] == [HEAD, OTHER]
    assert first.group == second.group == "vllm/0"
    assert not first.needs
    assert not second.needs
    for rank, unit in enumerate((first, second)):
        assert flag(unit, "--nnodes") == "2"
        assert flag(unit, "--node-rank") == str(rank)
        assert flag(unit, "--master-addr") == found.head.choice.address
        assert flag(unit, "--distributed-executor-backend") == "mp"
        assert unit.members == (Member(unit.node, "serve"), Member(unit.node, RANK, 1))
    assert [type(ready) for ready in first.ready] == [LogStages, Generates]
    assert not second.ready
    assert ["--headless" in unit.program.argv for unit in (first, second)] == [False, True]
    names = {name for node in ("spark-1", "spark-2") for name in found.values(node)}
    assert "RAY_AUTH_MODE" not in names
    assert "VLLM_HOST_IP" in names
    assert found.engine.ports(found.inventory) == {"vllm.arguments.master-port": 29501}


def test_a_single_node_has_one_launcher_without_a_place() -> None:
    inventory = parse(SHORT.encode(), "x")
    (view,) = inventory.views
    settings = view.vllm.model_copy(update={"tensor_parallel_size": 1})
    alone = view.model_copy(update={"vllm": settings})
    found = desire(alone, [], all_facts(nodes(inventory)), {})
    (unit,) = found.units.values()
    assert "--nnodes" not in unit.program.argv
    assert found.engine.ports(alone) == {}


@pytest.mark.parametrize("name", ["nnodes", "node-rank", "master-addr", "headless"])
def test_what_sparkctl_gives_each_launcher_is_no_argument(name: str) -> None:
    text = f"{SHORT}  arguments: {{{name}: 1}}\n"
    assert codes(text) == [f"8:15 vllm.arguments.{name} own-flag"]
    assert "executor mp" in problems(text)[0]


@pytest.mark.parametrize("executor", ["executor: mp", "engine: sglang"])
def test_ranks_that_do_not_divide_over_the_nodes_are_a_problem(executor: str) -> None:
    text = GOOD.replace("vllm:\n  ", f"ray: {{num_gpus: 3}}\nservices:\n  m:\n    {executor}\n    ")
    text += "    tensor_parallel_size: 5\n"
    assert codes(text) == ["10:27 services.m.tensor_parallel_size uneven-ranks"]
    assert "5 ranks do not divide over 2 nodes" in problems(text)[0]


def test_each_node_has_the_same_number_of_ranks_under_mp() -> None:
    text = SHORT.replace("vllm:\n", "ray: {num_gpus: 3}\nvllm:\n  tensor_parallel_size: 4\n")
    found = desired(text).units.values()
    assert [unit.members[1].count for unit in found] == [2, 2]
    assert [unit.members[1].count for unit in desired(text.replace("4", "3")).units.values()] == [3]


def started() -> tuple[Run, Unit]:
    """A run that has started both launchers, and the one that serves."""
    made, session = prepared()
    found = desired()
    session.inventory = found.inventory
    seen = Seen(found.inventory, session.facts)
    made.outlook = Outlook((found,), seen, plan([found], seen), observed=seen.observed(found.units))
    started: Any = dict.fromkeys(found.units)
    return replace(made, started=started), found.units[HEAD]


def test_a_launcher_that_dies_ends_the_wait_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    run, unit = started()

    def die(_run: Run, other: Unit, _done: threading.Event) -> None:
        raise ServingError("it died", node=other.node, code="vllm-exited")

    monkeypatch.setattr(group, "_follow", die)

    def wait(run: Run) -> None:
        assert run.over.wait(LIMIT)
        run.check()

    with pytest.raises(ServingError) as caught:
        group.guarded(run, unit, wait)
    assert caught.value.node == "spark-2"


def test_the_others_are_left_once_the_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    run, unit = started()
    left, follows = threading.Event(), threading.Event()

    def follow(_run: Run, _other: Unit, done: threading.Event) -> None:
        follows.set()
        assert done.wait(LIMIT)
        left.set()

    monkeypatch.setattr(group, "_follow", follow)
    group.guarded(run, unit, lambda _: None if follows.wait(LIMIT) else pytest.fail("nobody"))
    assert left.wait(LIMIT)


def test_a_wait_that_is_over_elsewhere_ends_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run, unit = started()
    monkeypatch.setattr(group, "_follow", lambda *_: None)
    run.over.set()
    with pytest.raises(KeyboardInterrupt):
        group.guarded(run, unit, lambda run: run.check())
