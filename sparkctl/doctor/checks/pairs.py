"""What two nodes' halves must have in common, and whether packets pass between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.cabling import faces_only_others, facing, known_halves, wiring
from sparkctl.doctor.checks.firewall import firewall
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import reachable
from sparkctl.fabric.selection import check_pairing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.fabric.topology import Half
    from sparkctl.facts.answers import Ping

HEADERS = 28  # bytes of IPv4 and ICMP headers in a ping, ping(8)


def pairing(snapshot: Snapshot, one: str, two: str) -> Iterator[Finding]:
    """The chosen halves of two nodes fit: as many HCAs, facing each other, the sockets' interfaces
    in one subnet.
    """
    choices = {name: snapshot.choice(name) for name in (one, two)}
    others = [n for n in snapshot.reached if known_halves(snapshot, n)]
    among = {n: snapshot.choice(n) for n in others if snapshot.choice_error(n) is None}
    mismatches = check_pairing(choices, among)
    for mismatch in mismatches:
        yield fail(
            mismatch.text,
            Evidence("the same halves in the same subnets", mismatch.text, f"{one} and {two}"),
            Remedy(
                "give each half of the cable a subnet of its own, the same on every node, or set"
                " that node's fabric.interfaces; in a ring of three no half reaches both others:"
                " set a management interface, and all four HCAs in fabric.hcas"
            ),
            node=mismatch.node,
            code=mismatch.code,
            data=mismatch.data,
        )
    fit = not mismatches
    if len(choices[one].hcas) == len(choices[two].hcas) > 0:
        for finding in facing(snapshot, wiring(snapshot), one, two, quiet=not fit):
            fit = False
            yield finding
    if fit:
        yield ok(f"the halves of {one} and {two} fit", node=two)


def ping(snapshot: Snapshot, one: str, two: str) -> Iterator[Finding]:
    """A packet as large as the MTU passes unfragmented on each half, in both directions."""
    ways = ((one, two), (two, one))
    sent = {source: _pings(snapshot, source, target) for source, target in ways}
    count = sum(map(len, sent.values()))
    lost = [_lost(source, tried) for source in sent for tried in sent[source] if _failed(tried)]
    yield from lost
    silent = [
        way for source, target in ways for way in _silent(snapshot, source, target, sent[source])
    ]
    if count == 0 and (finding := _nothing_sent(snapshot, one, two, silent=bool(silent))):
        yield finding
        return
    for source, target, half in silent:
        yield _not_pinged(snapshot, source, target, half, sent[source])
    if not silent and not lost:
        yield ok(f"{count} pings at full MTU between {one} and {two}", node=two)


def _pings(snapshot: Snapshot, source: str, target: str) -> list[Ping]:
    return [p for p in snapshot.seen(snapshot.looks.peers, source).pings if p.to == target]


def _failed(tried: Ping) -> bool:
    return tried.problem is None and tried.error is not None


def _silent(
    snapshot: Snapshot, source: str, target: str, pings: Sequence[Ping]
) -> Iterator[tuple[str, str, Half]]:
    """The halves that a ping could not be sent from, unless they face other nodes alone."""
    problems = {tried.interface for tried in pings if tried.problem is not None}
    pinged = {tried.interface for tried in pings} - problems
    cage = snapshot.cage(source)
    for half in snapshot.halves(source):
        expected = half in cage or half.interface in problems
        if half.interface in pinged or not expected:
            continue
        if not faces_only_others(snapshot, source, target, half):
            yield source, target, half


def _nothing_sent(snapshot: Snapshot, one: str, two: str, *, silent: bool) -> Finding | None:
    if not silent:
        text = f"no cable connects {one} and {two}, so no ping was sent"
        return info(text, node=two, code="no-cable", data={"peer": one})
    if not all(any(half.usable for half in snapshot.halves(name)) for name in (one, two)):
        return None
    return fail(
        f"no half of {one} shares a subnet with one of {two}",
        Evidence("a common subnet on each half", "none", "ip address on both nodes"),
        Remedy("give both ends of each half addresses in one subnet"),
        node=two,
        code="no-common-subnet",
        data={"peer": one},
    )


def _not_pinged(
    snapshot: Snapshot, source: str, target: str, half: Half, pings: Sequence[Ping]
) -> Finding:
    problems = (p.problem for p in pings if p.interface == half.interface and p.problem)
    reason = next(problems, None) or _why_not(snapshot, half, target)
    return unknown(
        f"no ping from {half.interface} to {target}: {reason}",
        node=source,
        code="not-pinged",
        data={"interface": half.interface, "peer": target},
    )


def _why_not(snapshot: Snapshot, half: Half, target: str) -> str:
    """Why doctor/collect.py had nothing to send from a half."""
    if not half.usable:
        return "it is not ACTIVE" if not half.active else "it has no IPv4 address"
    facing_halves = [h for h in snapshot.halves(target) if reachable(half, h)]
    if not facing_halves:
        return "no half there has an address in its subnet"
    end = facing_halves[0]
    return f"{end.interface} there is not ACTIVE" if not end.usable else "it was not sent"


def _lost(source: str, tried: Ping) -> Finding:
    address, interface, size = tried.address, tried.interface, tried.size
    return fail(
        f"packets of {size + HEADERS} bytes do not pass from {interface} to {tried.to} ({address})",
        Evidence("an answer", tried.error or "", f"ping -M do -s {size} -I {interface} {address}"),
        Remedy(
            f"if `ping {address}` works, an MTU on the path is smaller: make it the same at both"
            " ends (and on the switch); else check the cable and the address"
        ),
        node=source,
        code="packets-lost",
        data={"interface": interface, "peer": tried.to, "address": address, "size": size},
    )


CHECKS = (
    Check("fabric.pairing", "pair", pairing, preflight=True),
    Check("fabric.ping", "pair", ping, needs=(Source.PEERS,), preflight=True),
    Check("host.firewall", "pair", firewall, needs=(Source.PEERS,), preflight=True),
)
