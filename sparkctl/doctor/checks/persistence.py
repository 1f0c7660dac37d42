"""Whether the fabric's addresses outlive a reboot."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.subnets import addressed
from sparkctl.doctor.finding import Evidence, Finding, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View

PLACES = "netplan, NetworkManager, systemd-networkd, ifupdown"
NETPLAN = "/etc/netplan/60-fabric.yaml"


def persistent(view: View, name: str) -> Iterator[Finding]:
    """Each half's address stands in a network file: one set with ip(8) is gone after a reboot."""
    found, user = known(view.facts(name).persistence), view.facts(name).user
    halves = {half.interface for half in view.halves(name)}
    used = _used(view, name)
    for interface, address in used.items():
        network = IPv4Interface(address).network
        others = (IPv4Interface(a).network for i, a in used.items() if i != interface)
        if path := _keeper(found.files, interface, address):
            yield ok(f"{address} of {interface} is kept by {path}")
            continue
        what = f"{address} of {interface}"
        if any(network.overlaps(other) for other in others):
            yield info(f"{what} is in no network file, and should not be: see fabric.subnets")
            continue
        if found.unread:
            yield unknown(
                f"whether {what} outlives a reboot: {user} may not read"
                f" {', '.join(found.unread[:3])}",
                fix=Remedy("look yourself", (f"sudo grep -rn {_ip(address)} /etc/netplan",)),
            )
            continue
        effect, mtu = "what listens there is not found", ""
        if interface in halves:
            effect = "half of the cable's bandwidth with it"
            mtu = f", mtu: {view.inventory.fabric.mtu}"
        yield warn(
            f"{what} is in no network file: it is gone after a reboot, and {effect}",
            Evidence(f"{_ip(address)} of {interface} in a file of {PLACES}",
                     _listed(found.files),
                     "/etc/netplan, /etc/NetworkManager, /etc/systemd/network, /etc/network"),
            Remedy(
                f"give it to netplan: in {NETPLAN} (mode 0600), network: version: 2, ethernets:"
                f" {interface}: addresses: [{address}]{mtu}",
                (f"sudoedit {NETPLAN}", "sudo netplan apply"),
            ),
        )  # fmt: skip


def _used(view: View, name: str) -> dict[str, str]:
    """The interfaces of the choice and of its HCAs, with their addresses."""
    choice = view.choice(name)
    halves = {half.interface for half in view.halves(name) if half.hca in choice.hcas}
    wanted = halves | set(choice.interfaces)
    return {i: a for i, a in addressed(view, name).items() if i in wanted}


def _keeper(files: list[dict[str, Any]], interface: str, address: str) -> str | None:
    """The file that gives the address: it names it, or has the interface find one by itself.

    A network file may name its interface by a pattern or a driver; what runs ip(8) may not, and an
    address alone is there for another end.
    """
    fitting = (f for f in files if interface in f.interfaces
               or not (f.interfaces or _runs(f.path)))  # fmt: skip
    named = (f.path for f in fitting if _ip(address) in f.addresses)
    way = "link_local" if IPv4Interface(address).is_link_local else "dhcp"
    by_itself = (f.path for f in files if f[way] and interface in f.interfaces)
    return next(named, None) or next(by_itself, None)


def _runs(path: str) -> bool:
    """Whether a file is no network file but a service or a script."""
    return path.endswith((".service", "/rc.local")) or "/dispatcher.d/" in path


def _ip(address: str) -> str:
    return str(IPv4Interface(address).ip)


def _listed(files: list[dict[str, Any]]) -> str:
    found = [f"{', '.join(f.addresses)} in {f.path}" for f in files if f.addresses]
    return "; ".join(found[:3]) or "none that names an address"


CHECKS = (Check("fabric.persistent", "node", persistent),)
