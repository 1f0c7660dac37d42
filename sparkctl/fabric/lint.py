"""What in a value of NCCL_IB_HCA or NCCL_SOCKET_IFNAME is most likely a mistake; pure.

NCCL takes each of them without a word (NCCL's src/misc/utils.cc and socket.cc).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.grammar import IB_HCA, LIMITS, SOCKET_IFNAME, Entry, Filter, parse
from sparkctl.fabric.version import NEWEST, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# What each variable does not name, how such a name looks, and what the variable names.
OTHER_KIND = {
    IB_HCA: ("a network interface", re.compile(r"en|eth|ib\d|wl"), "RDMA devices"),
    SOCKET_IFNAME: ("an RDMA device", re.compile(r"roce|mlx\d|rxe"), "network interfaces"),
}


def suspects(
    variable: str,
    value: str,
    names: Collection[str],
    others: Collection[str] = (),
    version: Version = NEWEST,
) -> list[str]:
    """One line for each doubtful thing in `value`, given what there is on the node.

    `names` are those that `variable` chooses from, `others` the node's names of the other kind:
    its interfaces for NCCL_IB_HCA, its RDMA devices for NCCL_SOCKET_IFNAME.
    """
    chosen = parse(value, LIMITS[variable], version)
    if variable == SOCKET_IFNAME and len(value) == 1:
        return [f"{value!r} has one character, which NCCL takes as unset"]
    return [*_signs(value, chosen), *_names(variable, chosen, names, others), *_beyond(chosen)]


def _signs(value: str, chosen: Filter) -> Iterator[str]:
    if any(c.isspace() for c in value):
        yield "a space becomes part of a name: NCCL strips nothing"
    if '"' in value or "'" in value:
        yield "a quote becomes part of a name: NCCL strips nothing"
    if ";" in value:
        yield "names are separated by commas, `;` becomes part of a name"
    body = value.removeprefix("^").removeprefix("=")
    if value.startswith("=^"):
        yield "only ^= is understood: after = a ^ is part of the name"
    elif "^" in body:
        yield "^ counts once, at the very beginning: a further one is part of a name"
    if "=" in body:
        yield "= counts once, at the very beginning or after ^: a further one is part of a name"
    if chosen.exclude and not chosen.entries:
        yield f"{value} without names selects nothing"


def _names(
    variable: str, chosen: Filter, names: Collection[str], others: Collection[str]
) -> Iterator[str]:
    kind, looks, wanted = OTHER_KIND[variable]
    for entry in chosen.entries:
        name = entry.name
        taken = [n for n in names if chosen.names(entry, n)]
        longer = [n for n in taken if n != name]
        if name in names and longer:
            yield f"{name} is a prefix and takes {', '.join(longer)} as well: = takes whole names"
        if taken:
            continue
        if any(other.startswith(name) for other in others):
            yield f"{name} is {kind}, {variable} names {wanted}"
        elif begun := [n for n in names if n.startswith(name)]:
            yield f"{name} is only the beginning of {begun[0]}: = takes whole names"
        elif same := [n for n in names if chosen.names(Entry(name.lower()), n.lower())]:
            yield f"{name} differs by case from {same[0]}"
        elif looks.match(name):
            yield f"{name} matches nothing here, it looks like {kind}: {variable} names {wanted}"
        else:
            yield f"{name} matches nothing here"


def _beyond(chosen: Filter) -> Iterator[str]:
    if chosen.beyond:
        unread = ", ".join(e.name for e in chosen.beyond)
        yield f"only the first {len(chosen.entries)} entries are read: {unread} are not"
