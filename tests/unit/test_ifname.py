"""Which interfaces NCCL takes: the cases of the field, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.fabric.ifname import Interface, select_interfaces
from sparkctl.fabric.version import NEWEST, Version

if TYPE_CHECKING:
    from sparkctl.fabric.hca import Selection, Verdict

LINKS = ("enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0", "lo", "docker0", "virbr0")
UP = [Interface(name) for name in LINKS]


def verdict(selection: Selection, name: str) -> Verdict:
    return next(v for v in selection.devices if v.name == name)


@pytest.mark.parametrize(
    ("value", "selected"),
    [
        ("enp1", ["enp1s0f0np0", "enp1s0f1np1"]),
        ("enP", ["enP7s7", "enP2p1s0f0np0"]),
        ("=enp1s0f0np0", ["enp1s0f0np0"]),
        ("enp1s0f0np0:7", ["enp1s0f0np0"]),
        ("^en", ["lo", "docker0", "virbr0"]),
        ("eth0", []),
        ("=enp1s0f0", []),
        ("^=", []),
        (",,", [*LINKS]),
        (None, ["enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0"]),
        ("", ["enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0"]),
        *((c, ["enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0"]) for c in "e^=,"),
    ],
)
def test_interfaces_are_selected(value: str | None, selected: list[str]) -> None:
    assert select_interfaces(value, UP).selected == selected


def test_a_vlan_is_taken_by_its_parents_name() -> None:
    links = [Interface("enp1s0f0np0"), Interface("enp1s0f0np0.100")]
    assert select_interfaces("enp1s0f0np0", links).selected == ["enp1s0f0np0", "enp1s0f0np0.100"]


def test_carrier_counts_from_2_28_3() -> None:
    links = [Interface("enp1s0f0np0", up=False)]
    assert select_interfaces("enp1", links, (2, 28, 2)).selected == ["enp1s0f0np0"]
    found = select_interfaces("enp1", links, (2, 28, 3))
    assert found.selected == []
    assert found.devices[0].code == "not-running"


def test_unset_takes_ib_first_and_docker_and_lo_last() -> None:
    def unset(*names: str, version: Version = NEWEST) -> list[str]:
        return select_interfaces(None, [Interface(n) for n in names], version).selected

    assert unset("eth0", "ib0", "lo") == ["ib0"]
    assert unset("docker0", "eth0", "br-1", "tailscale0") == ["eth0", "br-1", "tailscale0"]
    assert unset("lo", "docker0") == ["docker0"]
    assert unset("lo") == ["lo"]
    assert unset("lowpan0", "eth0") == ["eth0"]
    assert unset() == []
    found = select_interfaces(None, [Interface("lo"), Interface("eth0")])
    assert verdict(found, "eth0").selected
    assert verdict(found, "lo").code == "not-default"
    assert verdict(found, "lo").data == {"selected": ["eth0"]}


@pytest.mark.parametrize(
    ("names", "before", "since"),
    [
        (("lo", "virbr0", "eth0"), ["virbr0", "eth0"], ["eth0"]),
        (("virbr0", "docker0"), ["virbr0"], ["docker0"]),
        (("lo", "virbr0"), ["virbr0"], ["lo"]),
        (("virbr0", "virbr1"), ["virbr0", "virbr1"], ["virbr0", "virbr1"]),
    ],
)
def test_unset_virbr_comes_last_from_2_28_3(
    names: tuple[str, ...], before: list[str], since: list[str]
) -> None:
    links = [Interface(n) for n in names]
    assert select_interfaces(None, links, (2, 28, 2)).selected == before
    assert select_interfaces(None, links, (2, 28, 3)).selected == since


def test_unset_what_is_not_usable_is_passed_over() -> None:
    links = [Interface("ib0", up=False), Interface("ib1", addressed=False), Interface("eth0")]
    assert select_interfaces(None, links, (2, 28, 2)).selected == ["ib0"]
    assert select_interfaces(None, links, (2, 28, 3)).selected == ["eth0"]


def test_unset_the_subnet_of_the_comm_id_comes_after_ib() -> None:
    links = [
        Interface("enP7s7", addresses=("10.0.0.5/24", "fe80::1/64")),
        Interface("enp1s0f0np0", addresses=("192.168.100.11/24",)),
        Interface("enp1s0f1np1", addresses=("fd00:1::2/64",)),
        Interface("enP2p1s0f0np0", up=False, addresses=("192.168.101.11/24",)),
    ]

    def unset(comm_id: str, *more: Interface) -> list[str]:
        return select_interfaces(None, [*links, *more], comm_id=comm_id).selected

    assert unset("192.168.100.12:4711") == ["enp1s0f0np0"]
    assert unset("[fd00:1::9]:4711") == ["enp1s0f1np1"]
    assert unset("192.168.101.12:4711") == ["enP2p1s0f0np0"]  # there it need not run
    assert unset("192.168.100.12:4711", Interface("ib0")) == ["ib0"]
    for says_nothing in ("172.16.0.1:1", "spark-1:4711", "192.168.100.12", "300.1.1.1:1", ""):
        assert unset(says_nothing) == ["enP7s7", "enp1s0f0np0", "enp1s0f1np1"]
    named = select_interfaces("enP7s7", links, comm_id="192.168.100.12:4711")
    assert named.selected == ["enP7s7"]


def test_the_bootstrap_takes_the_first_and_the_sockets_sixteen() -> None:
    found = select_interfaces("eth", [Interface(f"eth{n}") for n in range(20)])
    assert len(found.selected) == 16
    assert [v.name for v in found.devices if v.data.get("bootstrap")] == ["eth0"]
    assert [v.code for v in found.devices[16:]] == ["beyond-limit"] * 4
    alone = select_interfaces("eth0", [Interface("eth0"), Interface("eth1")])
    assert not any(v.data.get("bootstrap") for v in alone.devices), "nothing to choose from"


def test_ipv4_comes_before_ipv6_whatever_the_kernels_index() -> None:
    links = [
        Interface("eth0", addresses=("fe80::1/64",)),
        Interface("eth1", addresses=("10.0.0.1/8", "fe80::2/64")),
    ]
    assert select_interfaces("eth", links).selected == ["eth1", "eth0"]
    assert select_interfaces("eth", links, family="AF_INET6").selected == ["eth0", "eth1"]


LO = Interface("lo", addresses=("127.0.0.1/8", "::1/128"))
DUAL = Interface("eth0", addresses=("10.0.0.1/8", "fe80::2/64"))
IPV4 = Interface("eth1", addresses=("10.1.0.1/16",))
IPV6 = Interface("eth2", addresses=("fd00::1/64",))


@pytest.mark.parametrize("value", ["eth,lo", "^x"])
@pytest.mark.parametrize(
    ("family", "selected"),
    [
        (None, ["lo", "eth0", "eth1", "eth2"]),
        ("AF_INET", ["lo", "eth0", "eth1"]),
        ("AF_INET6", ["eth0", "eth2"]),
        ("af_inet", ["lo", "eth0", "eth1", "eth2"]),
        ("", ["lo", "eth0", "eth1", "eth2"]),
    ],
)
def test_a_forced_family_requires_an_address_of_it(
    value: str, family: str | None, selected: list[str]
) -> None:
    found = select_interfaces(value, [LO, DUAL, IPV4, IPV6], family=family)
    assert found.selected == selected


def test_the_reason_names_the_address_that_does_not_count() -> None:
    found = select_interfaces("^x", [LO, IPV4], family="AF_INET6")
    assert verdict(found, "eth1").reason == "it has no address of NCCL_SOCKET_FAMILY=AF_INET6"
    assert verdict(found, "lo").reason.endswith("=AF_INET6; ::1 does not count")
    alone = select_interfaces("lo", [Interface("lo", addresses=("::1/128",))])
    assert verdict(alone, "lo").code == "no-address"
    assert verdict(alone, "lo").reason == "it has no address; ::1 does not count"
    # Without known addresses a name is taken to have one of the family.
    assert select_interfaces("eth", [Interface("eth0")], family="AF_INET6").selected == ["eth0"]


@pytest.mark.parametrize("value", [None, "enp1", "^lo"])
@pytest.mark.parametrize("version", [(2, 28, 2), (2, 28, 3)])
def test_an_interface_without_an_address_never_counts(value: str | None, version: Version) -> None:
    found = select_interfaces(value, [Interface("enp1s0f0np0", addressed=False)], version)
    assert verdict(found, "enp1s0f0np0").code == "no-address"


def test_only_the_first_16_entries_count() -> None:
    others = ",".join(f"x{n}" for n in range(15))
    links = [Interface("enp1s0f0np0"), Interface("enP7s7")]
    assert select_interfaces(f"{others},enp1,enP7", links).selected == ["enp1s0f0np0"]
    found = select_interfaces(f"^{others},y,enp1", links)
    assert found.selected == ["enp1s0f0np0", "enP7s7"]
    assert "beyond-limit" in [doubt.code for doubt in found.doubts]
