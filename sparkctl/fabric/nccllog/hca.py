"""What a value of NCCL_IB_HCA can have done on a Spark, by NCCL's own grammar; pure."""

from __future__ import annotations

import re

from sparkctl.fabric.grammar import ANY, IB_HCA, LIMITS, Entry, Filter
from sparkctl.fabric.grammar import parse as parse_list
from sparkctl.fabric.nccllog.advice import LIST_DEVICES
from sparkctl.fabric.nccllog.model import Candidate
from sparkctl.fabric.version import NEWEST, Version

NETDEV = re.compile(r"(?:en[opsxP]|eth|wl|bond|br-|docker)")
ODD = re.compile(r"[\s\"';]")
PORT = 1  # each RDMA device of a Spark has one port


def filters(value: str, version: Version | None) -> bool:
    """Whether a value leaves any device out.

    Without a name in it NCCL takes every device (`^` alone: none), and `^` with names that no
    device can have leaves none out (NCCL's src/misc/utils.cc).
    """
    parsed = _parse(value, version)
    if not parsed.exclude:
        return bool(parsed.entries)
    return not parsed.entries or not all(_unnameable(entry) for entry in parsed.entries)


def impossible(value: str, version: Version | None = None) -> str:
    """Why no entry of a value can select a Spark's device; empty when one may."""
    parsed = _parse(value, version)
    if parsed.exclude:
        return "" if parsed.entries else ": ^ alone leaves out every device"
    reasons = [_unnameable(entry) for entry in parsed.entries]
    return ": " + ", ".join(reasons) if reasons and all(reasons) else ""


def candidate(value: str, version: Version | None) -> Candidate:
    """The value itself as a cause, and what on the node decides it."""
    parsed = _parse(value, version)
    match = "has a name" if parsed.exact else "begins with a name"
    wrong = (
        f"every ACTIVE device {match} that the list leaves out"
        if parsed.exclude
        else f"no ACTIVE device {match} in the list"
    )
    return Candidate(
        "hca-filter-no-match", f"`{LIST_DEVICES}` and port states on the node: {wrong}"
    )


def _parse(value: str, version: Version | None) -> Filter:
    """Of an unknown version the newest grammar: it rules out the least."""
    return parse_list(value, LIMITS[IB_HCA], version or NEWEST)


def _unnameable(entry: Entry) -> str:
    """Why an entry is no device of a Spark; empty when it may be one. Nothing is trimmed."""
    if ODD.search(entry.name):
        return f"space, quote or semicolon in {entry.name!r} is part of the name"
    if NETDEV.match(entry.name):
        return f"{entry.name} is an interface, not an RDMA device"
    if entry.port not in (ANY, PORT):
        return f"{entry.name} has no port {entry.port}"
    return ""
