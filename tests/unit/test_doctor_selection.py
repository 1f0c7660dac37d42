"""What NCCL, Gloo and UCX would select, by the values of the inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

TWO = "spark-2"


def two(answers: Answers) -> Any:
    """The second node's facts, to be changed."""
    return answers.facts[TWO]


def with_env(variable: str, value: str) -> str:
    """The inventory with a variable of the second node; the value is quoted."""
    return INVENTORY.replace("role: worker", f"role: worker, env: {{{variable}: '{value}'}}")


def of_two(answers: Answers, check: str) -> Finding:
    """A check's finding on the second node."""
    (finding,) = [f for f in examined(answers, check) if f.node == TWO]
    return finding


VALUES = [
    ("enp1s0f0np0,enP2p1s0f0np0", "is a network interface"),
    ("rocep1s0f0, roceP2p1s0f0", "a space becomes part of a name"),
    ('"rocep1s0f0,roceP2p1s0f0"', "a quote becomes part of a name"),
    ("rocep1s0f0", "half of the cable is idle"),
    ("rocep1s0f1,roceP2p1s0f1", "cage 1"),
]


@pytest.mark.parametrize(("value", "reason"), VALUES)
def test_each_mistake_in_the_hca_list_has_its_reason_in_the_text(value: str, reason: str) -> None:
    answers = healthy(with_env("NCCL_IB_HCA", value))
    assert wrong(answers) == {("fabric.hca", TWO, "FAIL")}
    finding = of_two(answers, "fabric.hca")
    assert finding.code == "hca-not-selected"
    assert reason in finding.summary
    assert f"layer node {TWO}" in finding.evidence[0].where


@pytest.mark.parametrize("value", ["roce", "rocep1s0f,roceP2p1s0f0", "^mlx5"])
def test_a_prefix_that_takes_the_other_cage_as_well(value: str) -> None:
    answers = healthy(with_env("NCCL_IB_HCA", value) + "fabric: {cage: 0}\n")
    assert wrong(answers) == set(), "the other cage is down"
    for hca in ("rocep1s0f1", "roceP2p1s0f1"):
        two(answers)["ib"][hca]["ports"]["1"].update(state="ACTIVE", phys_state="LinkUp")
    assert wrong(answers) == {("fabric.hca", TWO, "FAIL")}
    finding = of_two(answers, "fabric.hca")
    assert finding.code == "hca-extra"
    assert "rocep1s0f1" in str(finding.data["extra"])


@pytest.mark.parametrize("given", [False, True])
def test_a_device_whose_name_extends_a_chosen_one_is_left_out_unless_a_layer_takes_it(
    given: bool,
) -> None:
    """A device of the other cage, and a VLAN of the socket interface."""
    answers = healthy(with_env("NCCL_IB_HCA", "${HCAS}") if given else INVENTORY)
    ib, net = two(answers)["ib"], two(answers)["net"]
    ib["rocep1s0f01"] = ib.pop("rocep1s0f1")
    ib["rocep1s0f01"]["ports"]["1"].update(state="ACTIVE", phys_state="LinkUp")
    net["enp1s0f0np0.10"] = {**net["enp1s0f0np0"], "ipv4": ["10.1.0.2/24"], "pci": None}
    found = {(f.check, f.code) for f in examined(answers) if f.severity.value in ("WARN", "FAIL")}
    assert (("fabric.hca", "hca-extra") in found) == given
    assert ("fabric.interfaces", "extra-interfaces") not in found
    value = answers.snapshot().environment(TWO)["NCCL_IB_HCA"]
    assert value.startswith("=") != given


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NCCL_SOCKET_IFNAME", "enP7s7"),
        ("NCCL_SOCKET_IFNAME", "eth9"),
        ("GLOO_SOCKET_IFNAME", "eth9"),
        ("TP_SOCKET_IFNAME", "enP7s7"),
        ("UCX_NET_DEVICES", "eth9"),
        ("GLOO_SOCKET_IFNAME", "enp1s0f0np0:1"),
        ("UCX_NET_DEVICES", "rocep1s0f0:2"),
        ("UCX_NET_DEVICES", "rocep1s0f0:1,rocep1s0f1:1"),
    ],
)
def test_interfaces_that_are_not_the_fabrics(variable: str, value: str) -> None:
    answers = healthy(with_env(variable, value))
    assert wrong(answers) == {("fabric.interfaces", TWO, "FAIL")}
    finding = of_two(answers, "fabric.interfaces")
    assert finding.code == "wrong-interface"
    assert (finding.data["variable"], finding.data["got"]) == (variable, value)


