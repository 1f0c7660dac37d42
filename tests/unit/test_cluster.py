"""The pure part of `up`: what differs, and what would stop a start."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import PreflightError
from sparkctl.facts.unread import Missing
from sparkctl.inventory.layers import Layer
from sparkctl.node.units import RayNodes
from sparkctl.operations.outlook import Outlook, doubtful
from sparkctl.operations.run import Run
from sparkctl.operations.session import Session
from sparkctl.operations.up import report
from sparkctl.plan.observed import Seen
from sparkctl.remote.pool import Pool
from tests.unit.answers import all_facts, process
from tests.unit.clusterpair import (
    CLUSTER,
    HEAD,
    SERVE,
    WORKER,
    desired,
    facts,
    nodes,
    plan,
    running,
    without,
)
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory


@pytest.fixture
def known() -> dict[str, Any]:
    return nodes()


@pytest.fixture
def live() -> dict[str, Any]:
    """The same nodes with everything running."""
    return running(desired(), nodes())


def changes(
    known: dict[str, Any], inventory: Inventory = CLUSTER, **unsound: dict[str, str]
) -> list[str]:
    found = plan(inventory, known, **unsound)
    assert not found.blocked
    return [f"{c.action} {c.title} {c.node}" for c in found.changes]


ALL = ["start Ray head spark-1", "start Ray worker spark-2", "start vLLM spark-1"]
OTHER = parse((GOOD + "  arguments: {max-num-seqs: 8}\n").encode(), "x")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, ("20", "60")), (120.5, ("121", "121")), (900, ("900", "900"))]
)
def test_vllm_waits_for_ray_as_long_as_its_start_may_take(
    seconds: float, expected: tuple[str, str]
) -> None:
    slow = parse(f"{GOOD}ray: {{start_timeout: {float(seconds)}}}\n".encode(), "x")
    names = ("RAY_NUM_REDIS_GET_RETRIES", "RAY_gcs_server_request_timeout_seconds")
    environment = desired(slow).units[SERVE].program.environment
    assert tuple(environment[name] for name in names) == expected
    own = Layer("own", {names[0]: "7"})
    environment = desired(slow, layers=[own]).units[SERVE].program.environment
    assert names[0] not in environment, "the user's own value holds"
    assert environment[names[1]] == expected[1]


def test_from_nothing_everything_starts_in_order(known: dict[str, Any]) -> None:
    assert changes(known) == ALL


def test_when_all_runs_nothing_changes(live: dict[str, Any]) -> None:
    assert changes(live) == []


def test_a_dead_vllm_leaves_ray_alone(live: dict[str, Any]) -> None:
    assert changes(without(live, "spark-1", role="vllm")) == ["start vLLM spark-1"]


def test_a_dead_worker_takes_vllm_with_it_and_not_the_head(live: dict[str, Any]) -> None:
    live["spark-2"]["ours"] = []
    assert changes(live) == ["start Ray worker spark-2", "restart vLLM spark-1"]
    assert str(plan(CLUSTER, live).changes[1]) == (
        "restart vLLM on spark-1: Ray worker on spark-2 is being started"
    )


@pytest.mark.parametrize("daemon", ["gcs_server", "raylet"])
def test_a_dead_daemon_of_the_head_takes_everything(daemon: str, live: dict[str, Any]) -> None:
    assert changes(without(live, "spark-1", word=daemon)) == [
        "restart Ray head spark-1",
        "restart Ray worker spark-2",
        "restart vLLM spark-1",
    ]


def test_a_dead_rank_on_another_node_restarts_vllm_alone(live: dict[str, Any]) -> None:
    ranks = {n: process("ray", "ray::RayWorkerProc", unit=f"vllm/0/ray/{n}", pid=40) for n in live}
    for name, rank in ranks.items():
        live[name]["ours"].append(rank)
    assert changes(live) == []
    live["spark-2"]["ours"].remove(ranks["spark-2"])
    assert changes(live) == ["restart vLLM spark-1"]
    assert plan(CLUSTER, live).changes[0].why == "its rank on spark-2 died"


def test_what_only_the_running_cluster_shows(live: dict[str, Any]) -> None:
    assert changes(live, unsound={SERVE: "no completion"}) == ["restart vLLM spark-1"]
    found = changes(live, unsound={WORKER: "Ray does not list it"})
    assert found == ["restart Ray worker spark-2", "restart vLLM spark-1"]


def test_changed_arguments_restart_vllm_alone(live: dict[str, Any]) -> None:
    assert changes(live, OTHER) == ["restart vLLM spark-1"]


def test_what_changed_is_said(live: dict[str, Any]) -> None:
    (change,) = plan(OTHER, live).changes
    assert change.why == "--max-num-seqs: 64 -> 8"


def test_a_head_that_moved_is_said_to_have(live: dict[str, Any]) -> None:
    """And not that the GCS died, which the other node never had."""
    roles = {"head": "worker", "worker": "head"}
    text = re.sub("role: (head|worker)", lambda role: f"role: {roles[role[1]]}", GOOD)
    found = plan(parse(text.encode(), "x"), live).changes
    assert {c.unit: c.why for c in found} == {
        HEAD: "the head moved to spark-2",
        WORKER: "the head moved to spark-2",
        SERVE: "the head moved to spark-2",
        "vllm/0/vllm/spark-2": "not running",
    }


def test_a_lost_record_is_said_to_be_one(live: dict[str, Any]) -> None:
    live["spark-1"]["state"]["files"]["applied.json"] = None
    assert plan(CLUSTER, live).changes[0].why == "the record of its start is missing"


def test_a_node_whose_processes_could_not_be_read_blocks_every_change(
    live: dict[str, Any],
) -> None:
    """Its Ray may run, and so may ranks of the model."""
    del live["spark-2"]["ours"]
    found = plan(OTHER, without(live, "spark-1", role="vllm"))
    assert not found.parts
    assert {b.by for b in found.blocked} == {WORKER}
    assert [b.change.unit for b in found.blocked] == [SERVE]


def test_a_worker_may_be_called_vllm() -> None:
    cluster = parse(GOOD.replace("spark-2", "vllm").encode(), "x")
    live = running(desired(cluster), nodes(cluster))
    assert changes(live, cluster, unsound={SERVE: "no completion"}) == ["restart vLLM spark-1"]
    found = plan(cluster, live, {"vllm/0/ray/vllm": "dead in Ray"})
    assert [str(c) for c in found.changes] == [
        "restart Ray worker on vllm: dead in Ray",
        "restart vLLM on spark-1: Ray worker on vllm is being restarted",
    ]


def test_a_unit_that_is_not_desired_any_more_is_stopped(
    live: dict[str, Any],
) -> None:
    stray = "vllm/0/router/spark-1"
    live["spark-1"]["ours"].append(process("router", "router", unit=stray, pid=30))
    (change,) = plan(CLUSTER, live).changes
    assert str(change) == "stop router on spark-1: no longer in the inventory"


def test_names_that_differ_between_the_nodes_are_derived_by_each(known: dict[str, Any]) -> None:
    odd = (("eth5", "mlx5_0", "0000:01:00.1"), ("eth6", "mlx5_2", "0002:01:00.1"))
    made = desired(known={**known, "spark-2": facts(2, odd)})
    assert made.values("spark-2")["NCCL_IB_HCA"] == "mlx5_0,mlx5_2"
    assert made.values("spark-1")["NCCL_IB_HCA"] == "rocep1s0f0,roceP2p1s0f0"
    (ready,) = [r for u in made.units.values() for r in u.ready if isinstance(r, RayNodes)]
    assert ready.nodes == {"192.168.100.11": 1.0, "192.168.100.12": 1.0}


def with_node(extra: str) -> Inventory:
    return parse(GOOD.replace("role: worker", f"role: worker, fabric: {extra}").encode(), "x")


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("{hcas: [enp1s0f0np0]}", "hca-unknown"),
        ("{cage: 1}", "cage-missing"),
        ("{interfaces: [eth9]}", "interface-unknown"),
        ("{addresses: [192.168.100.99]}", "address-unknown"),
    ],
)
def test_explicit_fabric_values_are_checked(extra: str, code: str, known: dict[str, Any]) -> None:
    with pytest.raises(PreflightError) as caught:
        desired(with_node(extra), known)
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert caught.value.hint


def test_a_node_without_a_cable_has_no_usable_port(known: dict[str, Any]) -> None:
    known["spark-2"]["ib"] = {}
    with pytest.raises(PreflightError) as caught:
        desired(known=known)
    assert (caught.value.code, caught.value.node) == ("no-usable-port", "spark-2")


def test_a_doubtful_setting_of_every_node_is_reported_once() -> None:
    doubted = parse((GOOD + 'env: {set: {NCCL_IB_DISABLE: "1"}}\n').encode(), "x")
    (doubt,) = doubtful([desired(doubted)])
    assert (doubt.code, doubt.data) == ("rdma-disabled", {"setting": "NCCL_IB_DISABLE"})
    assert doubtful([desired()]) == []


def test_only_the_heads_architecture_decides_and_its_home_is_the_models(
    known: dict[str, Any],
) -> None:
    cluster = parse(GOOD.replace("/models/m", "~/m").encode(), "x")
    known["spark-2"] |= {"home": "/home/other"}
    known["spark-2"]["model_config"]["architectures"] = ["Qwen3ForCausalLM"]
    made = desired(cluster, known)
    assert made.recipe.name == "minimax-m2"
    assert made.argv("spark-1", "vllm")[2] == "/home/u/m"
    assert made.argv("spark-2", "vllm") == ()
    # The API lists what `vllm serve` was given.
    session = Session(cluster, Path(), Pool(cluster), facts=all_facts(known))
    found = Outlook((made,), Seen(cluster, session.facts), plan(cluster, known))
    reporter: Any = SimpleNamespace()
    assert report(Run(session, found, reporter), detach=False).services["vllm"].model == "/home/u/m"


def test_an_architecture_that_could_not_be_read_is_not_taken_for_another(
    known: dict[str, Any],
) -> None:
    """A running model would be restarted without its recipe."""
    del known["spark-1"]["model_config"]
    known["spark-1"]["unread"] = {"model_config": "TimeoutError: no answer within 6 s"}
    with pytest.raises(Missing, match=r"config\.json could not be read: TimeoutError"):
        desired(known=known)
    named = parse((GOOD + "  recipe: minimax-m2\n").encode(), "x")
    assert desired(named, known).recipe.name == "minimax-m2"


@pytest.mark.parametrize(("auth", "mode"), [("token", "token"), ("off", "disabled")])
def test_rays_authentication_is_the_same_everywhere_whatever_a_home_holds(
    auth: str, mode: str
) -> None:
    made = desired(parse(f"{GOOD}ray: {{auth: '{auth}'}}\n".encode(), "x"))
    assert {made.values(name)["RAY_AUTH_MODE"] for name in made.parts} == {mode}


def test_a_restart_does_not_change_the_record_it_is_compared_with(live: dict[str, Any]) -> None:
    """What is written once more with the salt of before stays equal for the next `up`."""
    again = desired(known=live)
    for name, found in live.items():
        units = json.loads(found["state"]["files"]["applied.json"])["units"]
        assert {u: e["digest"] for u, e in units.items()} == {
            u: unit.digest for u, unit in again.units.items() if unit.node == name
        }
