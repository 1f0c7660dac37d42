"""Whether the fabric's addresses survive a reboot."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.subnets import addressed
from sparkctl.doctor.finding import Evidence, Finding, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.facts.groups import NetworkFile, Persistence

TOOLS = "netplan, NetworkManager, systemd-networkd, ifupdown"
DIRECTORIES = "/etc/netplan, /etc/NetworkManager, /etc/systemd/network, /etc/network"
NETPLAN = "/etc/netplan/60-fabric.yaml"


def persistent(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A network file has each half's address: one set with ip(8) alone is lost on reboot."""
    found = known(snapshot.facts(name).persistence)
    used = _used(snapshot, name)
    networks = {interface: IPv4Interface(address).network for interface, address in used.items()}
    for interface, address in used.items():
        what = f"{address} of {interface}"
        data: Data = {"interface": interface, "address": address}
        if path := _file_with(found.files, interface, address):
            yield ok(f"{path} has {what}", data={**data, "path": path})
        elif any(networks[interface].overlaps(n) for i, n in networks.items() if i != interface):
            text = f"no network file has {what}, and none should: see fabric.subnets"
            yield info(text, code="halves-share-subnet", data=data)
        elif found.unread:
            yield _unread(snapshot, name, found, what, data)
        else:
            yield _lost_on_reboot(snapshot, name, found, interface, address)


def _used(snapshot: Snapshot, name: str) -> dict[str, str]:
    """The addresses of the choice's interfaces, and of its HCAs where sockets are elsewhere."""
    choice = snapshot.choice(name)
    used = {half.interface for half in snapshot.halves(name) if half.hca in choice.hcas}
    used |= set(choice.interfaces)
    return {i: a for i, a in addressed(snapshot, name).items() if i in used}


def _unread(snapshot: Snapshot, name: str, found: Persistence, what: str, data: Data) -> Finding:
    user, paths = snapshot.facts(name).user, ", ".join(found.unread[:3])
    grep = f"sudo grep -rn {_ip(str(data['address']))} /etc/netplan"
    return unknown(
        f"whether {what} survives a reboot is unknown: {user} may not read {paths}",
        fix=Remedy("search the files for it", (grep,)),
        data={**data, "paths": found.unread},
    )


def _lost_on_reboot(
    snapshot: Snapshot, name: str, found: Persistence, interface: str, address: str
) -> Finding:
    effect, mtu = "what listens there becomes unreachable", ""
    if interface in {half.interface for half in snapshot.halves(name)}:
        effect = "half of the cable's bandwidth with it"
        mtu = f", mtu: {snapshot.inventory.fabric.mtu}"
    return warn(
        f"no network file has {address} of {interface}: a reboot removes it, and {effect}",
        Evidence(
            f"{_ip(address)} of {interface} in a file of {TOOLS}",
            _listed(found.files),
            DIRECTORIES,
        ),
        Remedy(
            f"add it to {NETPLAN} (mode 0600): network: version: 2, ethernets: {interface}:"
            f" addresses: [{address}]{mtu}",
            (f"sudoedit {NETPLAN}", "sudo netplan apply"),
        ),
        code="lost-on-reboot",
        data={"interface": interface, "address": address},
    )


def _file_with(files: Sequence[NetworkFile], interface: str, address: str) -> str | None:
    """The file that gives the address: it names it, or has the interface find one by itself.

    A network file may name its interface by a pattern or a driver; a file that runs ip(8) has to
    name it, as an address alone may be that of another end.
    """
    by_name = [file for file in files if interface in file.interfaces]
    by_pattern = (file for file in files if not file.interfaces and not _runs(file.path))
    link_local = IPv4Interface(address).is_link_local
    named = (f.path for f in (*by_name, *by_pattern) if _ip(address) in f.addresses)
    itself = (f.path for f in by_name if (f.link_local if link_local else f.dhcp))
    return next(named, None) or next(itself, None)


def _runs(path: str) -> bool:
    """Whether a file is no network file but a service or a script."""
    return path.endswith((".service", "/rc.local")) or "/dispatcher.d/" in path


def _ip(address: str) -> str:
    return str(IPv4Interface(address).ip)


def _listed(files: Sequence[NetworkFile]) -> str:
    found = [f"{', '.join(f.addresses)} in {f.path}" for f in files if f.addresses]
    return "; ".join(found[:3]) or "none with an address"


CHECKS = (Check("fabric.persistent", "node", persistent),)
