"""Env layers: precedence, references, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.setting import Setting
from sparkctl.engines.vllm.environment import render
from sparkctl.errors import InventoryError
from sparkctl.fabric.selection import FabricChoice
from sparkctl.inventory.layers import parse_layer
from sparkctl.secret.value import masked
from tests.unit import answers as make
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory

CHOICE = FabricChoice(
    "192.168.100.11",
    ("enp1s0f0np0", "enP2p1s0f0np0"),
    ("rocep1s0f0", "roceP2p1s0f0"),
    ("192.168.100.11/24", "192.168.101.11/24"),
)


def inventory(extra: str = "", node: str = "") -> Inventory:
    return parse((GOOD.replace("role: head", "role: head" + node) + extra).encode(), "x")


def test_the_recipe_is_rendered_for_the_node() -> None:
    loaded = inventory()
    values = {k: s.value for k, s in render(loaded, loaded.head, CHOICE, []).items()}
    assert values["NCCL_IB_HCA"] == "rocep1s0f0,roceP2p1s0f0"
    assert values["VLLM_HOST_IP"] == "192.168.100.11"
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "UCX_NET_DEVICES"):
        assert values[name] == "enp1s0f0np0"
    assert values["NCCL_IB_DISABLE"] == "0"
    assert values["RAY_memory_monitor_refresh_ms"] == "0"


def with_others(*names: str) -> NodeFacts:
    """A node with the chosen devices, and others of these names."""
    interfaces = {*CHOICE.interfaces, *(n for n in names if n.startswith("en"))}
    hcas = {*CHOICE.hcas, *(n for n in names if n.startswith("roce"))}
    return make.node_facts(
        {
            "net": {name: make.interface() for name in interfaces},
            "ib": {name: make.device("x") for name in hcas},
        }
    )


@pytest.mark.parametrize(
    ("others", "exact"),
    [
        ([], set()),
        (["rocep1s0f1", "enp1s0f1np1", "enP7s7"], set()),
        (["rocep1s0f0v1"], {"NCCL_IB_HCA"}),  # a virtual function
        (["roceP2p1s0f01"], {"NCCL_IB_HCA"}),
        (["enp1s0f0np0.10"], {"NCCL_SOCKET_IFNAME"}),  # a VLAN
        (["enP2p1s0f0np0.10"], set()),  # of the other half, which is not the socket interface
        (["enp1s0f0np01", "rocep1s0f01"], {"NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"}),
    ],
)
def test_nccl_gets_whole_names_where_a_prefix_would_take_another_device(
    others: list[str], exact: set[str]
) -> None:
    loaded = inventory()
    found = render(loaded, loaded.head, CHOICE, [], with_others(*others))
    assert {name for name, setting in found.items() if setting.value.startswith("=")} == exact
    for name, setting in render(loaded, loaded.head, CHOICE, []).items():
        assert found[name].value.lstrip("=") == setting.value


def test_a_layers_own_value_stays_as_it_is() -> None:
    loaded = inventory("env: {set: {NCCL_IB_HCA: '${HCAS}'}}\n")
    facts = with_others("rocep1s0f0v1", "enp1s0f0np0.10")
    found = render(loaded, loaded.head, CHOICE, [], facts)
    assert found["NCCL_IB_HCA"].value == "rocep1s0f0,roceP2p1s0f0"
    assert found["NCCL_SOCKET_IFNAME"].value == "=enp1s0f0np0"
    assert found["GLOO_SOCKET_IFNAME"].value == "enp1s0f0np0"  # it is literal there


def test_what_is_not_known_of_a_nodes_devices_changes_nothing() -> None:
    loaded = inventory()
    assert render(loaded, loaded.head, CHOICE, [], make.node_facts({})) == render(
        loaded, loaded.head, CHOICE, []
    )


def test_each_later_layer_wins() -> None:
    one, two = parse_layer("one", "OMP_NUM_THREADS=1\nA=1"), parse_layer("two", "A=2")
    loaded = inventory("env: {set: {B: set, C: set}}\n", ", env: {C: node}")
    found = render(loaded, loaded.head, CHOICE, [one, two])
    assert found["OMP_NUM_THREADS"] == Setting("1", "one")
    assert found["A"] == Setting("2", "two")
    assert found["B"] == Setting("set", "inventory")
    assert found["C"] == Setting("node", "node spark-1")


def test_a_layer_can_drop_a_variable() -> None:
    loaded = inventory()
    found = render(loaded, loaded.head, CHOICE, [parse_layer("x", "-OMP_NUM_THREADS")])
    assert "OMP_NUM_THREADS" not in found


def test_without_an_rdma_device_no_empty_list_selects_every_device() -> None:
    loaded = inventory()
    bare = FabricChoice("10.0.0.1", ("eth0",), (), ("10.0.0.1/24",))
    assert "NCCL_IB_HCA" not in render(loaded, loaded.head, bare, [])


def test_quotes_around_a_whole_value_are_removed() -> None:
    assert parse_layer("x", "export A='1 2'\nB=\"x\"\nC=").values == {"A": "1 2", "B": "x", "C": ""}


def test_every_bad_line_is_reported() -> None:
    with pytest.raises(InventoryError) as caught:
        parse_layer("x.env", "A=1\nno value\n# fine\nA=2\n-B=3\n1X=2\nB=${FABRIC_ADRESS}")
    places = [problem.split(": ")[0] for problem in caught.value.problems]
    assert places == ["x.env:2", "x.env:4", "x.env:5", "x.env:6", "x.env:7"]


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("HF_TOKEN", True),
        ("VLLM_API_KEY", True),
        ("DB_PASSWORD", True),
        ("MY_SECRET_ID", True),
        ("RAY_AUTH_TOKEN_PATH", False),
        ("NCCL_DEBUG", False),
    ],
)
def test_secrets_are_masked(name: str, hidden: bool) -> None:
    assert masked(name, "value") == ("****" if hidden else "value")
