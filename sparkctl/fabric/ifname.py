"""What NCCL selects by NCCL_SOCKET_IFNAME, or without it, and why not the others; pure.

NCCL's matcher (src/misc/utils.cc), ncclFindInterfaces, findInterfaces and
ncclFindInterfaceMatchSubnet (src/misc/socket.cc).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address, ip_interface
from typing import TYPE_CHECKING

from sparkctl.fabric.grammar import ANY, LIMITS, SOCKET_IFNAME, parse
from sparkctl.fabric.hca import Selection, Verdict, judge
from sparkctl.fabric.lint import suspects
from sparkctl.fabric.version import NEWEST, RUNNING_ONLY, VIRBR_LAST, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MOST = LIMITS[SOCKET_IFNAME]
SOCKET_FAMILY = "NCCL_SOCKET_FAMILY"
FAMILIES = {"AF_INET": 4, "AF_INET6": 6}  # any other value forces none
LOOPBACK = IPv6Address("::1")
COMM_ID = re.compile(r"\[(?P<ipv6>[^\]]+)\]:\d+|(?P<ipv4>[^:]+):\d+")


@dataclass(frozen=True)
class Interface:
    """A network interface.

    `up`: administratively, and with carrier; `addressed`: it has an IPv4 or IPv6 address;
    `addresses`: each with its prefix length, where they are known.
    """

    name: str
    up: bool = True
    addressed: bool = True
    addresses: tuple[str, ...] = ()


def select_interfaces(
    value: str | None,
    interfaces: Sequence[Interface],
    version: Version = NEWEST,
    *,
    family: str | None = None,
    comm_id: str | None = None,
    hcas: Collection[str] = (),
) -> Selection:
    """What NCCL_SOCKET_IFNAME selects among `interfaces`, which are in the kernel's order.

    Those with an address count, other than ::1, and of `family` (NCCL_SOCKET_FAMILY) where it is
    AF_INET or AF_INET6. The bootstrap takes the first alone, the socket transport up to 16. Unset,
    the first of these that finds any: names that begin with `ib`; the one in the subnet of
    `comm_id` (NCCL_COMM_ID, address:port); all but docker and lo (and from 2.28.3 virbr); docker;
    lo; virbr. A value of one character is ignored, as unset. `hcas`, the node's RDMA devices,
    sharpen the warnings.
    """
    met = _in_order(interfaces, family)
    refused = {i.name: why for i in met if (why := _unusable(i, version, family)) is not None}
    usable = [i.name for i in met if i.name not in refused]
    if value is None or len(value) < 2:
        judged = _unset(usable, _in_subnet(interfaces, comm_id), version, comm_id)
    else:
        wanted = parse(value, MOST, version)
        judged = {name: judge(wanted, name, ANY) for name in usable}  # a port does nothing here
    verdicts = [judged.get(i.name) or Verdict(i.name, False, refused[i.name]) for i in met]
    names = [i.name for i in interfaces]
    warnings = suspects(SOCKET_IFNAME, value or "", names, hcas, version)
    return Selection(SOCKET_IFNAME, version, value, tuple(_counted(verdicts)), tuple(warnings))


def _in_order(interfaces: Sequence[Interface], family: str | None) -> list[Interface]:
    """As NCCL meets them: getifaddrs(3) gives every IPv4 address before the first IPv6 one."""
    if family == "AF_INET6":
        return list(interfaces)
    return sorted(interfaces, key=lambda i: not any("." in a for a in i.addresses))


def _unusable(interface: Interface, version: Version, family: str | None) -> str | None:
    """Why NCCL passes it over, whatever its name; None when it does not."""
    own = [ip_interface(a) for a in interface.addresses]
    counting = [
        a for a in own if a.ip != LOOPBACK and a.version == FAMILIES.get(family or "", a.version)
    ]
    if not interface.addressed or (own and not counting):
        forced = f" of {SOCKET_FAMILY}={family}" if family in FAMILIES else ""
        skipped = "; ::1 does not count" if any(a.ip == LOOPBACK for a in own) else ""
        return f"it has no address{forced}{skipped}"
    if not interface.up and version >= RUNNING_ONLY:
        return f"it is down: from 2.28.3 it must be running (this is {'.'.join(map(str, version))})"
    return None


def _counted(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """The first of several is told as the bootstrap's, those over the limit are taken out."""
    several = sum(v.selected for v in verdicts) > 1
    taken = 0
    for verdict in verdicts:
        taken += verdict.selected
        if verdict.selected and taken > MOST:
            reason = f"beyond the first {MOST} that are selected, NCCL takes no more"
            yield Verdict(verdict.name, False, reason)
        elif verdict.selected and taken == 1 and several:
            yield replace(
                verdict, reason=f"{verdict.reason}; the first: the bootstrap takes it alone"
            )
        else:
            yield verdict


def _unset(
    names: Sequence[str], near: Sequence[str], version: Version, comm_id: str | None
) -> dict[str, Verdict]:
    hidden = ("docker", "lo", *(("virbr",) if version >= VIRBR_LAST else ()))
    for taken, reason in (
        (_beginning(names, "ib"), "unset, names that begin with ib come first"),
        (near, f"unset, it is in the subnet of NCCL_COMM_ID={comm_id}"),
        ([n for n in names if not n.startswith(hidden)], f"unset, all but {', '.join(hidden)}"),
        (_beginning(names, "docker"), "unset, nothing but docker is left"),
        (_beginning(names, "lo"), "unset, nothing but lo is left"),
        (_beginning(names, "virbr"), "unset, nothing but virbr is left"),
    ):
        if taken:
            other = f"not among those that are taken when unset: {', '.join(taken)}"
            every = dict.fromkeys((*names, *taken))
            return {n: Verdict(n, n in taken, reason if n in taken else other) for n in every}
    return {}


def _beginning(names: Sequence[str], prefix: str) -> list[str]:
    return [n for n in names if n.startswith(prefix)]


def _in_subnet(interfaces: Sequence[Interface], comm_id: str | None) -> list[str]:
    """The first interface in whose subnet NCCL_COMM_ID's address is; a host name says nothing.

    It need not run, nor be of NCCL_SOCKET_FAMILY.
    """
    if not (match := COMM_ID.fullmatch(comm_id or "")):
        return []
    try:
        address = ip_address(match["ipv6"] or match["ipv4"])
    except ValueError:
        return []
    for interface in interfaces:
        if any(address in ip_interface(own).network for own in interface.addresses):
            return [interface.name]
    return []
