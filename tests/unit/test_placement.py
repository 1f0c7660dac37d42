"""Where Ray put the ranks, against the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.placement import misplaced, placements, planned_ranks
from sparkctl.facts.answers import RayTable
from sparkctl.facts.calls import RAY_TABLE
from tests.unit.answers import decoded
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

ONE, TWO = "192.168.100.11", "192.168.100.12"
NAMES = {ONE: "spark-1", TWO: "spark-2"}


def inventory(extra: str = "", *, gpus: str = "auto") -> Inventory:
    return parse((GOOD + extra + f"ray: {{num_gpus: {gpus}}}\n").encode(), "x")


def table(*bundles: str, state: str = "CREATED", older: tuple[str, ...] = ()) -> RayTable:
    return ray_table(answer(*bundles, state=state, older=older))


def ray_table(given: dict[str, Any]) -> RayTable:
    found = decoded(RAY_TABLE, given)
    assert isinstance(found, RayTable)
    return found


def answer(*bundles: str, state: str = "CREATED", older: tuple[str, ...] = ()) -> dict[str, Any]:
    """Ray's answer (Ray 2.60): nodes, and a group of one-GPU bundles on the nodes of these ids."""

    def group(state: str, ids: tuple[str, ...]) -> dict[str, Any]:
        placed = {str(i): node for i, node in enumerate(ids)}
        return {"state": state, "bundles": placed, "gpus": dict.fromkeys(placed, 1.0)}

    nodes = [
        {"id": i, "address": a, "hostname": i, "alive": True, "gpus": 1.0}
        for i, a in (("a", ONE), ("b", TWO))
    ]
    groups = [group("REMOVED", older), group(state, bundles)]
    return {"nodes": nodes, "groups": groups, "missing": [], "ray": "2.60.0"}


def test_the_plan_fills_the_head_then_the_workers_in_order() -> None:
    assert planned_ranks(inventory()) == {"spark-1": 1, "spark-2": 1}
    assert planned_ranks(inventory("  tensor_parallel_size: 1\n")) == {"spark-1": 1, "spark-2": 0}
    assert planned_ranks(inventory(gpus="2")) == {"spark-1": 2, "spark-2": 0}
    two = "  tensor_parallel_size: 1\n  arguments: {pipeline-parallel-size: 2}\n"
    assert planned_ranks(inventory(two)) == {"spark-1": 1, "spark-2": 1}


def test_ranks_as_planned() -> None:
    assert misplaced(inventory(), NAMES, table("a", "b", older=("a", "a"))) is None
    assert misplaced(inventory(gpus="2"), NAMES, table("a", "a")) is None
    single = inventory("  tensor_parallel_size: 1\n")
    assert misplaced(single, NAMES, table("b")) is None, "as good as the head"


@pytest.mark.parametrize(("bundles", "node"), [(("a", "a"), "spark-1"), (("b", "b"), "spark-2")])
def test_both_ranks_on_one_node_are_named_with_what_to_set(
    bundles: tuple[str, ...], node: str
) -> None:
    error = misplaced(inventory(), NAMES, table(*bundles))
    assert error is not None
    assert error.node == node
    found = {n: 2 if n == node else 0 for n in NAMES.values()}
    assert error.message == "the ranks are on other nodes than planned: " + ", ".join(
        f"{n} has {count}, expected 1" for n, count in found.items()
    )
    assert "set `ray.num_gpus: 1` in the inventory" in (error.hint or "")


def test_a_rank_on_a_node_that_the_inventory_lacks() -> None:
    given = answer("a", "c")
    given["nodes"].append({**given["nodes"][0], "id": "c", "address": "10.0.0.9"})
    error = misplaced(inventory(), NAMES, ray_table(given))
    assert error is not None
    assert error.message.endswith(
        "spark-1 has 1, expected 1, spark-2 has 0, expected 1, 10.0.0.9 has 1, expected 0"
    )
    assert error.hint == "stop what else joined this Ray: 10.0.0.9"


@pytest.mark.parametrize(
    "found",
    [table("a", "a", state="PENDING"), ray_table({**answer(), "nodes": [], "groups": []})],
)
def test_no_group_that_was_made_is_no_placement(found: RayTable) -> None:
    assert placements(found) == []
    assert misplaced(inventory(), NAMES, found) is None


def test_bundles_without_a_gpu_hold_no_rank() -> None:
    given = answer("a", "b")
    given["groups"][1]["bundles"]["2"] = "a"
    given["groups"][1]["gpus"]["2"] = 0.0
    assert misplaced(inventory(), NAMES, ray_table(given)) is None
