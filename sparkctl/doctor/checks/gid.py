"""Which GID NCCL takes of each HCA with the environment that `up` sets."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.subnets import addressed
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import beside
from sparkctl.fabric.gid import UNREAD, Gid, address_range, table, taken
from sparkctl.fabric.ncclparam import number
from sparkctl.facts.unread import Missing, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.topology import Half


def _gids(view: View, name: str, hca: str) -> list[Gid]:
    ports = known(view.facts(name).ib)[hca].ports.values()
    return table([gid for port in ports for gid in port.gids])


def gid(view: View, name: str) -> Iterator[Finding]:
    """Each wanted HCA has a RoCE v2 GID of an IPv4 address; NCCL takes one in its peer's subnet."""
    for half in _wanted(view, name):
        gids = _gids(view, name, half.hca)
        if any(g.usable for g in gids):
            yield from _against_peers(view, name, half)
            continue
        listed = ", ".join(map(str, gids)) or "an empty table"
        if any(g.kind == UNREAD and g.ipv4 for g in gids):
            yield unknown(f"the types of {half.hca}'s GIDs could not be read: {listed}")
            continue
        yield fail(
            f"{half.hca} has no RoCE v2 GID of an IPv4 address",
            Evidence(
                "RoCE v2, IPv4-mapped", listed, f"/sys/class/infiniband/{half.hca}/ports/1/gids"
            ),
            Remedy("give its interface an IPv4 address; the GID follows at once"),
        )


def _wanted(view: View, name: str) -> list[Half]:
    hcas = view.choice(name).hcas
    return [half for half in view.halves(name) if half.hca in hcas]


def _taken(view: View, name: str, half: Half) -> Gid | None:
    """The GID that NCCL takes with the environment that `up` sets; None where RoCE v2 over IPv4
    does not run by it.
    """
    within = address_range(view.effective(name).get("NCCL_IB_ADDR_RANGE", ""))
    found = taken(_gids(view, name, half.hca), pinned_index(view, name), within)
    return found if found and found.usable else None


def _against_peers(view: View, name: str, half: Half) -> Iterator[Finding]:
    """The address of the GID is in a subnet of the peers' halves, or of the VLAN they take."""
    mine = _taken(view, name, half)
    if mine is None or mine.ipv4 is None:
        yield _left_out(view, name, half)
        return
    facing = _facing(view, name, half)
    for peer, ends in facing.items():
        if not any(_reaches(view, peer, their, mine.ipv4) for their in ends):
            yield _unreached(view, name, (half, mine), peer, ends)
            return
    if not facing and not _in(mine.ipv4, (addressed(view, name)[half.interface],)):
        yield unknown(f"{half.hca} takes GID {mine}; whether a peer is in its subnet is not known")
    else:
        yield ok(f"{half.hca} takes GID {mine}")


def _left_out(view: View, name: str, half: Half) -> Finding:
    """A usable GID is there, and NCCL is told to take another."""
    if pinned_index(view, name) is not None:
        return ok(f"{half.hca} has a usable GID; whether it is the pinned one: fabric.gid-index")
    value = view.effective(name)["NCCL_IB_ADDR_RANGE"]
    usable = ", ".join(str(g) for g in _gids(view, name, half.hca) if g.usable)
    return fail(
        f"NCCL_IB_ADDR_RANGE={value} leaves out every GID of {half.hca}: ibv_modify_qp fails with"
        " errno 22",
        Evidence(f"a GID in {value}", usable, view.origin(name, "NCCL_IB_ADDR_RANGE")),
        Remedy("set it to a range of all halves' addresses, or leave it out"),
    )


def _facing(view: View, name: str, half: Half) -> dict[str, list[Half]]:
    """The halves that a half faces, by node, as far as the other nodes are known."""
    found: dict[str, list[Half]] = {}
    for peer in view.reached:
        with suppress(Missing):
            ends = [h for h in _wanted(view, peer) if beside(half, h) and beside(h, half)]
            if peer != name and ends:
                found[peer] = ends
    return found


def _reaches(view: View, peer: str, half: Half, address: str) -> bool:
    """Whether an address is in a subnet of a peer's half, or of the interface of its GID."""
    if _in(address, half.ipv4):
        return True
    with suppress(Missing):
        theirs = _taken(view, peer, half)
        net = known(view.facts(peer).net).get(theirs.ndev or "") if theirs else None
        return net is not None and _in(address, net["ipv4"])
    return False


def _in(address: str, networks: Iterable[str]) -> bool:
    return any(IPv4Address(address) in IPv4Interface(n).network for n in networks)


def _unreached(
    view: View, name: str, taken_by: tuple[Half, Gid], peer: str, ends: list[Half]
) -> Finding:
    half, mine = taken_by
    theirs = ", ".join(f"{h.interface} ({', '.join(h.ipv4)})" for h in ends)
    device = mine.ndev or half.interface
    wanted = ", ".join(str(a) for h in ends for a in beside(h, half))
    return fail(
        f"{half.hca} takes GID {mine} of {device}, in no subnet of {peer}'s {theirs}:"
        " ibv_modify_qp ends in errno 110, or hangs",
        Evidence(f"the GID of {wanted}", str(mine),
                 f"/sys/class/infiniband/{half.hca}/ports/1/gids/{mine.index}"),
        Remedy(
            "NCCL takes the first RoCE v2 GID of an IPv4 address: take the other address off"
            f" {device} and out of its network file, or set NCCL_IB_ADDR_RANGE to the fabric's",
            (f"sudo ip address del {_with_prefix(view, name, device, mine)} dev {device}",),
        ),
    )  # fmt: skip


def _with_prefix(view: View, name: str, device: str, mine: Gid) -> str:
    net = known(view.facts(name).net).get(device)
    had = (a for a in (net["ipv4"] if net else ()) if a.partition("/")[0] == mine.ipv4)
    return next(had, f"{mine.ipv4}/32")


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
