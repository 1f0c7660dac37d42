"""The fabric and NCCL's selection, in plain text."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import ACTIVE
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.imitated import imitated_line
from sparkctl.output.stdio import print_names
from sparkctl.output.table import KEPT, Column, filled, print_table
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from sparkctl.errors import SparkctlError
    from sparkctl.fabric.diagram import Diagram, Port
    from sparkctl.fabric.hca import Selection

NOTHING = {
    IB_HCA: "NCCL silently falls back to TCP",
    SOCKET_IFNAME: "NCCL fails to start",
}
TAKEN = "  <- NCCL takes it"


def print_diagram(
    diagram: Diagram,
    errors: Mapping[str, SparkctlError],
    imitated: Sequence[str],
    *,
    wide: bool = False,
) -> None:
    """Print each node's cages and halves, the links by subnet, and why a node was not read.

    With `wide` the halves are one table, without their GIDs but for the one that NCCL takes.
    """
    console = wide_console()
    if wide:
        print_table(console, _columns(diagram), wide=True)
    for node in () if wide else diagram.nodes:
        console.print(Text(node.name, "bold"))
        for cage, ports in groupby(node.ports, key=lambda port: port.half.cage):
            console.print(Text(f"  cage {cage}"))
            for port in ports:
                _print_port(console, port)
        for hca in node.without_netdev:
            console.print(Text(f"  {hca} has no network interface"))
        if not node.ports and not node.without_netdev:
            console.print(Text("  no RDMA device (is the cable in?)"))
    for line in _by_subnet(diagram):
        print_prose(console, line, 4)
    for name, half in diagram.alone:
        alone = f"{name} {half.hca} shares its subnet with no other node"
        print_prose(console, Text(alone, "yellow"), 4)
    for name, error in errors.items():
        print_prose(console, Text(f"{name}: {error.message}", "red"), 4)
    _print_imitated(console, imitated)


def print_hcas(diagram: Diagram) -> None:
    """Print the RDMA devices that have an interface, as `fabric match --device` takes them."""
    print_names(port.half.hca for node in diagram.nodes for port in node.ports)


def _columns(diagram: Diagram) -> list[Column]:
    found = [(node.name, port) for node in diagram.nodes for port in node.ports]
    ports = [port for _, port in found]
    return [
        Column("NODE", [name for name, _ in found], KEPT),
        Column("CAGE", [str(p.half.cage) for p in ports], 1),
        Column("HCA", [p.half.hca for p in ports], KEPT),
        Column("INTERFACE", [p.half.interface for p in ports], 6),
        Column("STATE", filled(p.port.state for p in ports), 7, styles={ACTIVE: "green"}),
        Column("MTU", filled(p.half.mtu for p in ports), 5),
        Column("RATE", filled(p.port.rate for p in ports), 3),
        Column("PCIE", filled(_pcie(p) for p in ports), 2),
        Column("GID", [str(p.gid_index) for p in ports], 4),
        Column(
            "ADDRESSES",
            [" ".join((*p.half.ipv4, *p.net.ipv6)) or "-" for p in ports],
            KEPT,
            prose=True,
        ),
    ]


def _pcie(port: Port) -> str | None:
    pcie = port.pcie
    return f"x{pcie.pcie_width} {pcie.pcie_speed}" if pcie.pcie_width else None


def print_selections(selections: Sequence[Selection], imitated: Sequence[str]) -> None:
    """Print what is selected, each device's reason, and likely mistakes."""
    console = wide_console()
    for selection in selections:
        _print_selection(console, selection)
    _print_imitated(console, imitated)


def _print_imitated(console: Console, imitated: Sequence[str]) -> None:
    """What of a lab is imitated; nothing for real nodes."""
    if imitated:
        print_prose(console, imitated_line(imitated), 4)


def _print_port(console: Console, found: Port) -> None:
    half, port, speed = found.half, found.port, found.net.speed or -1
    line = Text(f"    {half.hca:<14} {half.interface:<16} ")
    line.append(f"{port.state}", "green" if port.state == ACTIVE else "red")
    line.append(f" ({port.phys_state}), {port.rate}, MTU {half.mtu}")
    if speed > 0:
        line.append(f", {speed / 1000:g} Gb/s")
    if shown := _pcie(found):
        line.append(f", PCIe {shown}")
    print_prose(console, line, 6)
    addresses = ", ".join((*half.ipv4, *found.net.ipv6)) or "none"
    print_prose(console, f"      addresses {addresses}", 16)
    _print_gids(console, found)


def _print_gids(console: Console, found: Port) -> None:
    selects = found.port.state == ACTIVE  # NCCL skips any other port (src/transport/net_ib)
    for gid in found.gids:
        sign = TAKEN if selects and gid.index == found.gid_index else ""
        shown = f"{gid.ipv4 or gid.gid} ({gid.kind}, {gid.ndev or 'no netdev'})"
        print_prose(console, f"      GID {gid.index}: {shown}{sign}", 8)
    if selects and all(gid.index != found.gid_index for gid in found.gids):
        console.print(Text(f"      GID {found.gid_index}: empty{TAKEN}", "red"))


def _by_subnet(diagram: Diagram) -> list[str]:
    """One line a subnet: on a switch every half faces all the others."""
    states = {(n.name, p.half.hca): p.port.state for n in diagram.nodes for p in n.ports}
    members: dict[str, dict[tuple[str, str], None]] = {}
    for link in diagram.links:
        ends = members.setdefault(link.subnet, {})
        ends |= dict.fromkeys((node, half.hca) for node, half in link.ends)
    shown = {s: [_end(*end, states[end]) for end in ends] for s, ends in members.items()}
    return [f"{subnet}: {' <-> '.join(ends)}" for subnet, ends in shown.items()]


def _end(node: str, hca: str, state: str | None) -> str:
    return f"{node} {hca}" if state == ACTIVE else f"{node} {hca} ({state})"


def _print_selection(console: Console, selection: Selection) -> None:
    value = "is unset" if selection.value is None else f"= {quoted(selection.value)}"
    version = ".".join(map(str, selection.version))
    console.print(Text(f"{selection.variable} {value} (NCCL {version})", "bold"))
    nothing = f"nothing: {NOTHING[selection.variable]}"
    print_prose(console, f"selected: {', '.join(selection.selected) or nothing}", 4)
    for verdict in selection.devices:
        sign = "+" if verdict.selected else "-"
        print_prose(console, f"  {sign} {verdict.name}: {verdict.reason}", 6)
    for warning in selection.warnings:
        print_prose(console, Text(f"warning: {warning}", "yellow"), 4)
