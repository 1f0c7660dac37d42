"""The fabric and NCCL's selection, in plain text."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import ACTIVE, Selection
from sparkctl.output.console import print_prose, wide_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

NOTHING = {
    IB_HCA: "NCCL goes on over TCP without an error",
    SOCKET_IFNAME: "NCCL ends at its start",
}


def print_picture(document: dict[str, Any]) -> None:
    """Print each node's cages and halves, then the links between the nodes, by subnet."""
    console = wide_console()
    for node in document["nodes"]:
        console.print(Text(node["name"], "bold"))
        for cage, halves in groupby(node["halves"], key=lambda h: h["cage"]):
            console.print(Text(f"  cage {cage}"))
            for half in halves:
                _print_half(console, half)
        for hca in node["without_netdev"]:
            console.print(Text(f"  {hca} has no network interface"))
        if not node["halves"] and not node["without_netdev"]:
            console.print(Text("  no RDMA device (is the cable in?)"))
    for link in _by_subnet(document):
        print_prose(console, link, 4)
    for end in document["alone"]:
        alone = f"{end['node']} {end['hca']} is in no other node's subnet"
        print_prose(console, Text(alone, "yellow"), 4)
    for name, error in document["errors"].items():
        print_prose(console, Text(f"{name}: {error.removeprefix(name + ': ')}", "red"), 4)
    print_imitated(document["imitated"])


def print_imitated(imitated: Sequence[str]) -> None:
    """Print what of a lab is imitated; nothing for real nodes."""
    console = wide_console()
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
    takes = half["state"] == ACTIVE  # NCCL skips any other port (src/transport/net_ib)
    for gid in half["gids"]:
        sign = "  <- NCCL takes it" if takes and gid["index"] == half["gid_index"] else ""
        shown = gid["ipv4"] or gid["gid"]
        netdev = gid["netdev"] or "no netdev"
        told = f"      GID {gid['index']}: {shown} ({gid['type']}, {netdev}){sign}"
        print_prose(console, told, 8)
    if takes and all(gid["index"] != half["gid_index"] for gid in half["gids"]):
        empty = f"      GID {half['gid_index']}: empty  <- NCCL takes it"
        console.print(Text(empty, "red"))


def _by_subnet(document: dict[str, Any]) -> list[str]:
    """One line a subnet: on a switch every half faces all the others."""
    states = {(n["name"], h["hca"]): h["state"] for n in document["nodes"] for h in n["halves"]}
    members: dict[str, dict[tuple[str, str], None]] = {}
    for link in document["links"]:
        ends = members.setdefault(link["subnet"], {})
        ends |= dict.fromkeys((end["node"], end["hca"]) for end in link["ends"])
    return [f"{subnet}: {' <-> '.join(_end(*e, states[e]) for e in ends)}"
            for subnet, ends in members.items()]  # fmt: skip


def _end(node: str, hca: str, state: str) -> str:
    return f"{node} {hca}" if state == ACTIVE else f"{node} {hca} ({state})"


def print_selection(selection: Selection) -> None:
    """Print what is selected, each device's reason, and what looks like a mistake."""
    console = wide_console()
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
