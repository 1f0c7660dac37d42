"""Whether the fabric's addresses survive a reboot."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.cabling import wiring
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
# Other files than these are scripts and units.
CONFIGURES = (
    "/etc/netplan/",
    "/usr/lib/netplan/",
    "/etc/NetworkManager/system-connections/",
    "/run/NetworkManager/",
    "/etc/systemd/network/",
    "/run/systemd/network/",
    "/etc/network/interfaces",
    "/etc/sysconfig/",
)
CLOUD_INIT = "/etc/cloud/"
DIRECTORIES = "/etc/netplan, /etc/NetworkManager, /etc/systemd/network, /etc/network"
NETPLAN = "/etc/netplan/60-fabric.yaml"


def persistent(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A network file has each half's address: one set with ip(8) by hand is lost on reboot."""
    found = known(snapshot.facts(name).persistence)
    used = _used(snapshot, name)
    networks = {interface: IPv4Interface(address).network for interface, address in used.items()}
    for interface, address in used.items():
        what = f"{address} of {interface}"
        data: Data = {"interface": interface, "address": address}
        path = _file_with(found.files, interface, address)
        if IPv4Interface(address).is_link_local:
            yield _link_local(path, what, data)
        elif path:
            yield ok(f"{path} has {what}", data={**data, "path": path})
        elif any(networks[interface].overlaps(n) for i, n in networks.items() if i != interface):
            text = f"no network file has {what}, and none should: see fabric.subnets"
            yield info(text, code="halves-share-subnet", data=data)
        elif _faces_nobody(snapshot, name, interface):
            text = (
                f"no network file has {what}, which is in no subnet of a peer: see fabric.pairing"
            )
            yield info(text, code="half-without-peer", data=data)
        elif found.unread:
            yield _unread(snapshot, name, found, what, data)
        elif scripts := _scripts(found.files, interface, address):
            text = f"no network file has {what}, but {', '.join(scripts[:3])} may set it at boot"
            yield unknown(text, code="set-by-script", data={**data, "paths": scripts})
        else:
            yield _lost_on_reboot(snapshot, name, found, interface, address)


def _used(snapshot: Snapshot, name: str) -> dict[str, str]:
    """The addresses of the choice's interfaces, and of its HCAs where sockets are elsewhere."""
    choice = snapshot.choice(name)
    used = {half.interface for half in snapshot.halves(name) if half.hca in choice.hcas}
    used |= set(choice.interfaces)
    return {i: a for i, a in addressed(snapshot, name).items() if i in used}


def _faces_nobody(snapshot: Snapshot, name: str, interface: str) -> bool:
    """Whether a half is in no other node's subnet, as far as all nodes are known: an address that
    may be wrong is none to keep.
    """
    found = wiring(snapshot)
    halves = [half for half in found.halves(name) if half.interface == interface]
    several = found.complete and len(found.used) > 1
    return several and bool(halves) and not any(found.faced(name, half) for half in halves)


def _link_local(path: str | None, what: str, data: Data) -> Finding:
    text = f"{what} is link-local and not meant to stay: see fabric.addresses"
    if path:
        text += f"; {path} has the node choose it"
    return info(text, code="link-local", data={**data, "path": path})


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
        f"no file of {TOOLS} has {address} of {interface}: unless another tool sets it, a reboot"
        f" removes it, and {effect}",
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
    """The file that gives the address: it names it, or has the interface find one.

    A network file may name its interface by a pattern or a driver; a script has to name it, as an
    address alone may be that of another end, and to run a program that sets addresses.
    """
    setting = [f for f in files if _configures(f.path) or _may_set(f)]
    by_name = [file for file in setting if interface in file.interfaces]
    by_pattern = (file for file in setting if not file.interfaces and _configures(file.path))
    link_local = IPv4Interface(address).is_link_local
    named = (f.path for f in (*by_name, *by_pattern) if _ip(address) in f.addresses)
    itself = (f.path for f in by_name if (f.link_local if link_local else f.dhcp))
    return next(named, None) or next(itself, None)


def _scripts(files: Sequence[NetworkFile], interface: str, address: str) -> list[str]:
    """The scripts that may set the address: of this interface or of none that they name, and
    cloud-init's settings with the address, which it may write to a network file at boot.
    """
    scripts = (f for f in files if not _configures(f.path))
    return [
        f.path
        for f in scripts
        if (not f.interfaces or interface in f.interfaces)
        and (_ip(address) in f.addresses if f.path.startswith(CLOUD_INIT) else f.sets)
    ]


def _configures(path: str) -> bool:
    """Whether a file is a network file, and no unit or script."""
    return path.startswith(CONFIGURES)


def _may_set(file: NetworkFile) -> bool:
    return file.sets is not False and not file.path.startswith(CLOUD_INIT)


def _ip(address: str) -> str:
    return str(IPv4Interface(address).ip)


def _listed(files: Sequence[NetworkFile]) -> str:
    found = [f"{', '.join(f.addresses)} in {f.path}" for f in files if f.addresses]
    return "; ".join(found[:3]) or "none with an address"


CHECKS = (Check("fabric.persistent", "node", persistent),)
