"""The fabric and NCCL's selection, in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from sparkctl.fabric.matcher import Selection
from sparkctl.report.console import wide_console


def print_picture(found: dict[str, Any], imitated: Sequence[str]) -> None:
    """Print each node's cages and halves, then the links between the nodes."""
    console = wide_console()
    for node in found["nodes"]:
        console.print(Text(node["name"], "bold"))
        if not node["halves"]:
            console.print("  no RDMA device with a network interface")
        for cage, halves in groupby(node["halves"], key=lambda h: h["cage"]):
            console.print(f"  cage {cage}")
            for half in halves:
                _print_half(console, half)
    for link in found["links"]:
        one, two = (f"{end['node']} {end['hca']}" for end in link["ends"])
        state = "" if link["active"] else "  (not ACTIVE at both ends)"
        console.print(f"{one} <-> {two}  {link['subnet']}{state}")
    for what in imitated:
        console.print(Text(f"imitated: {what}"))


def _print_half(console: Console, half: dict[str, Any]) -> None:
    style = "green" if half["state"] == "ACTIVE" else "red"
    line = Text(f"    {half['hca']:<14} {half['interface']:<16} ")
    line.append(f"{half['state']}", style)
    line.append(f" ({half['phys_state']}), {half['rate']}, MTU {half['mtu']}")
    if half["pcie_width"]:
        line.append(f", PCIe x{half['pcie_width']} {half['pcie_speed']}")
    console.print(line)
    addresses = ", ".join(half["ipv4"]) or "no IPv4"
    gid = next((g for g in half["gids"] if g["index"] == half["gid_index"]), None)
    taken = f"GID {gid['index']} ({gid['type']}, {gid['ipv4'] or gid['gid']})" if gid else "no GID"
    console.print(Text(f"      {addresses}; NCCL takes {taken} of {len(half['gids'])}"))


def print_selection(selection: Selection) -> None:
    """Print what is selected, each device's reason, and what looks like a mistake."""
    console = wide_console()
    console.print(Text(f"selected: {', '.join(selection.selected) or 'nothing'}", "bold"))
    for verdict in selection.devices:
        sign = "+" if verdict.selected else "-"
        console.print(Text(f"  {sign} {verdict.name}: {verdict.reason}"))
    for warning in selection.warnings:
        console.print(Text(f"warning: {warning}", "yellow"))
