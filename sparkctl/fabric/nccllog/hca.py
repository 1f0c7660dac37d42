"""What a value of NCCL_IB_HCA can select on a Spark, by NCCL's grammar; pure."""

from __future__ import annotations

import re

from sparkctl.doubts import Doubt
from sparkctl.fabric.grammar import ANY, IB_HCA, LIMITS, Entry, Filter
from sparkctl.fabric.grammar import parse as parse_list
from sparkctl.fabric.nccllog.advice import LIST_DEVICES
from sparkctl.fabric.nccllog.model import Candidate
from sparkctl.fabric.version import NEWEST, Version

NETDEV = re.compile(r"(?:en[opsxP]|eth|wl|bond|br-|docker)")
ODD = re.compile(r"[\s\"';]")
PORT = 1  # each RDMA device of a Spark has one port


def filters(value: str, version: Version | None) -> bool:
    """Whether a value excludes any device.

    Without a name NCCL selects every device (`^` alone: none), and `^` with names that no device
    can have excludes none (NCCL's src/misc/utils.cc).
    """
    parsed = _parse(value, version)
    if not parsed.exclude:
        return bool(parsed.entries)
    return not parsed.entries or not all(_impossible(entry) for entry in parsed.entries)


def mistakes(value: str, version: Version | None = None) -> list[Doubt]:
    """Why no entry of a value can select a Spark's device; empty if one may."""
    parsed = _parse(value, version)
    if parsed.exclude:
        alone = Doubt("nothing-selected", "^ alone excludes every device")
        return [] if parsed.entries else [alone]
    found = [doubt for entry in parsed.entries if (doubt := _impossible(entry))]
    return found if len(found) == len(parsed.entries) else []


def candidate(value: str, version: Version | None) -> Candidate:
    """The value itself as a possible cause, and how to decide that on the node."""
    parsed = _parse(value, version)
    match = "has a name" if parsed.exact else "begins with a name"
    wrong = (
        f"every ACTIVE device {match} that the list excludes"
        if parsed.exclude
        else f"no ACTIVE device {match} in the list"
    )
    return Candidate(
        "hca-filter-no-match", f"`{LIST_DEVICES}` and port states on the node: {wrong}"
    )


def _parse(value: str, version: Version | None) -> Filter:
    """The filter; for an unknown version by the newest grammar, which rules out the least."""
    return parse_list(value, LIMITS[IB_HCA], version or NEWEST)


def _impossible(entry: Entry) -> Doubt | None:
    """Why an entry is no device of a Spark; None if it may be one."""
    data = {"name": entry.name}
    if ODD.search(entry.name):
        text = f"the space, quote or semicolon in {entry.name!r} is part of the name"
        return Doubt("quoted", text, data)
    if NETDEV.match(entry.name):
        return Doubt("other-kind", f"{entry.name} is an interface, not an RDMA device", data)
    if entry.port not in (ANY, PORT):
        return Doubt("wrong-port", f"{entry.name} has no port {entry.port}", data)
    return None
