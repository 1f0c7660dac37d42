"""What two nodes' halves must have in common, and whether packets really pass between them."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.cabling import elsewhere, facing, wiring
from sparkctl.doctor.checks.ports import required_ports
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import beside
from sparkctl.fabric.selection import check_pairing
from sparkctl.facts.unread import known
from sparkctl.node.peers import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.topology import Half

WORKER_PORT = 10002  # the first that Ray gives its workers (Ray 2.60, read and run)


def open_ports(view: View, name: str) -> dict[int, str]:
    """What others connect to on a node; the dashboard is on its loopback."""
    ports = {p: key for p, key in required_ports(view, name).items() if key != "ray.dashboard_port"}
    return {**ports, WORKER_PORT: "Ray's workers"}


def pairing(view: View, one: str, two: str) -> Iterator[Finding]:
    """The chosen halves of two nodes fit: as many HCAs, facing each other, the sockets' interfaces
    in one subnet.
    """
    choices = {name: view.choice(name) for name in (one, two)}
    mismatches = check_pairing(choices)
    for mismatch in mismatches:
        yield fail(
            mismatch.text,
            Evidence("the same halves in the same subnets", mismatch.text, f"{one} and {two}"),
            Remedy(
                "give each half of the cable a subnet of its own, the same on every node, or name"
                " that node's fabric.interfaces; in a ring of three no half reaches both others:"
                " name a management interface, and all four HCAs in fabric.hcas"
            ),
            node=mismatch.node,
        )
    amiss = bool(mismatches)
    if len(choices[one].hcas) == len(choices[two].hcas) > 0:
        for finding in facing(view, wiring(view), one, two, quiet=amiss):
            amiss = True
            yield finding
    if not amiss:
        yield ok(f"the halves of {one} and {two} fit", node=two)


def ping(view: View, one: str, two: str) -> Iterator[Finding]:
    """A packet as large as the MTU passes unfragmented on each half, in both directions."""
    both = ((one, two), (two, one))
    sent = {a: _pings(view, a, b) for a, b in both}
    for source, pings in sent.items():
        for tried in pings:
            if _told(tried) and tried.error is not None:
                yield _lost(source, tried)
    ways = [(a, b, half) for a, b in both for half in view.cage(a)]
    silent = [(a, b, h) for a, b, h in ways if not any(_of(p, h) and _told(p) for p in sent[a])]
    silent = [way for way in silent if not elsewhere(view, *way)]
    passed = [p for pings in sent.values() for p in pings if _told(p) and p.error is None]
    if not any(sent.values()) and not silent:
        yield info(f"no cable joins {one} and {two}, so there is nothing to send", node=two)
        return
    if not any(sent.values()) and all(_usable(view, name) for name in (one, two)):
        yield fail(
            f"no half of {one} shares a subnet with one of {two}",
            Evidence("a common subnet on each half", "none", "ip address on both nodes"),
            Remedy("give both ends of each half addresses in one subnet"),
            node=two,
        )
        return
    for source, target, half in silent:
        why = next((p.problem for p in sent[source] if _of(p, half)), None)
        why = why or _why_not(view, half, target)
        yield unknown(f"no ping from {half.interface} to {target}: {why}", node=source)
    if not silent and len(passed) == sum(map(len, sent.values())):
        yield ok(f"{len(passed)} pings at full MTU between {one} and {two}", node=two)


def _pings(view: View, source: str, target: str) -> list[dict[str, Any]]:
    return [p for p in view.seen(view.looks.peers, source).pings if p.to == target]


def _of(sent: dict[str, Any], half: Half) -> bool:
    return bool(sent.interface == half.interface)


def _told(sent: dict[str, Any]) -> bool:
    """Whether ping(8) ran at all."""
    return sent.get("problem") is None


def _usable(view: View, name: str) -> bool:
    return any(half.usable for half in view.halves(name))


def _why_not(view: View, half: Half, target: str) -> str:
    """Why doctor/collect.py had nothing to send from a half."""
    if not half.usable:
        return "it is not ACTIVE" if not half.active else "it has no IPv4 address"
    found = [h for h in view.halves(target) if beside(half, h)]
    if not found:
        return "no half there has an address in its subnet"
    return f"{found[0].interface} there is not ACTIVE" if not found[0].usable else "it was not sent"


def _lost(source: str, tried: dict[str, Any]) -> Finding:
    address, interface, size = tried.address, tried.interface, tried.size
    return fail(
        f"packets of {size + 28} bytes do not pass from {interface} to {tried.to} ({address})",
        Evidence("an answer", tried.error, f"ping -M do -s {size} -I {interface} {address}"),
        Remedy(
            f"when `ping {address}` works, an MTU on the way is smaller: make it the same at both"
            " ends (and on the switch); else the cable or the address"
        ),
        node=source,
    )


def firewall(view: View, one: str, two: str) -> Iterator[Finding]:
    """The ports that Ray and vLLM need can be reached over the fabric."""
    for source, target in ((one, two), (two, one)):
        tried = [c for c in view.seen(view.looks.peers, source).connects if c.to == target]
        ours = _listened(view, target)
        rejected = [c for c in tried if c.error == REFUSED and c.port in ours]
        dropped = [c for c in tried if c.error not in (None, REFUSED)]
        for connect in rejected:
            said = f"refused, though pid {ours[connect.port]} listens"
            yield _blocked(view, source, connect, said)
        for connect in dropped:
            yield _blocked(view, source, connect, connect.error)
        if silent := set(open_ports(view, target)) - {c.port for c in tried}:
            listed = ", ".join(map(str, sorted(silent)))
            why = "" if tried else f": the fabric of {source} or {target} is not known"
            yield unknown(f"not tried from {source}: ports {listed}{why}", node=target)
        elif not rejected and not dropped:
            ports = ", ".join(str(c.port) for c in tried)
            yield ok(f"reached from {source} on ports {ports}", node=target)


def _listened(view: View, name: str) -> dict[int, int]:
    """The ports that Ray and vLLM of ours listen on for other nodes, and their pids."""
    cluster, vllm = view.inventory.cluster, view.inventory.vllm
    owners = [o for o in known(view.facts(name).ports) if o.cluster == cluster]
    everywhere = vllm.host in ("0.0.0.0", "::")
    return {o.port: o.pid for o in owners if everywhere or o.port != vllm.port}


def _blocked(view: View, source: str, connect: dict[str, Any], said: str) -> Finding:
    place, target = f"{connect.address}:{connect.port}", connect.to
    return fail(
        f"{source} cannot reach {connect.what} at {place}: {said}",
        Evidence("a connection, or a refusal by the node itself", said,
                 f"connect from {source} to {place}"),
        Remedy(
            f"let everything from the fabric's subnets in on {target}: Ray's workers use"
            " ports 10002 to 19999 as well",
            (f"sudo ufw allow from {IPv4Interface(view.choice(target).addresses[0]).network}",),
        ),
        node=target,
    )  # fmt: skip


CHECKS = (
    Check("fabric.pairing", "pair", pairing, preflight=True),
    Check("fabric.ping", "pair", ping, needs=(Source.PEERS,), preflight=True),
    Check("host.firewall", "pair", firewall, needs=(Source.PEERS,), preflight=True),
)
