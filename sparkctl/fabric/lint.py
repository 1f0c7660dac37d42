"""Likely mistakes in a value of NCCL_IB_HCA or NCCL_SOCKET_IFNAME; pure.

NCCL accepts each of them silently (NCCL's src/misc/utils.cc and socket.cc).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doubts import Doubt
from sparkctl.fabric.grammar import IB_HCA, LIMITS, SOCKET_IFNAME, Entry, Filter, parse
from sparkctl.fabric.version import NEWEST, Version
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

# What each variable does not select, how such a name looks, and what it selects.
OTHER_KIND = {
    IB_HCA: ("a network interface", re.compile(r"en|eth|ib\d|wl"), "RDMA devices"),
    SOCKET_IFNAME: ("an RDMA device", re.compile(r"roce|mlx\d|rxe"), "network interfaces"),
}


def lint_value(
    variable: str,
    value: str,
    names: Collection[str],
    others: Collection[str] = (),
    version: Version = NEWEST,
) -> list[Doubt]:
    """The likely mistakes in `value`, by what exists on the node.

    `names` are those that `variable` selects from, `others` the node's names of the other kind:
    its interfaces for NCCL_IB_HCA, its RDMA devices for NCCL_SOCKET_IFNAME.
    """
    chosen = parse(value, LIMITS[variable], version)
    if variable == SOCKET_IFNAME and len(value) == 1:
        text = f"{quoted(value)} has one character, which NCCL treats as unset"
        return [Doubt("one-character", text, {"value": value})]
    doubts = [*_syntax(value, chosen)]
    for entry in chosen.entries:
        taken = [n for n in names if chosen.matches_name(entry, n)]
        longer = [n for n in taken if n != entry.name]
        if not taken:
            doubts.append(_unmatched(variable, entry.name, chosen, names, others))
        elif longer and entry.name in taken:
            doubts.append(_prefix(entry.name, longer))
    return [*doubts, *_beyond(chosen)]


def _syntax(value: str, chosen: Filter) -> Iterator[Doubt]:
    if any(c.isspace() for c in value):
        yield Doubt("space-in-name", "a space becomes part of a name; NCCL trims nothing")
    if '"' in value or "'" in value:
        yield Doubt("quote-in-name", "a quote becomes part of a name; NCCL removes none")
    if ";" in value:
        yield Doubt("semicolon", "a semicolon becomes part of a name; separate names by commas")
    body = value.removeprefix("^").removeprefix("=")
    if value.startswith("=^"):
        yield Doubt("caret-position", "a ^ after = becomes part of a name; write ^=")
    elif "^" in body:
        text = "a ^ that is not at the beginning of the value becomes part of a name"
        yield Doubt("caret-position", text)
    if "=" in body:
        text = "an = that is not at the beginning of the value or after ^ becomes part of a name"
        yield Doubt("equals-position", text)
    if chosen.exclude and not chosen.entries:
        yield Doubt(
            "nothing-selected", f"{quoted(value)} without names selects nothing", {"value": value}
        )


def _prefix(name: str, longer: Sequence[str]) -> Doubt:
    also = ", ".join(longer)
    text = f"{quoted(name)} is a prefix and also selects {also}; = matches whole names only"
    return Doubt("prefix-takes-more", text, {"name": name, "also": longer})


def _unmatched(
    variable: str, name: str, chosen: Filter, names: Collection[str], others: Collection[str]
) -> Doubt:
    """The doubt about an entry that selects nothing."""
    kind, looks, selects = OTHER_KIND[variable]
    data, shown = {"name": name}, quoted(name)
    if any(other.startswith(name) for other in others):
        return Doubt("other-kind", f"{shown} is {kind}; {variable} selects {selects}", data)
    if whole := next((n for n in names if n.startswith(name)), None):
        text = f"{shown} is only the beginning of {whole}, and = requires whole names"
        return Doubt("partial-name", text, {**data, "whole": whole})
    lower = Entry(name.lower())
    if same := next((n for n in names if chosen.matches_name(lower, n.lower())), None):
        return Doubt("case", f"{shown} differs from {same} in case", {**data, "like": same})
    if looks.match(name):
        text = f"{shown} matches nothing and looks like {kind}; {variable} selects {selects}"
        return Doubt("other-kind", text, data)
    return Doubt("no-match", f"{shown} matches nothing", data)


def _beyond(chosen: Filter) -> Iterator[Doubt]:
    if chosen.beyond:
        limit, ignored = len(chosen.entries), [e.name for e in chosen.beyond]
        listed = ", ".join(map(quoted, ignored))
        text = f"NCCL reads only the first {limit} entries and ignores {listed}"
        yield Doubt("beyond-limit", text, {"limit": limit, "ignored": ignored})
