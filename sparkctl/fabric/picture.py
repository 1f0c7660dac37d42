"""The fabric as one document: cages, halves, and who faces whom; pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface
from itertools import combinations
from typing import Any

from sparkctl.fabric.gid import table, taken
from sparkctl.fabric.topology import Half, halves


def picture(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`nodes`: each with its halves, by cage; `links`: halves of two nodes in one subnet."""
    found = {name: halves(known) for name, known in facts.items()}
    return {
        "nodes": [
            {"name": name, "halves": [_half(h, facts[name]) for h in found[name]]} for name in found
        ],
        "links": [
            {"ends": [{"node": a, "hca": one.hca}, {"node": b, "hca": two.hca}],
             "subnet": str(IPv4Interface(x).network), "active": one.active and two.active}
            for a, b in combinations(found, 2)
            for one in found[a]
            for two in found[b]
            for x in one.ipv4
            if any(IPv4Interface(y).network == IPv4Interface(x).network for y in two.ipv4)
        ],
    }  # fmt: skip


def _half(half: Half, facts: Mapping[str, Any]) -> dict[str, Any]:
    net = facts["net"][half.interface]
    ports = list(facts["ib"][half.hca]["ports"].values())
    gids = table([gid for port in ports for gid in port["gids"]])
    chosen = taken(gids)
    return {
        "cage": half.cage,
        "hca": half.hca,
        "interface": half.interface,
        "pci": half.pci,
        "state": ", ".join(str(p["state"]) for p in ports),
        "phys_state": ", ".join(str(p["phys_state"]) for p in ports),
        "rate": ", ".join(str(p["rate"]) for p in ports),
        "link_layer": ", ".join(str(p["link_layer"]) for p in ports),
        "mtu": half.mtu,
        "speed": net["speed"],
        "ipv4": list(half.ipv4),
        "pcie_width": net["pcie_width"],
        "pcie_speed": net["pcie_speed"],
        "gids": [{"index": g.index, "gid": g.gid, "type": g.kind, "ipv4": g.ipv4} for g in gids],
        "gid_index": chosen.index if chosen else None,
    }
