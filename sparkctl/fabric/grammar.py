"""How NCCL reads a list of names: NCCL_IB_HCA's and NCCL_SOCKET_IFNAME's grammar; pure.

Nothing is trimmed, case counts, an entry is a prefix unless the whole value begins with `=` or
`^=`. NCCL's parseStringList and matchIfList (src/misc/utils.cc), 2.20.5 to 2.30.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.fabric.ncclparam import leading_int
from sparkctl.fabric.version import NEWEST, RAIL_GRAMMAR, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

IB_HCA, SOCKET_IFNAME = "NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"
# The most entries that NCCL reads: MAX_IB_DEVS and MAX_IFS.
LIMITS = {IB_HCA: 32, SOCKET_IFNAME: 16}
ANY = -1


@dataclass(frozen=True)
class Entry:
    """One name of the list; `port` is ANY if the value has none."""

    name: str
    port: int = ANY


@dataclass(frozen=True)
class Filter:
    """A parsed value: `^` excludes what matches, `=` matches whole names only."""

    exclude: bool
    exact: bool
    entries: tuple[Entry, ...]
    beyond: tuple[Entry, ...] = ()  # over the limit: NCCL ignores them

    def matches_name(self, entry: Entry, name: str) -> bool:
        """Whether an entry matches a name, whatever the ports."""
        return entry.name == name if self.exact else name.startswith(entry.name)

    def first_match(self, name: str, port: int) -> Entry | None:
        """The first entry that matches, no matter if the filter excludes."""
        for entry in self.entries:
            if self.matches_name(entry, name) and (ANY in (port, entry.port) or port == entry.port):
                return entry
        return None


def takes_more(names: Collection[str], every: Iterable[str]) -> bool:
    """Whether these names as prefixes take another of `every`: mlx5_1 takes mlx5_10, eth2 a VLAN's
    eth2.10, rocep1s0f0 a virtual function's rocep1s0f0v1.
    """
    return any(n.startswith(tuple(names)) for n in every if n not in names)


def parse(value: str, limit: int, version: Version = NEWEST) -> Filter:
    """Split a value as NCCL does: one `^`, then one `=`, both at the very beginning only."""
    exclude = value.startswith("^")
    rest = value[exclude:]
    exact = rest.startswith("=")
    entries = [_entry(text, version) for text in rest[exact:].split(",")]
    named = [e for e in entries if e.name]  # ":1" has no name, and NCCL drops it like an empty one
    return Filter(exclude, exact, tuple(named[:limit]), tuple(named[limit:]))


def _entry(text: str, version: Version) -> Entry:
    name, colon, rest = text.partition(":")
    if not colon:
        return Entry(name)
    if version >= RAIL_GRAMMAR:
        port = rest.partition(":")[0]
        return Entry(name, leading_int(port) if port else ANY)
    return Entry(name, leading_int(rest))
