"""What NCCL selects by NCCL_SOCKET_IFNAME, or without it, and why not the others; pure.

NCCL's matcher (src/misc/utils.cc) and ncclFindInterfaces (src/misc/socket.cc).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface

from sparkctl.fabric.grammar import ANY, LIMITS, SOCKET_IFNAME, parse
from sparkctl.fabric.matcher import Selection, Verdict, judge
from sparkctl.fabric.suspects import suspects
from sparkctl.fabric.version import NEWEST, RUNNING_ONLY, Version

MOST = LIMITS[SOCKET_IFNAME]
COMM_ID = re.compile(r"\[(?P<ipv6>[^\]]+)\]:\d+|(?P<ipv4>[^:]+):\d+")


@dataclass(frozen=True)
class Interface:
    """A network interface, in the kernel's order (see `in_order`).

    `up`: administratively, and with carrier; `addressed`: it has an IPv4 or IPv6 address;
    `addresses`: each with its prefix length, where they are known.
    """

    name: str
    up: bool = True
    addressed: bool = True
    addresses: tuple[str, ...] = ()


def in_order(interfaces: Sequence[Interface]) -> list[Interface]:
    """As NCCL meets them: getifaddrs(3) gives every IPv4 address before the first IPv6 one."""
    return sorted(interfaces, key=lambda i: not any("." in a for a in i.addresses))


def select_interfaces(
    value: str | None,
    interfaces: Sequence[Interface],
    version: Version = NEWEST,
    *,
    comm_id: str | None = None,
    hcas: Collection[str] = (),
) -> Selection:
    """What NCCL_SOCKET_IFNAME selects among the interfaces that have an address.

    The bootstrap takes the first alone, the socket transport up to 16. Unset, the first of these
    that finds any: names that begin with `ib`; the one in the subnet of `comm_id` (NCCL_COMM_ID,
    address:port); all but docker and lo (and from 2.28.3 virbr); docker; lo. A value of one
    character is ignored, as unset. `hcas`, the node's RDMA devices, sharpen the warnings.
    """
    usable = [i for i in interfaces if _usable(i, version)]
    if value is None or len(value) < 2:
        judged = _unset(usable, version, comm_id)
    else:
        wanted = parse(value, MOST, version)
        judged = {i.name: judge(wanted, i.name, ANY) for i in usable}  # a port does nothing here
    verdicts = [
        judged[i.name] if i.name in judged else Verdict(i.name, False, _unusable(i, version))
        for i in interfaces
    ]
    names = [i.name for i in interfaces]
    warnings = suspects(SOCKET_IFNAME, value or "", names, hcas, version)
    return Selection(SOCKET_IFNAME, version, value, tuple(_counted(verdicts)), tuple(warnings))


def _usable(interface: Interface, version: Version) -> bool:
    return interface.addressed and (interface.up or version < RUNNING_ONLY)


def _unusable(interface: Interface, version: Version) -> str:
    if not interface.addressed:
        return "it has no address"
    return f"it is down: from 2.28.3 it must be running (this is {'.'.join(map(str, version))})"


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
    usable: Sequence[Interface], version: Version, comm_id: str | None
) -> dict[str, Verdict]:
    hidden = ("docker", "lo", *(("virbr",) if version >= RUNNING_ONLY else ()))
    names = [i.name for i in usable]
    for taken, reason in (
        (_beginning(names, "ib"), "unset, names that begin with ib come first"),
        (_in_subnet(usable, comm_id), f"unset, it is in the subnet of NCCL_COMM_ID={comm_id}"),
        ([n for n in names if not n.startswith(hidden)], f"unset, all but {', '.join(hidden)}"),
        (_beginning(names, "docker"), "unset, nothing but docker is left"),
        (_beginning(names, "lo"), "unset, nothing but lo is left"),
    ):
        if taken:
            other = f"not among those that are taken when unset: {', '.join(taken)}"
            return {n: Verdict(n, n in taken, reason if n in taken else other) for n in names}
    return {n: Verdict(n, False, "unset, nothing is taken") for n in names}


def _beginning(names: Sequence[str], prefix: str) -> list[str]:
    return [n for n in names if n.startswith(prefix)]


def _in_subnet(usable: Sequence[Interface], comm_id: str | None) -> list[str]:
    """The first interface in whose subnet NCCL_COMM_ID's address is; a host name says nothing."""
    if not (match := COMM_ID.fullmatch(comm_id or "")):
        return []
    try:
        address = ip_address(match["ipv6"] or match["ipv4"])
    except ValueError:
        return []
    for interface in usable:
        if any(address in ip_interface(own).network for own in interface.addresses):
            return [interface.name]
    return []
