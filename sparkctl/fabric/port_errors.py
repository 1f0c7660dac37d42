"""Why no port of a node can be used: errors with `expected` and `got` in their data; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import PreflightError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.errors import Data
    from sparkctl.fabric.selection import FabricSpec
    from sparkctl.fabric.topology import Half
    from sparkctl.facts.groups import Interface

NO_DEVICE = "no RDMA device with a network interface"


def cage_missing(spec: FabricSpec, cage: int, found: Iterable[Half]) -> PreflightError:
    """The inventory sets a cage that the node does not have."""
    cages = sorted({half.cage for half in found})
    got = f"cages {_joined(map(str, cages))}" if cages else NO_DEVICE
    text = f"the node has no cage {cage}; it has {got}"
    data: Data = {"cage": cage, "expected": f"cage {cage}", "got": got}
    return _unknown(spec, "cage-missing", "cage", text, data)


def interface_unknown(
    spec: FabricSpec, name: str, interfaces: Iterable[str], of_device: str | None
) -> PreflightError:
    """The inventory names no interface; `of_device` is that of the RDMA device of this name."""
    got = _joined(sorted(interfaces))
    text = f"the node has no interface {name}; it has {got}"
    if of_device is not None:
        text = f"{name} is an RDMA device; its interface is {of_device or 'missing'}"
    data: Data = {"interface": name, "expected": f"interface {name}", "got": got}
    return _unknown(spec, "interface-unknown", "interfaces", text, data)


def hca_unknown(
    spec: FabricSpec, name: str, found: Iterable[Half], devices: Iterable[str]
) -> PreflightError:
    """The inventory names no RDMA device that has an interface."""
    by_interface = {half.interface: half.hca for half in found}
    got = _joined(by_interface.values()) or NO_DEVICE
    text = f"the node has no RDMA device {name}; it has {got}"
    if name in devices:
        text = f"the RDMA device {name} has no network interface"
    elif name in by_interface:
        text = f"{name} is a network interface; its RDMA device is {by_interface[name]}"
    data: Data = {"hca": name, "expected": f"RDMA device {name}", "got": got}
    return _unknown(spec, "hca-unknown", "hcas", text, data)


def address_unknown(
    spec: FabricSpec, address: str, interface: str, interfaces: Mapping[str, Interface]
) -> PreflightError:
    """The inventory gives an address that the interface does not have."""
    got = _joined(f"{own} on {name}" for name, net in interfaces.items() for own in net.ipv4)
    text = f"{interface} does not have the address {address}; the node has {got or 'no IPv4'}"
    expected = f"{address} on {interface}"
    data: Data = {"interface": interface, "address": address, "expected": expected, "got": got}
    return _unknown(spec, "address-unknown", "addresses", text, data)


def address_missing(spec: FabricSpec, interface: str, ipv4: Sequence[str]) -> PreflightError:
    """The interface has no IPv4 address, or none in the fabric's subnets."""
    where, got = _in_which(spec), _joined(ipv4)
    data: Data = {
        "interface": interface,
        "expected": f"an IPv4 address{where} on {interface}",
        "got": got or "no IPv4 address",
    }
    return PreflightError(
        f"{interface} has no IPv4 address{where}" + (f"; it has {got}" if got else ""),
        node=spec.node,
        hint=f"give it one (netplan, or `ip address add … dev {interface}`), with each half of the"
        " cable in a subnet of its own",
        code="address-missing",
        data=data,
    )


def no_usable_port(spec: FabricSpec, found: Sequence[Half]) -> PreflightError:
    """No port of any cage is ACTIVE with an IPv4 address in the fabric's subnets."""
    down = [half.interface for half in found if half.ipv4 and not half.active]
    hint = "plug in the QSFP cable and give each half an address"
    if down:
        hint = (
            f"check that the QSFP cable is plugged in at both ends, bring {_joined(down)} up"
            " (`ip link set … up`), and give each ACTIVE half an address"
        )
    got = "; ".join(map(str, found)) or NO_DEVICE
    data: Data = {
        "hcas": [half.hca for half in found],
        "down": down,
        "expected": f"an ACTIVE port with an IPv4 address{_in_which(spec)}",
        "got": got,
    }
    return PreflightError(
        f"no usable port: none is ACTIVE with an IPv4 address{_in_which(spec)}. Found: {got}",
        node=spec.node,
        hint=f"{hint}, or set this node's fabric.interfaces in the inventory",
        code="no-usable-port",
        data=data,
    )


def port_not_active(
    spec: FabricSpec, inactive: Sequence[Half], others: Sequence[Half]
) -> PreflightError:
    """The inventory selects ports that are not ACTIVE; `others` are usable, in another cage."""
    hint = (
        "check that the QSFP cable is plugged in at both ends, run `ip link set"
        f" {inactive[0].interface} up`, or remove the node's fabric values to have them derived"
    )
    if others:
        hint = (
            f"the cable is in cage {others[0].cage}, where {_joined(h.hca for h in others)} are"
            " ACTIVE with IPv4: remove the node's fabric values to have them derived, set that"
            " cage, or move the cable"
        )
    got = "; ".join(map(str, inactive))
    data: Data = {
        "hcas": [half.hca for half in inactive],
        "usable": [half.hca for half in others],
        "expected": "ACTIVE ports",
        "got": got,
    }
    return PreflightError(
        f"the inventory selects ports that are not ACTIVE: {got}",
        node=spec.node,
        hint=hint,
        code="port-not-active",
        data=data,
    )


def _unknown(spec: FabricSpec, code: str, key: str, text: str, data: Data) -> PreflightError:
    return PreflightError(
        f"fabric.{key}: {text}",
        node=spec.node,
        hint=f"correct fabric.{key} of {spec.node} in the inventory, or remove it to have it"
        " derived",
        code=code,
        data={**data, "path": f"fabric.{key}"},
    )


def _in_which(spec: FabricSpec) -> str:
    subnets = spec.subnets
    return "" if subnets is None else f" in {_joined(map(str, subnets))} (fabric.subnets)"


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)
