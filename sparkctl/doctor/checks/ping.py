"""Whether packets pass between two nodes' halves, and whether any are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.cabling import faces_only_others
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.doctor.routes import no_way_back
from sparkctl.fabric.cabling import reachable
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.topology import Half
    from sparkctl.facts.peeranswers import Ping

HEADERS = 28  # bytes of IPv4 and ICMP headers in a ping, ping(8)
# A healthy link loses none, so the first is a warning. RoCE repeats all that follows a lost packet,
# so that few percent leave a fraction of the speed; one packet alone proves no rate.
FAIL_PERCENT, FAIL_PACKETS = 5, 2


def ping(snapshot: Snapshot, one: str, two: str) -> Iterator[Finding]:
    """A packet as large as the MTU passes unfragmented on each half, in both directions."""
    ways = ((one, two), (two, one))
    sent = {source: _pings(snapshot, source, target) for source, target in ways}
    found = [
        f for source in sent for tried in sent[source] if (f := _lossy(snapshot, source, tried))
    ]
    yield from found
    silent = [
        way for source, target in ways for way in _silent(snapshot, source, target, sent[source])
    ]
    nothing = not any(sent.values())
    if nothing and (finding := _nothing_sent(snapshot, one, two, silent=bool(silent))):
        yield finding
        return
    for source, target, half in silent:
        yield _not_pinged(snapshot, source, target, half, sent[source])
    if not silent and not found:
        packets = sum(tried.sent or 0 for source in sent for tried in sent[source])
        text = f"{packets} pings at full MTU between {one} and {two}, none lost"
        yield ok(text, node=two, data={"peer": one, "sent": packets, "received": packets})


def _pings(snapshot: Snapshot, source: str, target: str) -> list[Ping]:
    return [p for p in snapshot.seen(snapshot.looks.peers, source).pings if p.to == target]


def _all_lost(tried: Ping) -> bool:
    """Whether pings were sent and none was answered."""
    unanswered = tried.error is not None or (bool(tried.sent) and tried.received == 0)
    return tried.problem is None and unanswered


def _unsent(tried: Ping) -> str | None:
    """Why it shows nothing about the path."""
    unread = not tried.sent or tried.received is None
    if tried.problem is None and tried.error is None and unread:
        return "ping's statistics could not be read"
    return tried.problem


def _silent(
    snapshot: Snapshot, source: str, target: str, pings: Sequence[Ping]
) -> Iterator[tuple[str, str, Half]]:
    """The halves that a ping could not be sent from, unless they face other nodes alone."""
    problems = {tried.interface for tried in pings if _unsent(tried) is not None}
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
    problems = (_unsent(p) for p in pings if p.interface == half.interface)
    reason = next(filter(None, problems), None) or _why_not(snapshot, half, target)
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


def _lossy(snapshot: Snapshot, source: str, tried: Ping) -> Finding | None:
    """What is wrong with a path by its pings, None if all were answered or none was sent."""
    if _unsent(tried) is not None:
        return None
    if _all_lost(tried):
        back = no_way_back(snapshot, source, tried.to, tried.address)
        return _no_way_back(source, tried, back) if back else _lost(source, tried)
    sent, received = tried.sent or 0, tried.received or 0
    return _some_lost(source, tried, sent, received) if received < sent else None


def _no_way_back(source: str, tried: Ping, address: str) -> Finding:
    """The peer's fault: it answers, and its answers go elsewhere."""
    return fail(
        f"no route back to {source} ({address}): its pings over {tried.interface} are not answered",
        Evidence("a route back", "none over this half", command("ip", "route", "get", address)),
        Remedy("restore the route, see host.firewall"),
        node=tried.to,
        code="no-route-back",
        data={"peer": source, "address": address},
    )


def _lost(source: str, tried: Ping) -> Finding:
    address, interface, size = tried.address, tried.interface, tried.size
    expected = counted(tried.sent, "answer") if tried.sent else "an answer"
    return fail(
        f"packets of {size + HEADERS} bytes do not pass from {interface} to {tried.to} ({address})",
        Evidence(expected, "none", _command(tried)),
        Remedy(
            f"if `ping {address}` works, an MTU on the path is smaller: make it the same at both"
            " ends (and on the switch); else check the cable, the address and the firewall"
        ),
        node=source,
        code="packets-lost",
        data=_data(tried),
    )


def _some_lost(source: str, tried: Ping, sent: int, received: int) -> Finding:
    lost = sent - received
    percent = round(100 * lost / sent, 1)
    serious = lost >= FAIL_PACKETS and percent >= FAIL_PERCENT
    way = f"between {tried.interface} and {tried.to} ({tried.address})"
    return (fail if serious else warn)(
        f"{lost} of {sent} packets ({percent:g} %) are lost {way}",
        Evidence("no lost packet", f"{received} of {sent} answered", _command(tried)),
        Remedy(
            "reseat or replace the cable of this half, and compare the counters of both ends; on a"
            " switch check the errors and the flow control (PFC, ECN) of both ports",
            (command("ip", "-s", "-s", "link", "show", "dev", tried.interface),),
        ),
        node=source,
        code="packet-loss",
        data={**_data(tried), "percent": percent},
    )


def _data(tried: Ping) -> Data:
    path = {"interface": tried.interface, "peer": tried.to, "address": tried.address}
    return {**path, "size": tried.size, "sent": tried.sent, "received": tried.received}


def _command(tried: Ping) -> str:
    bounds = f"-q -c {tried.sent or 50} -i 0.02 -M do -s {tried.size}"
    return command("ping", *bounds.split(), "-I", tried.interface, tried.address)


CHECKS = (Check("fabric.ping", "pair", ping, needs=(Source.PEERS,), preflight=True),)
