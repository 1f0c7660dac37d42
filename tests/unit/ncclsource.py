"""NCCL's C semantics, written out statement by statement; nothing is shared with sparkctl.

src/misc/utils.cc (parseStringList, matchIf, matchPort, matchIfList; one parser for each grammar)
and src/misc/socket.cc (findInterfaces, matchSubnet, ncclFindInterfaceMatchSubnet,
ncclFindInterfaces), 2.20.5 to 2.30.7.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

LIBC = ctypes.CDLL(None)
NUL = "\0"
ANY_PORT = -1
MAX_IB_DEVS, MAX_IFS = 32, 16
AF_INET, AF_INET6, AF_ANY = 2, 10, -1


@dataclass
class NetIf:
    prefix: str
    port: int


def c_atoi(text: str) -> int:
    found: int = LIBC.atoi(text.rstrip(NUL).encode())
    return found


def c_parse_until_2_30_4(text: str, max_list: int) -> list[NetIf]:
    found: list[NetIf] = []
    prefix = ""
    ptr = 0
    buffer = text + NUL
    while True:
        c = buffer[ptr]
        if c == ":":
            if prefix:
                found.append(NetIf(prefix, c_atoi(buffer[ptr + 1 :])))
                prefix = ""
            while c not in ("," + NUL):
                ptr += 1
                c = buffer[ptr]
        elif c in ("," + NUL):
            if prefix:
                found.append(NetIf(prefix, ANY_PORT))
                prefix = ""
        else:
            prefix += c
        ptr += 1
        if not (len(found) < max_list and c != NUL):
            return found


def c_parse_from_2_30_7(text: str, max_list: int) -> list[NetIf]:
    """name:port:rail:plane; the rail and the plane select nothing."""
    found: list[NetIf] = []
    buffer = text + NUL
    ptr = 0
    while buffer[ptr] != NUL and len(found) < max_list:
        fields = [""]
        while buffer[ptr] not in ("," + NUL):
            if buffer[ptr] == ":":
                fields.append("")
            else:
                fields[-1] += buffer[ptr]
            ptr += 1
        if buffer[ptr] == ",":
            ptr += 1
        if fields[0] != "":
            given_port = len(fields) > 1 and fields[1] != ""
            found.append(NetIf(fields[0], c_atoi(fields[1] + NUL) if given_port else ANY_PORT))
    return found


def c_strncmp(a: str, b: str, length: int) -> int:
    for i in range(length):
        x = a[i] if i < len(a) else NUL
        y = b[i] if i < len(b) else NUL
        if x != y:
            return ord(x) - ord(y)
        if x == NUL:
            return 0
    return 0


def c_match_if(name: str, ref: str, exact: bool) -> bool:
    return c_strncmp(name, ref, len(name) + 1 if exact else len(ref)) == 0


def c_match_port(one: int, two: int) -> bool:
    return ANY_PORT in (one, two) or one == two


def c_match_if_list(name: str, port: int, listed: list[NetIf], exact: bool) -> bool:
    if len(listed) == 0:
        return True
    return any(
        c_match_if(name, ref.prefix, exact) and c_match_port(port, ref.port) for ref in listed
    )


@dataclass
class Search:
    """A value after its `^` and `=`, as ncclIbInit and findInterfaces begin alike."""

    text: str
    max_list: int
    rail: bool

    def __post_init__(self) -> None:
        text = self.text
        self.search_not = text[:1] == "^"
        if self.search_not:
            text = text[1:]
        self.search_exact = text[:1] == "="
        if self.search_exact:
            text = text[1:]
        parse = c_parse_from_2_30_7 if self.rail else c_parse_until_2_30_4
        self.listed = parse(text, self.max_list)

    def takes(self, name: str, port: int) -> bool:
        return c_match_if_list(name, port, self.listed, self.search_exact) ^ self.search_not


@dataclass
class IfAddr:
    """An entry of getifaddrs(3) whose family is IPv4 or IPv6."""

    name: str
    address: IPv4Interface | IPv6Interface
    running: bool

    @property
    def family(self) -> int:
        return AF_INET if self.address.version == 4 else AF_INET6


def getifaddrs(links: list[tuple[str, bool, tuple[str, ...]]]) -> list[IfAddr]:
    """The kernel dumps a family at a time, IPv4 first, each by the interfaces' index."""
    every = [IfAddr(name, ip_interface(a), up) for name, up, own in links for a in own]
    return [a for a in every if a.family == AF_INET] + [a for a in every if a.family == AF_INET6]


def c_find_interfaces(
    prefixes: str, addresses: list[IfAddr], sock_family: int, version: tuple[int, ...]
) -> list[str]:
    search = Search(prefixes, MAX_IFS, version >= (2, 30, 7))
    names: list[str] = []
    for interface in addresses:
        if not len(names) < MAX_IFS:
            break
        if version >= (2, 28, 3) and not interface.running:
            continue
        if sock_family not in (AF_ANY, interface.family):
            continue
        if interface.family == AF_INET6 and interface.address.ip.packed == bytes(15) + b"\1":
            continue
        if not search.takes(interface.name, ANY_PORT):
            continue
        if interface.name not in names:
            names.append(interface.name)
    return names


def c_match_subnet(local: IfAddr, remote: str) -> bool:
    other = ip_address(remote)
    if local.address.version != other.version:
        return False
    mask = int(local.address.netmask)
    return (int(local.address.ip) & mask) ^ (int(other) & mask) == 0


def c_nccl_find_interfaces(
    env: str | None,
    addresses: list[IfAddr],
    version: tuple[int, ...],
    *,
    family: str | None = None,
    remote: str | None = None,
) -> list[str]:
    """`remote` is the address in NCCL_COMM_ID."""
    sock_family = {"AF_INET": AF_INET, "AF_INET6": AF_INET6}.get(family or "", AF_ANY)
    if env is not None and len(env) > 1:
        return c_find_interfaces(env, addresses, sock_family, version)
    found = c_find_interfaces("ib", addresses, sock_family, version)
    if len(found) == 0 and remote is not None:
        for interface in addresses:
            if len(found) == 0 and c_match_subnet(interface, remote):
                found.append(interface.name)
    if version >= (2, 28, 3):
        order = ["^docker,lo,virbr", "docker", "lo", "virbr"]
    else:
        order = ["^docker,lo", "docker", "lo"]
    for prefixes in order:
        if len(found) == 0:
            found = c_find_interfaces(prefixes, addresses, sock_family, version)
    return found
