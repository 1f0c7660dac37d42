"""The choice of ports for a whole cluster: all socket interfaces in one subnet that all share."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.doctor.snapshot import Snapshot
from sparkctl.errors import PreflightError, RemoteError, SparkctlError
from sparkctl.fabric.selection import FabricChoice, check_pairing
from sparkctl.inventory.models import Inventory
from sparkctl.plan.desired import desire
from sparkctl.plan.fabric import fabric_choices
from tests.unit.answers import all_facts, device, interface
from tests.unit.doctorview import healthy

if TYPE_CHECKING:
    from collections.abc import Mapping

Facts = dict[str, Any]
# PCI address and cage of a Spark's four ports; a cage's halves are 0 and 1, or 2 and 3.
PORTS = (("0000:01:00.0", 0), ("0002:01:00.0", 0), ("0000:01:00.1", 1), ("0002:01:00.1", 1))
IDLE: tuple[str | None, ...] = (None, None)  # a cage without a cable


def node(*addresses: str | None, down: tuple[int, ...] = (), names: str = "abcd") -> Facts:
    """A Spark with these addresses on its four ports, in the order of PORTS; None: no cable."""
    facts: Facts = {"net": {}, "ib": {}}
    for at, ((pci, cage), address) in enumerate(zip(PORTS, addresses, strict=False)):
        net, live = f"net{names[at]}", address is not None and at not in down
        held = [address] if address else []
        facts["net"][net] = interface(
            *held, pci=pci, phys_port_name=f"p{cage}", up=live, carrier=int(live)
        )
        facts["ib"][f"hca{names[at]}"] = device(net, pci, "ACTIVE" if live else "DOWN")
    return facts


def inventory(count: int, fabric: Facts | None = None, **nodes: Facts) -> Inventory:
    names = [f"n{i}" for i in range(count)]
    return Inventory.model_validate(
        {
            "cluster": "c",
            "nodes": [
                {
                    "name": n,
                    "host": f"h-{n}",
                    "role": "worker" if at else "head",
                    "fabric": nodes.get(n, {}),
                }
                for at, n in enumerate(names)
            ],
            "vllm": {"model": "m"},
            "fabric": fabric or {},
        }
    )


def chosen(*nodes: Facts, fabric: Facts | None = None, **own: Facts) -> dict[str, FabricChoice]:
    facts = {f"n{i}": found for i, found in enumerate(nodes)}
    found = fabric_choices(inventory(len(nodes), fabric, **own), all_facts(facts))
    return {n: c for n, c in found.items() if not isinstance(c, SparkctlError)}


def sockets(found: Mapping[str, FabricChoice]) -> list[str]:
    """The addresses of the socket interfaces, in the order of nodes."""
    assert all(c.address == c.addresses[0].partition("/")[0] for c in found.values())
    return [c.address for _, c in sorted(found.items())]


def rails(number: int, *subnets: int) -> list[str]:
    return [f"10.0.{s}.{number}/24" for s in subnets]


def test_a_healthy_pair_uses_the_heads_first_half() -> None:
    found = chosen(node(*rails(1, 1, 2)), node(*rails(2, 1, 2)))
    assert sockets(found) == ["10.0.1.1", "10.0.1.2"]


def test_after_a_rename_the_sockets_stay_in_one_subnet() -> None:
    found = chosen(node(*rails(1, 1, 2)), node(*rails(2, 2, 1)))
    assert sockets(found) == ["10.0.1.1", "10.0.1.2"]
    assert found["n1"].interfaces == ("netb", "neta")
    assert found["n1"].addresses == ("10.0.1.2/24", "10.0.2.2/24")
    # NCCL does not read the order of the value, so it stays that of the PCI addresses.
    assert found["n1"].hcas == ("hcaa", "hcab")
    assert check_pairing(found) == []


@pytest.mark.parametrize("lame", [0, 1])
def test_with_one_half_down_all_use_the_other(lame: int) -> None:
    pair = [node(*rails(1, 1, 2)), node(*rails(2, 1, 2))]
    pair[lame] = node(*rails(lame + 1, 1, 2), down=(0,))
    assert sockets(chosen(*pair)) == ["10.0.2.1", "10.0.2.2"]


def test_the_cage_that_leads_to_the_peers_is_used() -> None:
    storage = node(*rails(1, 8, 9), None, *rails(1, 2))
    found = chosen(storage, node(*rails(2, 1, 2)))
    assert sockets(found) == ["10.0.2.1", "10.0.2.2"]
    assert found["n0"].hcas == ("hcad",)
    crossed = chosen(node(*rails(1, 1, 2, 3, 4)), node(*rails(2, 3, 4, 1, 2)))
    assert crossed["n0"].hcas == ("hcaa", "hcab")
    assert crossed["n1"].hcas == ("hcac", "hcad"), "the other end of the head's first cable"
    both = chosen(node(*rails(1, 1, 9, 3, 4)), node(*rails(2, 1, 8, 3, 4)))
    assert [c.hcas for c in both.values()] == [("hcac", "hcad")] * 2, "two rails before one"


def test_a_workers_wrong_cage_is_left_for_the_right_one() -> None:
    found = chosen(node(*rails(1, 1, 2)), node(*rails(2, 8, 9), *rails(2, 1, 2)))
    assert sockets(found) == ["10.0.1.1", "10.0.1.2"]
    assert found["n1"].hcas == ("hcac", "hcad")


def test_an_address_of_another_subnet_before_the_fabrics_is_passed_over() -> None:
    two = node(*rails(2, 1, 2))
    two["net"]["neta"]["ipv4"].insert(0, "172.16.0.2/24")
    found = chosen(node(*rails(1, 1, 2)), two)
    assert sockets(found) == ["10.0.1.1", "10.0.1.2"]


def test_a_link_local_subnet_comes_last() -> None:
    pair = node("169.254.1.1/16", *rails(1, 2)), node("169.254.1.2/16", *rails(2, 2))
    assert sockets(chosen(*pair)) == ["10.0.2.1", "10.0.2.2"]
    only = node("169.254.1.1/16"), node("169.254.1.2/16")
    assert sockets(chosen(*only)) == ["169.254.1.1", "169.254.1.2"]


def test_a_node_that_shares_nothing_uses_what_it_would_alone() -> None:
    alone = node("169.254.1.1/16", *rails(1, 2))
    assert sockets(chosen(alone)) == ["169.254.1.1"]
    assert sockets(chosen(alone, node(*rails(2, 7, 8)))) == ["169.254.1.1", "10.0.7.2"]


def test_the_inventorys_values_override_and_the_others_follow() -> None:
    pair = node(*rails(1, 1, 2)), node(*rails(2, 1, 2))
    both = ["10.0.2.1", "10.0.2.2"]
    assert sockets(chosen(*pair, n1={"interfaces": ["netb", "neta"]})) == both
    assert sockets(chosen(*pair, n1={"addresses": ["10.0.2.2", "10.0.1.2"]})) == both
    assert sockets(chosen(*pair, fabric={"subnets": ["10.0.2.0/24"]})) == both
    four = node(*rails(1, 1, 2, 3, 4)), node(*rails(2, 1, 2, 3, 4))
    assert sockets(chosen(*four, n0={"cage": 1})) == ["10.0.3.1", "10.0.3.2"]
    assert sockets(chosen(*four, n1={"cage": 1})) == ["10.0.3.1", "10.0.3.2"]
    own = {"interfaces": ["neta"]}, {"interfaces": ["netb"]}
    apart = chosen(*pair, n0=own[0], n1=own[1])
    assert sockets(apart) == ["10.0.1.1", "10.0.2.2"]
    assert [m.code for m in check_pairing(apart)] == ["socket-subnet"]


def test_given_hcas_keep_their_order_and_leave_the_socket_open() -> None:
    pair = node(*rails(1, 1, 2)), node(*rails(2, 1, 2))
    found = chosen(*pair, n1={"hcas": ["hcab", "hcaa"]})
    assert sockets(found) == ["10.0.1.1", "10.0.1.2"]
    assert found["n1"].hcas == ("hcab", "hcaa")


def test_in_a_ring_each_node_takes_its_own_first_half() -> None:
    ring = (rails(1, 1, 5, 2, 6), rails(2, 3, 1, 4, 2), rails(3, 5, 3, 6, 4))
    every = {"hcas": ["hcaa", "hcab", "hcac", "hcad"]}
    found = chosen(*(node(*one) for one in ring), n0=every, n1=every, n2=every)
    assert sockets(found) == ["10.0.1.1", "10.0.3.2", "10.0.5.3"]
    assert [m.code for m in check_pairing(found)] == ["socket-subnet"] * 2


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_one_node_in_subnets_of_its_own_does_not_part_the_others(odd: int) -> None:
    nodes = [node(*rails(1, 1, 2)), node(*rails(2, 2, 1)), node(*rails(3, 1, 2), down=(0,))]
    nodes[odd] = node(*rails(9, 7, 8))
    found = chosen(*nodes)
    shared = {IPv4Interface(c.addresses[0]).network for n, c in found.items() if n != f"n{odd}"}
    assert len(shared) == 1
    assert found[f"n{odd}"].address == "10.0.7.9"


def test_an_error_of_one_node_leaves_the_others_their_choice() -> None:
    facts = all_facts({"n0": node(*rails(1, 1, 2)), "n1": node("", ""), "n2": {}})
    facts["n3"] = all_facts({"n3": node(*rails(4, 2, 1))})["n3"]
    found = fabric_choices(inventory(5), facts)
    assert isinstance(found["n1"], PreflightError)
    assert isinstance(found["n2"], RemoteError)
    assert "n4" not in found, "of which there are no facts"
    assert isinstance(found["n0"], FabricChoice)
    assert isinstance(found["n3"], FabricChoice)
    assert (found["n0"].address, found["n3"].address) == ("10.0.1.1", "10.0.1.4")


def test_a_state_that_could_not_be_read_is_no_down_port() -> None:
    facts = node(*rails(1, 1, 2))
    facts["ib"]["hcaa"]["ports"]["1"]["state"] = None
    found = fabric_choices(inventory(1), all_facts({"n0": facts}))["n0"]
    assert isinstance(found, RemoteError)
    assert "hcaa" in str(found)


def test_up_and_the_doctor_agree_whichever_nodes_are_asked_about() -> None:
    answers = healthy()
    first, second = (answers.facts["spark-2"]["net"][n] for n in ("enp1s0f0np0", "enP2p1s0f0np0"))
    first["ipv4"], second["ipv4"] = second["ipv4"], first["ipv4"]
    facts = all_facts(answers.facts)
    (view,) = answers.inventory.views
    made = desire(view, [], facts)
    for nodes in (answers.nodes, answers.nodes[:1], answers.nodes[1:]):
        snapshot = Snapshot(answers.inventory, nodes, [], all_facts=facts)
        choices = {name: snapshot.choice(name) for name in facts}
        assert choices == {name: part.choice for name, part in made.parts.items()}
        assert sockets(choices) == ["192.168.100.11", "192.168.100.12"]


# Any cluster in which all nodes share a subnet: on a switch, or on one cable.


@st.composite
def clusters(draw: st.DrawFn) -> list[Facts]:
    """Two to eight nodes, each with an ACTIVE port in subnet 1.

    Its ports have any names and order; the others may be in other subnets, DOWN or without cable.
    """
    found = []
    for number in range(1, draw(st.integers(2, 8)) + 1):
        others = st.sampled_from([None, "", *rails(number, 2, 3, 4), f"10.9.{number}.1/24"])
        ports = [rails(number, 1)[0], *draw(st.lists(others, min_size=3, max_size=3))]
        order = draw(st.permutations(range(4)))
        shared = order.index(0)
        down = draw(st.sets(st.sampled_from([at for at in range(4) if at != shared])))
        names = "".join(draw(st.permutations("abcd")))
        found.append(node(*(ports[at] for at in order), down=tuple(down), names=names))
    return found


@given(clusters())
@settings(deadline=None, max_examples=300)
def test_all_sockets_share_a_subnet_whenever_there_is_one(nodes: list[Facts]) -> None:
    found = chosen(*nodes)
    assert len(found) == len(nodes)
    assert len({IPv4Interface(c.addresses[0]).network for c in found.values()}) == 1
    for name, choice in found.items():
        facts = nodes[int(name[1:])]
        net = facts["net"][choice.interfaces[0]]
        assert choice.addresses[0] in net["ipv4"]
        assert net["carrier"] == 1
        # The value of NCCL_IB_HCA is in the order of the PCI addresses, the same at each start.
        pci = [facts["ib"][hca]["pci"] for hca in choice.hcas]
        assert pci == sorted(pci)


@given(clusters(), st.data())
@settings(deadline=None, max_examples=100)
def test_the_choice_depends_on_the_facts_alone(nodes: list[Facts], data: st.DataObject) -> None:
    shuffled = [
        {group: dict(data.draw(st.permutations(list(n[group].items())))) for group in n}
        for n in nodes
    ]
    assert chosen(*shuffled) == chosen(*nodes)
