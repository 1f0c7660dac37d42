"""Which GID NCCL takes of each HCA with the environment that `up` sets."""

from __future__ import annotations

from collections.abc import Iterator

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.view import View
from sparkctl.fabric.gid import UNREAD, Gid, table, taken
from sparkctl.fabric.ncclparam import number


def _gids(view: View, name: str, hca: str) -> list[Gid]:
    ports = view.group(name, "ib")[hca]["ports"].values()
    return table([gid for port in ports for gid in port["gids"]])


def gid(view: View, name: str) -> Iterator[Finding]:
    """Each wanted HCA has a RoCE v2 GID of an IPv4 address, which NCCL then finds by itself."""
    for device in view.choice(name).hcas:
        gids = _gids(view, name, device)
        found = taken(gids)
        if found and found.usable:
            yield ok(f"{device} takes GID {found}")
            continue
        listed = ", ".join(map(str, gids)) or "an empty table"
        if any(g.kind == UNREAD and g.ipv4 for g in gids):
            yield unknown(f"the types of {device}'s GIDs could not be read: {listed}")
            continue
        yield fail(
            f"{device} has no RoCE v2 GID of an IPv4 address",
            Evidence(
                "RoCE v2, IPv4-mapped", listed, f"/sys/class/infiniband/{device}/ports/1/gids"
            ),
            Remedy("give its interface an IPv4 address; the GID follows at once"),
        )


def pinned_index(view: View, name: str) -> int | None:
    """The GID index that the environment pins; None where it pins none."""
    index = number(view.effective(name).get("NCCL_IB_GID_INDEX", "-1"), default=-1)
    return index if index >= 0 else None


def gid_index(view: View, name: str) -> Iterator[Finding]:
    """A pinned index points at a usable slot of every wanted HCA."""
    pinned = pinned_index(view, name)
    if pinned is None:
        yield ok("NCCL_IB_GID_INDEX is not pinned")
        return
    value = view.effective(name)["NCCL_IB_GID_INDEX"]
    origin = view.origin(name, "NCCL_IB_GID_INDEX")
    remedy = Remedy(f"remove NCCL_IB_GID_INDEX from {origin}: NCCL finds the slot by itself")
    wrong = False
    for device in view.choice(name).hcas:
        found = taken(_gids(view, name, device), pinned)
        if found and found.usable:
            continue
        wrong = True
        what = f"holds {found}" if found else "is empty"
        effect = "errno 22" if found else "errno 61"
        yield fail(
            f"NCCL_IB_GID_INDEX={value}: slot {pinned} of {device} {what}, ibv_modify_qp fails with"
            f" {effect}",
            Evidence("a RoCE v2 GID of an IPv4 address", str(found or "nothing"),
                     f"/sys/class/infiniband/{device}/ports/1/gids/{pinned}"),
            remedy,
        )  # fmt: skip
    if not wrong:
        yield warn(
            f"NCCL_IB_GID_INDEX={value} is pinned: it fits now, indexes move on a link flap",
            Evidence("unset", value, origin),
            remedy,
        )


CHECKS = (
    Check("fabric.gid", "node", gid, preflight=True),
    Check("fabric.gid-index", "node", gid_index, preflight=True),
)