@pytest.mark.parametrize(
    "value",
    ["all", "rocep1s0f0:1,roceP2p1s0f0:1", "rocep1s0f0", "enp1s0f0np0,enP2p1s0f0np0"],
)
def test_what_ucx_may_be_given(value: str) -> None:
    text = f"env: {{set: {{UCX_NET_DEVICES: '{value}'}}}}\n"
    assert wrong(healthy(INVENTORY + text)) == set()


def test_sockets_that_take_more_than_the_fabric() -> None:
    text = "env: {set: {NCCL_SOCKET_IFNAME: 'enp1s0f0np0,enP7s7'}}\n"
    answers = healthy(INVENTORY + text)
    net = two(answers)["net"]
    two(answers)["net"] = {n: net[n] for n in sorted(net, key=lambda n: n != "enp1s0f0np0")}
    assert ("fabric.interfaces", TWO, "WARN") in wrong(answers)
    assert wrong(healthy(INVENTORY + text.replace("P7s7", "P2p1s0f0np0"))) == set(), "a half"


def test_a_forced_family_that_the_fabric_has_no_address_of() -> None:
    answers = healthy(with_env("NCCL_SOCKET_FAMILY", "AF_INET6"))
    assert wrong(answers) == set()  # its link-local address counts
    two(answers)["net"]["enp1s0f0np0"]["ipv6"] = []
    assert wrong(answers) == {("fabric.interfaces", TWO, "FAIL")}
    finding = of_two(answers, "fabric.interfaces")
    assert (finding.code, finding.data["variable"]) == ("wrong-interface", "NCCL_SOCKET_FAMILY")
    assert finding.evidence[0].where == f"layer node {TWO}"


def test_a_pinned_gid_index_is_checked_on_every_hca() -> None:
    answers = healthy(INVENTORY + 'env: {set: {NCCL_IB_GID_INDEX: "3"}}\n')
    assert wrong(answers) == {("fabric.gid-index", n, "WARN") for n in answers.names}
    gids = two(answers)["ib"]["roceP2p1s0f0"]["ports"]["1"]["gids"]
    gids[3]["index"] = 5
    assert ("fabric.gid-index", TWO, "FAIL") in wrong(answers)


def test_an_explicit_fabric_that_is_not_there() -> None:
    text = INVENTORY.replace("role: worker", "role: worker, fabric: {hcas: [mlx5_0]}")
    found = wrong(healthy(text))
    assert ("fabric.choice", TWO, "FAIL") in found
    assert {s for c, n, s in found if c != "fabric.choice"} <= {"UNKNOWN"}


def test_a_gid_whose_type_cannot_be_read_is_unknown() -> None:
    answers = healthy()
    for slot in two(answers)["ib"]["roceP2p1s0f0"]["ports"]["1"]["gids"]:
        slot["type"] = None
    assert wrong(answers) == {("fabric.gid", TWO, "UNKNOWN")}


@pytest.mark.parametrize("variable", ["NCCL_IB_HCA", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"])
def test_a_space_at_the_end_of_a_value_is_seen(variable: str) -> None:
    finding, *_ = [f for f in examined(healthy(with_env(variable, "en "))) if f.fix]
    assert f"{variable}=`en `" in finding.summary
