"""Which GID NCCL selects on each HCA with the environment that `up` sets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.subnets import addressed
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import link_local, reachable, without_prefix
from sparkctl.fabric.gid import UNREAD, Gid, address_range, table, taken
from sparkctl.fabric.ncclparam import number
from sparkctl.fabric.topology import main_port
from sparkctl.facts.unread import Missing, known
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from ipaddress import IPv4Network

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.topology import Half

GID_INDEX, ADDRESS_RANGE = "NCCL_IB_GID_INDEX", "NCCL_IB_ADDR_RANGE"


def _table(snapshot: Snapshot, name: str, hca: str) -> tuple[list[Gid], str]:
    """The GIDs of an HCA's port, and their directory."""
    port_number, port = main_port(known(snapshot.facts(name).ib)[hca])
    return table(port.gids), f"/sys/class/infiniband/{hca}/ports/{port_number}/gids"


def gid(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Each HCA in use has a RoCE v2 GID of an IPv4 address; NCCL selects one in its peer's
    subnet.
    """
    for half in _used(snapshot, name):
        gids, where = _table(snapshot, name, half.hca)
        if any(g.usable for g in gids):
            yield _selected(snapshot, name, half)
        else:
            yield _no_usable(half, gids, where)
    for peer in snapshot.reached:
        if peer != name and (why := _unread(snapshot, peer)):
            text = f"whether NCCL's GIDs reach {peer} is unknown: {why}"
            yield unknown(text, code="peer-unread", data={"peer": peer})


def _unread(snapshot: Snapshot, peer: str) -> str:
    """Why a peer's halves are not known; empty if they are."""
    try:
        _used(snapshot, peer)
    except Missing as error:
        return error.message
    return ""


def _used(snapshot: Snapshot, name: str) -> list[Half]:
    hcas = snapshot.choice(name).hcas
    return [half for half in snapshot.halves(name) if half.hca in hcas]


def _no_usable(half: Half, gids: Sequence[Gid], where: str) -> Finding:
    listed = ", ".join(map(str, gids)) or "an empty table"
    data: Data = {"hca": half.hca, "interface": half.interface, "gids": [*map(str, gids)]}
    if any(g.kind == UNREAD and g.ipv4 for g in gids):
        return unknown(f"the types of {half.hca}'s GIDs could not be read: {listed}", data=data)
    return fail(
        f"{half.hca} has no RoCE v2 GID of an IPv4 address",
        Evidence("RoCE v2, IPv4-mapped", listed, where),
        Remedy("give its interface an IPv4 address; the GID follows at once"),
        code="no-usable-gid",
        data=data,
    )


def _nccl_gid(snapshot: Snapshot, name: str, half: Half) -> Gid | None:
    """The GID that NCCL selects with the environment that `up` sets; None if RoCE v2 over IPv4
    does not work with it.
    """
    table_of_half = _table(snapshot, name, half.hca)[0]
    found = taken(table_of_half, pinned_index(snapshot, name), selectable(snapshot, name))
    return found if found and found.usable else None


def _selected(snapshot: Snapshot, name: str, half: Half) -> Finding:
    """The address of the GID is in a subnet of the peers' halves, or of the VLAN they use."""
    mine = _nccl_gid(snapshot, name, half)
    if mine is None or mine.ipv4 is None:
        return _excluded(snapshot, name, half)
    facing = _facing(snapshot, name, half)
    for peer, ends in facing.items():
        if not any(_reaches(snapshot, peer, end, mine.ipv4) for end in ends):
            return _unreached(snapshot, name, half, mine, {peer: ends})
    data: Data = {"hca": half.hca, "index": mine.index, "address": mine.ipv4}
    if not facing and not _in(mine.ipv4, (addressed(snapshot, name)[half.interface],)):
        text = f"NCCL selects GID {mine} on {half.hca}; whether a peer is in its subnet is unknown"
        return unknown(text, code="peer-unknown", data=data)
    text = f"NCCL selects GID {mine} on {half.hca}"
    if link_local(half.ipv4):
        return info(
            f"{text}, which is link-local: see fabric.addresses", code="link-local", data=data
        )
    return ok(text, data=data)


def _excluded(snapshot: Snapshot, name: str, half: Half) -> Finding:
    """A usable GID is there, and the environment has NCCL select another."""
    if pinned_index(snapshot, name) is not None:
        return ok(f"{half.hca} has a usable GID; fabric.gid-index checks whether it is the pinned")
    value, origin = snapshot.effective(name)[ADDRESS_RANGE], snapshot.origin(name, ADDRESS_RANGE)
    usable = ", ".join(str(g) for g in _table(snapshot, name, half.hca)[0] if g.usable)
    return fail(
        f"{ADDRESS_RANGE}={quoted(value)} excludes every GID of {half.hca}: ibv_modify_qp fails"
        " with errno 22",
        Evidence(f"a GID in {quoted(value)}", usable, origin),
        Remedy("set it to a range of all halves' addresses, or remove it"),
        code="address-range",
        data={"hca": half.hca, "variable": ADDRESS_RANGE, "got": value, "origin": origin},
    )


def _facing(snapshot: Snapshot, name: str, half: Half) -> dict[str, list[Half]]:
    """The halves that a half faces, by node, as far as the other nodes are known."""
    known_peers = [p for p in snapshot.reached if p != name and not _unread(snapshot, p)]
    used = {peer: _used(snapshot, peer) for peer in known_peers}
    faced = {
        peer: [h for h in halves if reachable(half, h) and reachable(h, half)]
        for peer, halves in used.items()
    }
    return {peer: ends for peer, ends in faced.items() if ends}


def _reaches(snapshot: Snapshot, peer: str, half: Half, address: str) -> bool:
    """Whether an address is in a subnet of a peer's half, or of the interface of its GID.

    Raises Missing where the peer's GID cannot be known.
    """
    if _in(address, half.ipv4):
        return True
    selected = _nccl_gid(snapshot, peer, half)
    net = known(snapshot.facts(peer).net).get(selected.ndev or "") if selected else None
    return net is not None and _in(address, net.ipv4)


def _in(address: str, networks: Iterable[str]) -> bool:
    return any(IPv4Address(address) in IPv4Interface(n).network for n in networks)


def _unreached(
    snapshot: Snapshot, name: str, half: Half, mine: Gid, facing: Mapping[str, Sequence[Half]]
) -> Finding:
    ((peer, ends),) = facing.items()
    listed = ", ".join(f"{end.interface} ({', '.join(end.ipv4)})" for end in ends)
    device = mine.ndev or half.interface
    expected = ", ".join(str(address) for end in ends for address in reachable(end, half))
    net = known(snapshot.facts(name).net).get(device)
    own = (a for a in (net.ipv4 if net else ()) if without_prefix(a) == mine.ipv4)
    assigned = next(own, f"{mine.ipv4}/32")
    return fail(
        f"NCCL selects GID {mine} of {device} on {half.hca}, which is in no subnet of {peer}'s"
        f" {listed}: ibv_modify_qp fails with errno 110, or hangs",
        Evidence(
            f"the GID of {expected}",
            str(mine),
            f"{_table(snapshot, name, half.hca)[1]}/{mine.index}",
        ),
        Remedy(
            "NCCL selects the first RoCE v2 GID of an IPv4 address: remove this address from"
            f" {device} and its network file, or set {ADDRESS_RANGE} to the fabric's",
            (f"sudo ip address del {assigned} dev {device}",),
        ),
        code="gid-subnet",
        data={
            "hca": half.hca,
            "interface": device,
            "index": mine.index,
            "address": mine.ipv4,
            "peer": peer,
        },
    )


def pinned_index(snapshot: Snapshot, name: str) -> int | None:
    """The GID index that the environment pins; None if it pins none."""
    index = number(snapshot.effective(name).get(GID_INDEX, "-1"), default=-1)
    return index if index >= 0 else None


def selectable(snapshot: Snapshot, name: str) -> IPv4Network | None:
    """The addresses whose GIDs the environment has NCCL select; None for all."""
    return address_range(snapshot.effective(name).get(ADDRESS_RANGE, ""))


def gid_index(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A pinned index is that of a usable slot on every HCA in use."""
    pinned = pinned_index(snapshot, name)
    if pinned is None:
        yield ok(f"{GID_INDEX} is not pinned")
        return
    value, origin = snapshot.effective(name)[GID_INDEX], snapshot.origin(name, GID_INDEX)
    remedy = Remedy(f"remove {GID_INDEX} from {origin}: NCCL finds the slot")
    unusable = [hca for hca in snapshot.choice(name).hcas if not _fits(snapshot, name, hca, pinned)]
    for hca in unusable:
        gids, where = _table(snapshot, name, hca)
        found = taken(gids, pinned)
        got, errno = (f"holds {found}", 22) if found else ("is empty", 61)
        yield fail(
            f"{GID_INDEX}={quoted(value)}: slot {pinned} of {hca} {got}, and ibv_modify_qp fails"
            f" with errno {errno}",
            Evidence("a RoCE v2 GID of an IPv4 address", str(found or "none"), f"{where}/{pinned}"),
            remedy,
            code="pinned-gid-unusable",
            data={"hca": hca, "index": pinned, "errno": errno, "origin": origin},
        )
    if not unusable:
        yield warn(
            f"{GID_INDEX}={quoted(value)} is pinned; it fits now, but indexes move on a link flap",
            Evidence("unset", quoted(value), origin),
            remedy,
            code="pinned-gid",
            data={"index": pinned, "origin": origin},
        )


def _fits(snapshot: Snapshot, name: str, hca: str, pinned: int) -> bool:
    found = taken(_table(snapshot, name, hca)[0], pinned)
    return found is not None and found.usable


CHECKS = (
    Check("fabric.gid", "node", gid, preflight=True),
    Check("fabric.gid-index", "node", gid_index, preflight=True),
)
