"""The pure part of `up`: what differs, and what would stop a start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sparkctl.plan.diff import compare

from sparkctl.engines.inventory import parse
from sparkctl.errors import PreflightError
from sparkctl.facts.unread import Missing
from sparkctl.operations import status
from sparkctl.operations.session import Session
from sparkctl.operations.up import doubtful, report
from sparkctl.plan.desired import Wish, make_wish
from sparkctl.plan.record import make, text
from sparkctl.remote.pool import Pool
from tests.unit.answers import all_facts, device, interface, process
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

CLUSTER = parse(GOOD.encode(), "x")
PAIRS = (
    ("enp1s0f0np0", "rocep1s0f0", "0000:01:00.0"),
    ("enP2p1s0f0np0", "roceP2p1s0f0", "0002:01:00.0"),
)


def facts(number: int, names: tuple[tuple[str, str, str], ...] = PAIRS) -> dict[str, Any]:
    """A healthy node's facts, as the probe gives them."""
    net = {
        netdev: interface(f"192.168.{100 + half}.{10 + number}/24", pci=pci)
        for half, (netdev, _, pci) in enumerate(names)
    }
    runtime = {
        "exists": True,
        "venv": "/opt/v",
        "python": "3.12.3",
        "programs": {"ray": True, "vllm": True},
        "versions": {"ray": "2.60.0", "vllm": "0.33.0"},
    }
    config = {"path": "/models/m/config.json", "error": None, "model_type": None}
    state = {"exists": False, "path": "/home/u/.sparkctl/lab", "temp_dir": False, "lease": None}
    return {
        "home": "/home/u",
        "net": net,
        "ib": {hca: device(netdev, pci) for netdev, hca, pci in names},
        "runtime": runtime,
        "ports": [],
        "ours": [],
        "model_config": {**config, "architectures": ["MiniMaxM2ForCausalLM"]},
        "state": {**state, "files": {"applied.json": None}},
        "unread": {},
    }


def running(wish: Wish, known: dict[str, Any]) -> dict[str, Any]:
    """The same nodes with everything of the wish running."""
    for name, part in wish.nodes.items():
        programs = ["raylet"] + (["gcs_server"] if part.vllm_argv else [])
        ours = [process("ray", f"/ray/{p} --x") for p in programs]
        if part.vllm_argv:
            ours.append(process("vllm", "python /v/vllm serve m", pid=2))
        started = {"ray": part.ray_argv, "vllm": part.vllm_argv}
        applied = {unit: make("r1", argv, part.values) for unit, argv in started.items()}
        known[name]["ours"] = ours
        known[name]["state"]["files"]["applied.json"] = text(applied)
    return known


@pytest.fixture
def known() -> dict[str, Any]:
    return {"spark-1": facts(1), "spark-2": facts(2)}


@pytest.fixture
def wish(known: dict[str, Any]) -> Wish:
    return make_wish(CLUSTER, [], all_facts(known))


def changes(
    wish: Wish, known: dict[str, Any], vllm: str | None = None, **unsound: str
) -> list[str]:
    names = {k.replace("_", "-"): v for k, v in unsound.items()}
    found = compare(wish, all_facts(known), unsound=names, vllm=vllm)
    return [f"{c.action} {c.what} {c.node}" for c in found.changes]


ALL = ["start Ray head spark-1", "start Ray worker spark-2", "start vLLM spark-1"]


def test_from_nothing_everything_starts_in_order(wish: Wish, known: dict[str, Any]) -> None:
    assert changes(wish, known) == ALL


def test_when_all_runs_nothing_changes(wish: Wish, known: dict[str, Any]) -> None:
    assert changes(wish, running(wish, known)) == []


def test_a_dead_vllm_leaves_ray_alone(wish: Wish, known: dict[str, Any]) -> None:
    live = running(wish, known)
    live["spark-1"]["ours"] = [p for p in live["spark-1"]["ours"] if p["role"] == "ray"]
    assert changes(wish, live) == ["start vLLM spark-1"]


def test_a_dead_worker_takes_vllm_with_it_and_not_the_head(
    wish: Wish, known: dict[str, Any]
) -> None:
    live = running(wish, known)
    live["spark-2"]["ours"] = []
    assert changes(wish, live) == ["start Ray worker spark-2", "restart vLLM spark-1"]


def test_a_dead_gcs_takes_everything(wish: Wish, known: dict[str, Any]) -> None:
    live = running(wish, known)
    live["spark-1"]["ours"] = [p for p in live["spark-1"]["ours"] if "gcs" not in p["command"]]
    assert changes(wish, live) == [
        "restart Ray head spark-1",
        "restart Ray worker spark-2",
        "restart vLLM spark-1",
    ]


def test_what_only_the_running_cluster_shows(wish: Wish, known: dict[str, Any]) -> None:
    live = running(wish, known)
    assert changes(wish, live, vllm="no completion") == ["restart vLLM spark-1"]
    assert changes(wish, live, spark_2="dead in Ray")[0] == "restart Ray worker spark-2"


def test_changed_arguments_restart_vllm_alone(wish: Wish, known: dict[str, Any]) -> None:
    live = running(wish, known)
    other = parse((GOOD + "  arguments: {max-num-seqs: 8}\n").encode(), "x")
    assert changes(make_wish(other, [], all_facts(live)), live) == ["restart vLLM spark-1"]


