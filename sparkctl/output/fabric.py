"""The fabric and NCCL's selection, in plain text."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sparkctl.fabric.diagram import picture
from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import ACTIVE
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.stdio import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from sparkctl.doctor.snapshot import View
    from sparkctl.errors import SparkctlError
    from sparkctl.fabric.hca import Selection

NOTHING = {
    IB_HCA: "NCCL silently falls back to TCP",
    SOCKET_IFNAME: "NCCL fails to start",
}
TAKEN = "  <- NCCL takes it"


def print_fabric(
    view: View,
    pinned: Mapping[str, int | None],
    errors: Mapping[str, SparkctlError],
    *,
    as_json: bool,
) -> None:
    """Print the cages and halves of each node, then the links by subnet.

    `pinned`: the node's NCCL_IB_GID_INDEX. `errors`: why a node's fabric could not be read.
    """
    facts = {name: view.facts(name) for name in view.names if name not in errors}
    found = picture(facts, pinned)
    if as_json:
        document = {
            "cluster": view.inventory.cluster,
            "imitated": view.inventory.imitated,
            **found,
            "errors": {name: str(error) for name, error in errors.items()},
            "codes": {name: error.code for name, error in errors.items()},
        }
        print_json(document)
        return
    print_picture(found, errors, view.inventory.imitated)


def print_picture(
    document: dict[str, Any], errors: Mapping[str, SparkctlError], imitated: Sequence[str]
) -> None:
    """Print each node's cages and halves, then the links between the nodes, by subnet."""
    console = wide_console()
    for node in document["nodes"]:
        console.print(Text(node["name"], "bold"))
        for cage, halves in groupby(node["halves"], key=lambda h: h["cage"]):
            console.print(Text(f"  cage {cage}"))
            for half in halves:
                _print_half(console, half)
                _print_gids(console, half)
        for hca in node["without_netdev"]:
            console.print(Text(f"  {hca} has no network interface"))
        if not node["halves"] and not node["without_netdev"]:
            console.print(Text("  no RDMA device (is the cable in?)"))
    for link in _by_subnet(document):
        print_prose(console, link, 4)
    for end in document["alone"]:
        alone = f"{end['node']} {end['hca']} shares its subnet with no other node"
        print_prose(console, Text(alone, "yellow"), 4)
    for name, error in errors.items():
        print_prose(console, Text(f"{name}: {error.message}", "red"), 4)
    _print_imitated(console, imitated)


def print_selections(
    selections: Sequence[Selection], imitated: Sequence[str], *, as_json: bool
) -> None:
    """Print what is selected, each device's reason, and likely mistakes; as JSON the first."""
    if as_json:
        print_json(selections[0].document())
        return
    console = wide_console()
    for selection in selections:
        _print_selection(console, selection)
    _print_imitated(console, imitated)


def _print_imitated(console: Console, imitated: Sequence[str]) -> None:
    """What of a lab is imitated; nothing for real nodes."""
    for what in imitated:
        print_prose(console, f"imitated: {what}", 4)


def _print_half(console: Console, half: dict[str, Any]) -> None:
    style = "green" if half["state"] == ACTIVE else "red"
    line = Text(f"    {half['hca']:<14} {half['interface']:<16} ")
    line.append(f"{half['state']}", style)
    line.append(f" ({half['phys_state']}), {half['rate']}, MTU {half['mtu']}")
    if (half["speed"] or -1) > 0:
        line.append(f", {half['speed'] / 1000:g} Gb/s")
    if half["pcie_width"]:
        line.append(f", PCIe x{half['pcie_width']} {half['pcie_speed']}")
    print_prose(console, line, 6)
    print_prose(console, f"      addresses {', '.join(half['ipv4'] + half['ipv6']) or 'none'}", 16)


def _print_gids(console: Console, half: dict[str, Any]) -> None:
    """The GIDs of a half, marked the one that NCCL takes; of an inactive port it takes none."""
    taken = half["gid_index"] if half["state"] == ACTIVE else None  # src/transport/net_ib
    for gid in half["gids"]:
        sign = TAKEN if gid["index"] == taken else ""
        netdev = gid["netdev"] or "no netdev"
        shown = f"{gid['ipv4'] or gid['gid']} ({gid['type']}, {netdev}){sign}"
        print_prose(console, f"      GID {gid['index']}: {shown}", 8)
    if taken is not None and all(gid["index"] != taken for gid in half["gids"]):
        console.print(Text(f"      GID {taken}: empty{TAKEN}", "red"))


def _by_subnet(document: dict[str, Any]) -> list[str]:
    """One line a subnet: on a switch every half faces all the others."""
    states = {(n["name"], h["hca"]): h["state"] for n in document["nodes"] for h in n["halves"]}
    members: dict[str, dict[tuple[str, str], None]] = {}
    for link in document["links"]:
        ends = members.setdefault(link["subnet"], {})
        ends |= dict.fromkeys((end["node"], end["hca"]) for end in link["ends"])
    named = {subnet: [_end(*e, states[e]) for e in ends] for subnet, ends in members.items()}
    return [f"{subnet}: {' <-> '.join(ends)}" for subnet, ends in named.items()]


def _end(node: str, hca: str, state: str) -> str:
    return f"{node} {hca}" if state == ACTIVE else f"{node} {hca} ({state})"


def _print_selection(console: Console, selection: Selection) -> None:
    value = "is unset" if selection.value is None else f"= {selection.value}"
    version = ".".join(map(str, selection.version))
    console.print(Text(f"{selection.variable} {value} (NCCL {version})", "bold"))
    nothing = f"nothing: {NOTHING[selection.variable]}"
    print_prose(console, f"selected: {', '.join(selection.selected) or nothing}", 4)
    for verdict in selection.devices:
        sign = "+" if verdict.selected else "-"
        print_prose(console, f"  {sign} {verdict.name}: {verdict.reason}", 6)
    for warning in selection.warnings:
        print_prose(console, Text(f"warning: {warning}", "yellow"), 4)
