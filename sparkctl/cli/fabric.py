"""sparkctl fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.groups import Group
from sparkctl.cli.options import form_option, inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.output.stdio import Form


@click.group(cls=Group)
def fabric() -> None:
    """Show the fabric, and which devices NCCL selects.

    A cage is a QSFP port of a Spark; each of its two halves is a PCIe function with a network
    interface and an RDMA device (HCA).

    \b
    Examples:
      # Draw the cages and links of all nodes
      sparkctl fabric show
      # Which devices NCCL selects on a node
      sparkctl fabric match --node spark-1
    """


@fabric.command()
@inventory_option
@form_option
@click.argument("name", metavar="[NODE]", required=False)
def show(inventory: Path, form: Form, name: str | None) -> None:
    """Show each node's cages, their halves, and which halves of two nodes face each other.

    -o wide prints one table of all halves, -o name the HCAs, each once, as `fabric match --device`
    takes them. Exits 1 when a node's fabric could not be read.

    \b
    Examples:
      # All nodes
      sparkctl fabric show
      # One node
      sparkctl fabric show spark-2
      # All halves in one table
      sparkctl fabric show -o wide
    """
    from sparkctl.doctor.fabric import diagram, unread

    snapshot = _collect(inventory, name)
    drawn, errors = diagram(snapshot), unread(snapshot)
    if form == "json":
        from sparkctl.output.documents import of_fabric
        from sparkctl.output.stdio import print_json

        print_json(of_fabric(snapshot.inventory, drawn, errors))
    elif form == "name":
        from sparkctl.output.fabric import print_hcas

        print_hcas(drawn)
    else:
        from sparkctl.output.fabric import print_diagram

        print_diagram(drawn, errors, snapshot.inventory.imitated, wide=form == "wide")
    if errors:
        raise click.exceptions.Exit(1)


@fabric.command()
@inventory_option
@json_option
@click.option("--hca", metavar="VALUE", help="Apply this value of NCCL_IB_HCA.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME[:PORT][:STATE]",
    help="Offer this RDMA device; STATE is up (ACTIVE, the default) or down.",
)
@click.option("--ifname", metavar="VALUE", help="Apply this value of NCCL_SOCKET_IFNAME.")
@click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME[:up|down]",
    help="Offer this network interface, as one that has an address.",
)
@click.option("--node", metavar="NODE", help="Offer this node's devices and interfaces.")
@click.option(
    "--nccl-version",
    metavar="V",
    help="Apply this version's rules (default: the node's own, without --node 2.30.7).",
)
def match(
    *,
    inventory: Path,
    as_json: bool,
    hca: str | None,
    devices: tuple[str, ...],
    ifname: str | None,
    interfaces: tuple[str, ...],
    node: str | None,
    nccl_version: str | None,
) -> None:
    """Show which devices NCCL selects for a value, and why others are skipped.

    Without --hca or --ifname the variable is unset; with --node it has the value that `up` would
    set: then both variables are shown, with --json NCCL_IB_HCA alone.

    \b
    Examples:
      # A node's devices, under what up sets
      sparkctl fabric match --node spark-1
      # The same devices, under another value
      sparkctl fabric match --node spark-1 --hca mlx5_0:1
      # Without a node: would this value match?
      sparkctl fabric match --hca rocep --device rocep1s0f0
    """
    from sparkctl.cli import fabricvalues
    from sparkctl.fabric.hca import select_hcas
    from sparkctl.fabric.ifname import select_interfaces
    from sparkctl.fabric.version import NEWEST, parse_version
    from sparkctl.output.stdio import print_json

    version = parse_version(nccl_version) if nccl_version is not None else None
    fabricvalues.check_question(
        hca=hca is not None,
        devices=bool(devices),
        ifname=ifname is not None,
        interfaces=bool(interfaces),
        node=node is not None,
    )
    imitated: list[str] = []
    if node is not None:
        from sparkctl.doctor.fabric import selections

        snapshot = _collect(inventory, node)
        imitated = snapshot.inventory.imitated
        found = selections(snapshot, node, hca, ifname, version)
    elif interfaces:
        offered = [fabricvalues.interface(text) for text in interfaces]
        found = [select_interfaces(ifname, offered, version or NEWEST)]
    else:
        ports = [fabricvalues.device(text) for text in devices]
        found = [select_hcas(hca, ports, version or NEWEST)]
    if as_json:
        print_json(found[0].document())
    else:
        from sparkctl.output.fabric import print_selections

        print_selections(found, imitated)


def _collect(inventory: Path, name: str | None) -> Snapshot:
    """The facts of this node, or of all when none is named; sends no ping."""
    from sparkctl.cli.context import named, open_session
    from sparkctl.doctor.collect import collect

    with open_session(inventory, read_only=True, partial=True) as session:
        return collect(session, named(session.inventory, name), (), passive=True)