def test_what_changed_is_said(wish: Wish, known: dict[str, Any]) -> None:
    live = running(wish, known)
    other = parse((GOOD + "  arguments: {max-num-seqs: 8}\n").encode(), "x")
    (change,) = compare(make_wish(other, [], all_facts(live)), all_facts(live)).changes
    assert change.why == "--max-num-seqs: 64 -> 8"


def test_a_lost_record_is_said_to_be_one(wish: Wish, known: dict[str, Any]) -> None:
    live = running(wish, known)
    live["spark-1"]["state"]["files"]["applied.json"] = "{"
    assert compare(wish, all_facts(live)).changes[0].why == "the record of its start is missing"


def test_a_worker_may_be_called_vllm(known: dict[str, Any]) -> None:
    cluster = parse(GOOD.replace("spark-2", "vllm").encode(), "x")
    both = {"spark-1": known["spark-1"], "vllm": known["spark-2"]}
    wish = make_wish(cluster, [], all_facts(both))
    live = running(wish, both)
    assert changes(wish, live, vllm="no completion") == ["restart vLLM spark-1"]
    found = compare(wish, all_facts(live), unsound={"vllm": "dead in Ray"})
    assert [str(c) for c in found.changes] == [
        "restart Ray worker on vllm: dead in Ray",
        "restart vLLM on spark-1: its Ray is being restarted",
    ]


def test_names_that_differ_between_the_nodes_are_derived_by_each(known: dict[str, Any]) -> None:
    odd = (("eth5", "mlx5_0", "0000:01:00.1"), ("eth6", "mlx5_2", "0002:01:00.1"))
    made = make_wish(CLUSTER, [], all_facts({**known, "spark-2": facts(2, odd)}))
    assert made.nodes["spark-2"].values["NCCL_IB_HCA"] == "mlx5_0,mlx5_2"
    assert made.nodes["spark-1"].values["NCCL_IB_HCA"] == "rocep1s0f0,roceP2p1s0f0"
    assert made.ray_nodes == {"192.168.100.11": 1.0, "192.168.100.12": 1.0}


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
        make_wish(with_node(extra), [], all_facts(known))
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert caught.value.hint


def test_a_node_without_a_cable_has_no_usable_port(known: dict[str, Any]) -> None:
    known["spark-2"]["ib"] = {}
    with pytest.raises(PreflightError) as caught:
        make_wish(CLUSTER, [], all_facts(known))
    assert (caught.value.code, caught.value.node) == ("no-usable-port", "spark-2")


def test_a_doubtful_setting_of_every_node_is_reported_once(known: dict[str, Any]) -> None:
    doubted = parse((GOOD + 'env: {set: {NCCL_IB_DISABLE: "1"}}\n').encode(), "x")
    (doubt,) = doubtful(make_wish(doubted, [], all_facts(known)))
    assert (doubt.code, doubt.data) == ("rdma-disabled", {"setting": "NCCL_IB_DISABLE"})
    assert doubtful(make_wish(CLUSTER, [], all_facts(known))) == []


def test_only_the_heads_architecture_decides_and_its_home_is_the_models(
    known: dict[str, Any],
) -> None:
    cluster = parse(GOOD.replace("/models/m", "~/m").encode(), "x")
    known["spark-2"] |= {"home": "/home/other"}
    known["spark-2"]["model_config"]["architectures"] = ["Qwen3ForCausalLM"]
    made = make_wish(cluster, [], all_facts(known))
    assert made.recipe.name == "minimax-m2"
    assert made.head.vllm_argv[2] == "/home/u/m"
    assert made.nodes["spark-2"].vllm_argv == ()
    # The API lists what `vllm serve` was given.
    session = Session(cluster, Path(), Pool(cluster), facts=all_facts(known))
    assert report(session, compare(made, session.facts), {}).model == "/home/u/m"


def test_an_architecture_that_could_not_be_read_is_not_taken_for_another(
    known: dict[str, Any],
) -> None:
    """A running model would be restarted without its recipe."""
    del known["spark-1"]["model_config"]
    known["spark-1"]["unread"] = {"model_config": "TimeoutError: no answer within 6 s"}
    unread = all_facts(known)
    with pytest.raises(Missing, match=r"config\.json could not be read: TimeoutError"):
        make_wish(CLUSTER, [], unread)
    named = parse((GOOD + "  recipe: minimax-m2\n").encode(), "x")
    assert make_wish(named, [], unread).recipe.name == "minimax-m2"


def test_a_models_disk_that_hangs_does_not_hide_ray_from_status(known: dict[str, Any]) -> None:
    del known["spark-1"]["model_config"]
    session = Session(CLUSTER, Path(), Pool(CLUSTER), facts=all_facts(known))
    assert status._wish(session, set()).ray_address == "192.168.100.11:6379"


@pytest.mark.parametrize(("auth", "mode"), [("token", "token"), ("off", "disabled")])
def test_rays_authentication_is_the_same_everywhere_whatever_a_home_holds(
    auth: str, mode: str
) -> None:
    cluster = parse(f"{GOOD}ray: {{auth: '{auth}'}}\n".encode(), "x")
    known = {n.name: facts(i) for i, n in enumerate(cluster.nodes, 1)}
    for part in make_wish(cluster, [], all_facts(known)).nodes.values():
        assert part.values["RAY_AUTH_MODE"] == mode
