"""What two nodes' halves must have in common, and whether packets really pass between them."""

from __future__ import annotations

from collections.abc import Iterator

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.view import View
from sparkctl.fabric.pairing import check_pairing
from sparkctl.node.peers import REFUSED


def pairing(view: View, one: str, two: str) -> Iterator[Finding]:
    """The chosen halves of two nodes fit: as many HCAs, the sockets' interfaces in one subnet."""
    choices = {name: view.choice(name) for name in (one, two)}
    problems = check_pairing(choices)
    for name, problem in problems:
        yield fail(
            problem,
            Evidence("the same halves in the same subnets", problem, f"{one} and {two}"),
            Remedy(
                "give each half of the cable a subnet of its own, the same on every node, or name"
                " that node's fabric.interfaces"
            ),
            node=name,
        )
    if not problems:
        yield ok(f"the halves of {one} and {two} fit", node=two)


def ping(view: View, one: str, two: str) -> Iterator[Finding]:
    """A packet as large as the MTU passes unfragmented on each half, in both directions."""
    found = 0
    for source, target in ((one, two), (two, one)):
        for sent in view.source("peers", source)["pings"]:
            if sent["to"] != target:
                continue
            found += 1
            if sent["error"] is None:
                continue
            yield fail(
                f"packets of {sent['size'] + 28} bytes do not pass from {sent['interface']} to"
                f" {target} ({sent['address']})",
                Evidence("an answer", sent["error"],
                         f"ping -M do -s {sent['size']} -I {sent['interface']} {sent['address']}"),
                Remedy(
                    f"when `ping {sent['address']}` works, an MTU on the way is smaller: make it"
                    " the same at both ends (and on the switch); else the cable or the address"
                ),
                node=source,
            )  # fmt: skip
    usable = [any(h.usable for h in view.halves(name)) for name in (one, two)]
    if not all(usable):
        yield unknown("a node has no half that could send", node=two)
    elif not found:
        yield fail(
            f"no half of {one} shares a subnet with one of {two}",
            Evidence("a common subnet on each half", "none", "ip address on both nodes"),
            Remedy("give both ends of each half addresses in one subnet"),
            node=two,
        )
    else:
        yield ok(f"{found} pings at full MTU between {one} and {two}", node=two)


def firewall(view: View, one: str, two: str) -> Iterator[Finding]:
    """The ports that Ray and vLLM need can be reached over the fabric."""
    for source, target in ((one, two), (two, one)):
        tried = [c for c in view.source("peers", source)["connects"] if c["to"] == target]
        blocked = [c for c in tried if c["error"] not in (None, REFUSED)]
        for connect in blocked:
            place = f"{connect['address']}:{connect['port']}"
            yield fail(
                f"{source} cannot reach {connect['what']} at {place}: {connect['error']}",
                Evidence("a connection, or a refusal by the node itself", connect["error"],
                         f"connect from {source} to {place}"),
                Remedy(
                    f"let everything from the fabric's subnets in on {target}: Ray's workers use"
                    " ports 10002 to 19999 as well",
                    (f"sudo ufw allow from {source_address(view, source)}",),
                ),
                node=target,
            )  # fmt: skip
        if tried and not blocked:
            ports = ", ".join(str(c["port"]) for c in tried)
            yield ok(f"reached from {source} on ports {ports}", node=target)


def source_address(view: View, name: str) -> str:
    """A node's own address on the fabric."""
    return view.choice(name).address


CHECKS = (
    Check("fabric.pairing", "pair", pairing, preflight=True),
    Check("fabric.ping", "pair", ping, needs=(Source.PEERS,), preflight=True),
    Check("host.firewall", "pair", firewall, needs=(Source.PEERS,), preflight=True),
)
