"""What NCCL selects by NCCL_SOCKET_IFNAME or without it, and why it skips the others; pure.

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
from sparkctl.fabric.lint import lint_value
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

    NCCL considers those with an address, other than ::1, and of `family` (NCCL_SOCKET_FAMILY)
    where it is AF_INET or AF_INET6. The bootstrap uses the first alone, the socket transport up to
    16. Unset, NCCL takes the first of these groups that is not empty: names that begin with `ib`;
    the one in the subnet of `comm_id` (NCCL_COMM_ID, address:port); all but docker and lo (and
    from 2.28.3 virbr); docker; lo; virbr. A value of one character counts as unset. `hcas` are the
    node's RDMA devices, by which the doubts distinguish a device's name from an unknown one.
    """
    ordered = _in_order(interfaces, family)
    skipped = {i.name: verdict for i in ordered if (verdict := _unusable(i, version, family))}
    usable = [i.name for i in ordered if i.name not in skipped]
    if value is None or len(value) < 2:
        judged = _unset(usable, _in_subnet(interfaces, comm_id), version, comm_id)
    else:
        chosen = parse(value, MOST, version)
        judged = {name: judge(chosen, name, ANY) for name in usable}  # a port does nothing here
    verdicts = _limited([judged.get(i.name) or skipped[i.name] for i in ordered])
    names = [i.name for i in interfaces]
    doubts = lint_value(SOCKET_IFNAME, value or "", names, hcas, version)
    return Selection(SOCKET_IFNAME, version, value, tuple(verdicts), tuple(doubts))


def _in_order(interfaces: Sequence[Interface], family: str | None) -> list[Interface]:
    """NCCL's order: getifaddrs(3) gives every IPv4 address before the first IPv6 one."""
    if family == "AF_INET6":
        return list(interfaces)
    return sorted(interfaces, key=lambda i: not any("." in a for a in i.addresses))


def _unusable(interface: Interface, version: Version, family: str | None) -> Verdict | None:
    """The verdict on an interface that NCCL skips whatever its name; None for any other."""
    if without := _without_address(interface, family):
        return without
    if interface.up or version < RUNNING_ONLY:
        return None
    reason = f"it is down; from 2.28.3 NCCL skips it (this is {'.'.join(map(str, version))})"
    return Verdict(interface.name, "not-running", reason)


def _without_address(interface: Interface, family: str | None) -> Verdict | None:
    own = [ip_interface(a) for a in interface.addresses]
    required = FAMILIES.get(family or "")
    counts = any(a.ip != LOOPBACK and required in (None, a.version) for a in own)
    if interface.addressed and (counts or not own):
        return None
    forced = f" of {SOCKET_FAMILY}={family}" if required else ""
    ignored = "; ::1 does not count" if any(a.ip == LOOPBACK for a in own) else ""
    return Verdict(interface.name, "no-address", f"it has no address{forced}{ignored}")


def _limited(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """The verdicts with the bootstrap's interface marked and those over the limit skipped."""
    selected = [v.name for v in verdicts if v.selected]
    for verdict in verdicts:
        if len(selected) > 1 and verdict.name == selected[0]:
            reason = f"{verdict.reason}; the bootstrap uses only this one"
            yield replace(verdict, reason=reason, data={**verdict.data, "bootstrap": True})
        elif verdict.name in selected[MOST:]:
            reason = f"NCCL takes the first {MOST} of the interfaces that match"
            yield Verdict(verdict.name, "beyond-limit", reason, {"limit": MOST})
        else:
            yield verdict


def _unset(
    names: Sequence[str], near: Sequence[str], version: Version, comm_id: str | None
) -> dict[str, Verdict]:
    """The verdicts without a value, by name."""
    last = ("docker", "lo", *(("virbr",) if version >= VIRBR_LAST else ()))
    for taken, group in (
        (_beginning(names, "ib"), "names that begin with ib"),
        (near, f"the one in the subnet of NCCL_COMM_ID={comm_id}"),
        ([n for n in names if not n.startswith(last)], f"all but {', '.join(last)}"),
        (_beginning(names, "docker"), "docker, as nothing else is left"),
        (_beginning(names, "lo"), "lo, as nothing else is left"),
        (_beginning(names, "virbr"), "virbr, as nothing else is left"),
    ):
        if taken:
            reason = f"by default NCCL takes {group}"
            other = f"by default NCCL takes only {', '.join(taken)}"
            data = {"selected": taken}
            return {
                n: Verdict(n, "selected", reason)
                if n in taken
                else Verdict(n, "not-default", other, data)
                for n in dict.fromkeys((*names, *taken))
            }
    return {}


def _beginning(names: Sequence[str], prefix: str) -> list[str]:
    return [n for n in names if n.startswith(prefix)]


def _in_subnet(interfaces: Sequence[Interface], comm_id: str | None) -> list[str]:
    """The first interface in whose subnet NCCL_COMM_ID's address is; none for a host name.

    NCCL does not require it to be running or of NCCL_SOCKET_FAMILY.
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
