"""The fabric as one document: cages, halves, and who faces whom; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.fabric.cabling import facing, links
from sparkctl.fabric.gid import table, taken_index
from sparkctl.fabric.topology import Half, halves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.facts.node import NodeFacts
from sparkctl.facts.unread import known


def picture(facts: Mapping[str, NodeFacts], pinned: Mapping[str, int | None]) -> dict[str, Any]:
    """Of each node's facts (node/probe.py): `nodes`, `links` and `alone`.

    `nodes`: each with its halves by cage, and the RDMA devices that have no netdev. `links`: two
    halves of two nodes that face each other, with the subnet. `alone`: usable halves that face no
    other node's. `pinned`: the node's NCCL_IB_GID_INDEX, which decides `gid_index`.
    """
    found = {name: halves(known) for name, known in facts.items()}
    faced = links(found)
    return {
        "nodes": [
            {
                "name": name,
                "halves": [d for h in found[name] for d in _half(h, facts[name], pinned.get(name))],
                "without_netdev": sorted(set(known(facts[name].ib)) - {h.hca for h in found[name]}),
            }
            for name in found
        ],
        "links": [
            {
                "ends": [{"node": node, "hca": half.hca} for node, half in link.ends],
                "subnet": link.subnet,
                "active": link.active,
            }
            for link in faced
        ],
        "alone": [
            {"node": name, "hca": half.hca}
            for name in found
            for half in found[name]
            if len(found) > 1 and half.usable and not facing(faced, name, half)
        ],
    }


def _half(half: Half, facts: NodeFacts, pinned: int | None) -> Iterator[dict[str, Any]]:
    """One document a port, of which a ConnectX-7 on Spark has one a device."""
    net = known(facts.net)[half.interface]
    for number, port in known(facts.ib)[half.hca].ports.items():
        gids = table(port.gids)
        yield {
            "cage": half.cage,
            "hca": half.hca,
            "port": int(number),
            "interface": half.interface,
            "pci": half.pci,
            "state": port.state,
            "phys_state": port.phys_state,
            "rate": port.rate,
            "link_layer": port.link_layer,
            "mtu": half.mtu,
            "speed": net.speed,
            "ipv4": list(half.ipv4),
            "ipv6": list(net.ipv6),
            "pcie_width": net.pcie_width,
            "pcie_speed": net.pcie_speed,
            "gids": [
                {"index": g.index, "gid": g.gid, "type": g.kind, "family": g.family,
                 "ipv4": g.ipv4, "netdev": g.ndev}
                for g in gids
            ],
            "gid_index": taken_index(gids, pinned),
        }  # fmt: skip
