"""What in a value of NCCL_IB_HCA or NCCL_SOCKET_IFNAME is most likely a mistake; pure.

NCCL takes each of them without a word (src/misc/utils.cc, parseStringList).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sparkctl.fabric.matcher import MAX_HCAS, Filter, parse
from sparkctl.fabric.version import NEWEST, Version


def suspects(
    value: str, devices: Collection[str], netdevs: Collection[str] = (), version: Version = NEWEST
) -> list[str]:
    """One line for each doubtful thing in `value`, given what there is on the node.

    `netdevs` are the interfaces' names where `devices` are HCAs, to tell the two apart.
    """
    chosen = parse(value, MAX_HCAS, version)
    return [*_signs(value), *_names(chosen, devices, netdevs)]


def _signs(value: str) -> Iterator[str]:
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
    if value == "^":
        yield "^ without names selects nothing"


def _names(chosen: Filter, devices: Collection[str], netdevs: Collection[str]) -> Iterator[str]:
    for name in (e.name for e in chosen.entries):
        taken = [d for d in devices if (d == name if chosen.exact else d.startswith(name))]
        longer = [d for d in taken if d != name]
        if name in devices and longer and not chosen.exact:
            yield f"{name} is a prefix and takes {', '.join(longer)} as well: = takes whole names"
        if taken:
            continue
        if name in netdevs:
            yield f"{name} is a network interface, NCCL_IB_HCA names RDMA devices"
        elif same := [d for d in devices if d.lower() == name.lower()]:
            yield f"{name} differs by case from {same[0]}"
        else:
            yield f"{name} matches nothing here"
