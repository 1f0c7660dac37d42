"""Which GID of a port's table NCCL selects; pure.

From 2.21 NCCL scans from index 0 and selects the first RoCE v2 entry that is IPv4-mapped, else the
first that is IPv4-mapped at all; without one it stays at index 0. NCCL_IB_ADDR_RANGE excludes what
is not in it; a pinned NCCL_IB_GID_INDEX is used unchecked, for every HCA (NCCL's
src/transport/net_ib*, ncclIbGetGidIndex).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.facts.groups import GidSlot

ROCE_V2 = "RoCE v2"
UNREAD = "unknown"  # the type of a slot whose gid_attrs/types could not be read


@dataclass(frozen=True)
class Gid:
    """A filled slot: `kind` is RoCE v2 or IB/RoCE v1, `ipv4` the address it is made of."""

    index: int
    gid: str
    kind: str
    ipv4: str | None
    ndev: str | None = None

    @property
    def family(self) -> str:
        """IPv4 or IPv6; two ends of different families fail with errno 22."""
        return "IPv4" if self.ipv4 else "IPv6"

    @property
    def usable(self) -> bool:
        """Whether RoCE v2 over IPv4 works with it."""
        return self.kind == ROCE_V2 and self.ipv4 is not None

    def document(self) -> dict[str, str | int | None]:
        """The slot as JSON."""
        return {
            "index": self.index,
            "gid": self.gid,
            "type": self.kind,
            "family": self.family,
            "ipv4": self.ipv4,
            "netdev": self.ndev,
        }

    def __str__(self) -> str:
        return f"{self.index}: {self.ipv4 or self.gid} ({self.kind})"


def table(gids: Sequence[GidSlot]) -> list[Gid]:
    """The filled slots of a port by index."""
    found = []
    for slot in gids:
        kind = slot.type or UNREAD
        found.append(Gid(slot.index, slot.gid, kind, _mapped(slot.gid), slot.ndev))
    return sorted(found, key=lambda g: g.index)


@cache
def _mapped(gid: str) -> str | None:
    """The IPv4 address that a GID is made of; cached, as every node's are compared with it."""
    mapped = IPv6Address(gid).ipv4_mapped
    return str(mapped) if mapped else None


def address_range(value: str) -> IPv4Network | None:
    """NCCL_IB_ADDR_RANGE as NCCL reads it; None, which is everything, unless ADDRESS/BITS."""
    try:
        return IPv4Network(value, strict=False) if "/" in value else None
    except ValueError:
        return None


def taken_index(
    gids: Sequence[Gid], pinned: int | None = None, within: IPv4Network | None = None
) -> int:
    """The index that NCCL uses, which may be that of an empty slot.

    `pinned` is NCCL_IB_GID_INDEX; a negative one means unset, as for NCCL. `within` is
    NCCL_IB_ADDR_RANGE, from which the scan's start at index 0 is exempt.
    """
    if pinned is not None and pinned >= 0:
        return pinned
    mapped = [g for g in gids if g.ipv4 is not None and (g.index == 0 or _in(g.ipv4, within))]
    return next((g.index for g in mapped if g.usable), mapped[0].index if mapped else 0)


def _in(ipv4: str, within: IPv4Network | None) -> bool:
    return within is None or IPv4Address(ipv4) in within


def taken(
    gids: Sequence[Gid], pinned: int | None = None, within: IPv4Network | None = None
) -> Gid | None:
    """The slot that NCCL uses; None if it is empty, and ibv_modify_qp fails with errno 61."""
    index = taken_index(gids, pinned, within)
    return next((g for g in gids if g.index == index), None)
