"""sparkctl fabric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from sparkctl.cluster.session import Session
    from sparkctl.doctor.view import View
    from sparkctl.fabric.matcher import Device, Interface, Selection
    from sparkctl.fabric.version import Version

T = TypeVar("T")
STATES = {"up": True, "down": False, "active": True}


@click.group()
def fabric() -> None:
    """What the fabric is, and what NCCL takes of it."""


@fabric.command()
@inventory_option
@json_option
@click.argument("name", metavar="[NODE]", required=False)
def show(inventory: Path, as_json: bool, name: str | None) -> None:
    """Show each node's cages, their halves, and which halves of two nodes face each other."""
    from sparkctl.cli.context import emit_json, named, open_session
    from sparkctl.doctor.gather import gather
    from sparkctl.fabric.picture import picture

    with open_session(inventory, read_only=True) as session:
        nodes = named(session.inventory, name)
        view = gather(session, nodes, ())
    found = picture({n: view.facts(n) for n in view.known})
    if as_json:
        emit_json({"cluster": view.inventory.cluster, **found})
    else:
        from sparkctl.report.fabric import print_picture

        print_picture(found, view.inventory.imitated)


@fabric.command()
@inventory_option
@json_option
@click.option("--hca", metavar="VALUE", help="A value of NCCL_IB_HCA.")
@click.option("--device", "devices", multiple=True, metavar="NAME[:PORT][:STATE]",
              help="An RDMA device; STATE is up (ACTIVE, the default) or down.")  # fmt: skip
@click.option("--ifname", metavar="VALUE", help="A value of NCCL_SOCKET_IFNAME.")
@click.option("--interface", "interfaces", multiple=True, metavar="NAME[:up|down]",
              help="A network interface.")  # fmt: skip
@click.option("--node", metavar="NODE", help="Take this node's devices and planned values.")
@click.option("--nccl-version", metavar="V", help="2.30.7, the newest known, unless told.")
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

    With --node, of the inventory, the real devices are taken, and the value that `up` would set
    where none is given.
    """
    from sparkctl.cli.context import emit_json
    from sparkctl.errors import UsageError
    from sparkctl.fabric.version import NEWEST, parse_version

    version = parse_version(nccl_version) if nccl_version else None
    if hca is not None and ifname is not None:
        raise UsageError("wanted --hca or --ifname, found both", hint="ask twice")
    if node is not None:
        selection = _on_node(inventory, node, hca, ifname, version)
    elif ifname is not None or interfaces:
        selection = _select_interfaces(
            ifname, [_interface(text) for text in interfaces], version or NEWEST
        )
    elif devices:
        selection = _select_hcas(hca, [_device(text) for text in devices], (), version or NEWEST)
    else:
        raise UsageError(
            "wanted --device NAME, --interface NAME or --node NODE, found none of them",
            hint="such as: sparkctl fabric match --hca rocep1s0f0 --device rocep1s0f0",
        )
    if as_json:
        emit_json(selection.document())
    else:
        from sparkctl.report.fabric import print_selection

        print_selection(selection)


def _select_hcas(
    value: str | None, devices: list[Device], netdevs: tuple[str, ...], version: Version
) -> Selection:
    from dataclasses import replace

    from sparkctl.fabric.matcher import select_hcas
    from sparkctl.fabric.suspects import suspects

    found = select_hcas(value, devices, version)
    hints = suspects(value or "", [d.name for d in devices], netdevs, version)
    return replace(found, warnings=(*found.warnings, *hints))


def _select_interfaces(
    value: str | None, interfaces: list[Interface], version: Version
) -> Selection:
    from dataclasses import replace

    from sparkctl.fabric.matcher import select_interfaces
    from sparkctl.fabric.suspects import suspects

    found = select_interfaces(value, interfaces, version)
    hints = suspects(value or "", [i.name for i in interfaces], (), version)
    return replace(found, warnings=(*found.warnings, *hints))


def _on_node(
    inventory: Path, name: str, hca: str | None, ifname: str | None, version: Version | None
) -> Selection:
    """On a node's real devices, with the version of its own NCCL unless another is wanted."""
    from sparkctl.cli.context import named, open_session
    from sparkctl.doctor.checks import selection
    from sparkctl.doctor.gather import gather

    with open_session(inventory, read_only=True, partial=True) as session:
        view = gather(session, named(session.inventory, name), ())
        _reached(session, view, name)
    version = version or selection.nccl_version(view, name)
    if ifname is not None:
        return _select_interfaces(ifname, selection.links(view, name), version)
    value = view.environment(name).get("NCCL_IB_HCA") if hca is None else hca
    netdevs = tuple(view.group(name, "net"))
    return _select_hcas(value, selection.devices(view, name), netdevs, version)


def _reached(session: Session, view: View, name: str) -> None:
    from sparkctl.errors import RemoteError

    error = session.pool.errors.get(name) or view.errors.get(name)
    if error is not None:
        raise error
    if (problem := view.choice_error(name)) is not None:
        raise RemoteError(problem.message, hint=problem.hint, node=name)


def _device(text: str) -> Device:
    from sparkctl.fabric.matcher import Device

    name, _, rest = text.partition(":")
    words = rest.split(":") if rest else []
    port = int(words.pop(0)) if words and words[0].isdecimal() else 1
    return Device(name, port, active=_state(text, words))


def _interface(text: str) -> Interface:
    from sparkctl.fabric.matcher import Interface

    name, _, rest = text.partition(":")
    return Interface(name, up=_state(text, [rest] if rest else []))


def _state(text: str, words: list[str]) -> bool:
    from sparkctl.errors import UsageError

    if len(words) > 1 or (words and words[0].lower() not in STATES) or text.startswith(":"):
        raise UsageError(
            f"wanted NAME, NAME:PORT or NAME:up|down, found {text!r}",
            hint="such as rocep1s0f0:1:down or enp1s0f0np0:up",
        )
    return STATES[words[0].lower()] if words else True
