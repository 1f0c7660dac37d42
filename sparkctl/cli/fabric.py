"""sparkctl fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.hca import Device, Selection
    from sparkctl.fabric.ifname import Interface
    from sparkctl.fabric.version import Version

STATES = {"up": "ACTIVE", "active": "ACTIVE", "down": "DOWN", "init": "INIT", "armed": "ARMED"}


@click.group()
def fabric() -> None:
    """What the fabric is, and what NCCL takes of it."""


@fabric.command()
@inventory_option
@json_option
@click.argument("name", metavar="[NODE]", required=False)
def show(inventory: Path, as_json: bool, name: str | None) -> None:
    """Show each node's cages, their halves, and which halves of two nodes face each other.

    Exits 1 when a node could not be read.
    """
    from sparkctl.cli.context import emit_json, named, open_session
    from sparkctl.doctor.checks.gid import pinned_index
    from sparkctl.doctor.collect import gather
    from sparkctl.fabric.diagram import draw

    with open_session(inventory, read_only=True, partial=True) as session:
        view = gather(session, named(session.inventory, name), (), passive=True)
    errors = {n: text for n in view.names if (text := _unread(view, n))}
    readable = [n for n in view.names if n not in errors]
    pinned = {n: pinned_index(view, n) for n in readable if view.choice_error(n) is None}
    diagram = draw({n: view.facts(n) for n in readable}, pinned)
    imitated = list(view.inventory.imitated)
    if as_json:
        cluster = {"cluster": view.inventory.cluster, "imitated": imitated}
        emit_json({**cluster, **diagram.document(), "errors": errors})
    else:
        from sparkctl.output.fabric import print_diagram

        print_diagram(diagram, errors, imitated)
    if errors:
        raise click.exceptions.Exit(1)


@fabric.command()
@inventory_option
@json_option
@click.option("--hca", metavar="VALUE", help="A value of NCCL_IB_HCA.")
@click.option("--device", "devices", multiple=True, metavar="NAME[:PORT][:STATE]",
              help="An RDMA device; STATE is up (ACTIVE, the default) or down.")  # fmt: skip
@click.option("--ifname", metavar="VALUE", help="A value of NCCL_SOCKET_IFNAME.")
@click.option("--interface", "interfaces", multiple=True, metavar="NAME[:up|down]",
              help="A network interface that has an address.")  # fmt: skip
@click.option("--node", metavar="NODE", help="Take this node's devices and interfaces.")
@click.option("--nccl-version", metavar="V",
              help="The node's own NCCL unless told; without --node 2.30.7.")  # fmt: skip
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
    """Tell what NCCL selects by a value, and why not the rest.

    Without --hca or --ifname the variable is unset; with --node it is what `up` would set: both
    are told then, with --json NCCL_IB_HCA alone.
    """
    from sparkctl.cli.context import emit_json
    from sparkctl.fabric.hca import select_hcas
    from sparkctl.fabric.ifname import select_interfaces
    from sparkctl.fabric.version import NEWEST, parse_version
    from sparkctl.output.fabric import print_imitated, print_selection

    version = parse_version(nccl_version) if nccl_version is not None else None
    _check_question(hca, devices, ifname, interfaces, node)
    imitated: list[str] = []
    if node is not None:
        found, imitated = _on_node(inventory, node, hca, ifname, version)
    elif interfaces:
        links = [_interface(text) for text in interfaces]
        found = [select_interfaces(ifname, links, version or NEWEST)]
    else:
        found = [select_hcas(hca, [_device(text) for text in devices], version or NEWEST)]
    if as_json:
        emit_json(found[0].document())
        return
    for selection in found:
        print_selection(selection)
    print_imitated(imitated)


def _check_question(
    hca: str | None,
    devices: tuple[str, ...],
    ifname: str | None,
    interfaces: tuple[str, ...],
    node: str | None,
) -> None:
    """One variable at a time, among devices that are named or a node's, but not both."""
    from sparkctl.errors import UsageError

    if (hca is not None or devices) and (ifname is not None or interfaces):
        raise UsageError(
            "wanted --hca and --device, or --ifname and --interface, found both",
            hint="ask for one variable at a time",
        )
    listed = "--device" if devices else "--interface" if interfaces else None
    if node is not None and listed:
        raise UsageError(
            f"wanted --node or {listed}, found both",
            hint=f"leave {listed} out: --node takes what the node really has",
        )
    if node is None and not listed:
        wanted = "--interface NAME" if ifname is not None else "--device NAME"
        raise UsageError(
            f"wanted {wanted} or --node NODE, found neither",
            hint="such as: sparkctl fabric match --hca rocep1s0f0 --device rocep1s0f0",
        )


def _on_node(
    inventory: Path, name: str, hca: str | None, ifname: str | None, version: Version | None
) -> tuple[list[Selection], list[str]]:
    """On a node's real devices; by the values that `up` would set where none is given."""
    from sparkctl.cli.context import named, open_session
    from sparkctl.doctor.checks import selection
    from sparkctl.doctor.collect import gather
    from sparkctl.errors import RemoteError
    from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME

    with open_session(inventory, read_only=True, partial=True) as session:
        view = gather(session, named(session.inventory, name), (), passive=True)
    if text := _unread(view, name):
        raise view.errors.get(name) or RemoteError(text, node=name)
    version = version or view.nccl_version(name)
    given = {k: v for k, v in ((IB_HCA, hca), (SOCKET_IFNAME, ifname)) if v is not None}
    error = view.choice_error(name)
    if error is not None and not given:
        raise error
    # NCCL_SOCKET_FAMILY and NCCL_COMM_ID of that environment bear on an --ifname too.
    planned = view.effective(name) if error is None and hca is None else {}
    values = {**planned, **given}
    found = []
    if ifname is None:
        found.append(selection.hca_selection(view, name, values, version))
    if hca is None:
        found.append(selection.interface_selection(view, name, values, version))
    return found, list(view.inventory.imitated)


def _unread(view: View, name: str) -> str | None:
    """Why a node's fabric could not be read; None when it was."""
    from sparkctl.facts.unread import Missing

    try:
        view.halves(name)
    except Missing as error:
        return str(view.errors.get(name, error))
    return None


def _device(text: str) -> Device:
    from sparkctl.fabric.hca import Device

    name, *words = text.split(":")
    numbered = words and words[0].isascii() and words[0].isdecimal() and len(words[0]) < 4
    port = int(words.pop(0)) if numbered else 1
    return Device(name, port, _state(text, name, words))


def _interface(text: str) -> Interface:
    from sparkctl.fabric.ifname import Interface

    name, *words = text.split(":")
    state = _state(text, name, words)
    return Interface(name, up=state == "ACTIVE")


def _state(text: str, name: str, words: list[str]) -> str:
    from sparkctl.errors import UsageError

    if not name or len(words) > 1 or (words and words[0].lower() not in STATES):
        raise UsageError(
            f"wanted NAME, NAME:PORT or NAME:up|down, found {text!r}",
            hint="such as rocep1s0f0:1:down or enp1s0f0np0:up",
        )
    return STATES[words[0].lower()] if words else "ACTIVE"
