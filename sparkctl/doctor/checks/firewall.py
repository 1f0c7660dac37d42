"""Whether the ports of Ray can be reached over the fabric."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor import applies, routes
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.ports import api_port, required_ports
from sparkctl.doctor.connects import WORKERS, Way, tries
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown
from sparkctl.doctor.firewall_remedy import remedy
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Unread
from sparkctl.inventory.validate import worker_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.connects import Tries
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.peeranswers import Connect


def open_ports(snapshot: Snapshot, name: str) -> dict[int, str]:
    """The ports of a node that others connect to over the fabric, with the inventory's keys."""
    ports = required_ports(snapshot, name).items()
    # The dashboard is on its node's loopback; the API is asked at the node's host, see running.api.
    local = ("ray.dashboard_port", api_port(snapshot))
    found = {port: key for port, key in ports if key not in local}
    return found if applies.ray(snapshot) else {**found, _worker_port(snapshot, name): WORKERS}


def _worker_port(snapshot: Snapshot, name: str) -> int:
    """A port of Ray's workers: one that they listen on, else the first that nobody else has."""
    low, high = worker_range(snapshot.inventory)
    listeners = snapshot.facts(name).ports
    among = () if isinstance(listeners, Unread) else listeners
    owners = {o.port: o.cluster for o in among if low <= o.port <= high}
    own = [port for port in sorted(owners) if owners[port] == snapshot.inventory.cluster]
    return next((p for p in (*own, *range(low, high + 1)) if p in own or p not in owners), low)


def firewall(snapshot: Snapshot, one: str, two: str) -> Iterator[Finding]:
    """The ports that Ray needs can be reached over the fabric."""
    for source, target in ((one, two), (two, one)):
        yield from _reachable(snapshot, source, target)


def _reachable(snapshot: Snapshot, source: str, target: str) -> Iterator[Finding]:
    """By the first address that shows anything: the socket interface's, then the other half's."""
    found = tries(snapshot, source, target)
    ways = [(connect, found.way(connect)) for connect in found.connects]
    shown: dict[int, tuple[Connect, Way]] = {}
    for connect, way in ways:
        if way in (Way.ARRIVED, Way.BLOCKED):
            shown.setdefault(connect.port, (connect, way))
    for connect, way in shown.values():
        if way is Way.BLOCKED:
            yield _blocked(snapshot, source, connect, found.listening.get(connect.port))
    astray = dict.fromkeys(c.address for c, way in ways if way is Way.MISLED)
    for address in astray:
        yield _no_route(snapshot, source, target, address)
    lost = [c for c, way in ways if way is Way.SILENT and c.port not in shown]
    if lost and not astray:
        yield _silent(found, lost)
    if untried := found.untried(open_ports(snapshot, target)):
        yield _untried(source, target, untried, some=bool(found.connects))
    elif not lost and all(way is Way.ARRIVED for _, way in shown.values()) and shown:
        yield _reached(found, [c for c, _ in shown.values()])


def _blocked(snapshot: Snapshot, source: str, connect: Connect, listener: str | None) -> Finding:
    place, target = f"{connect.address}:{connect.port}", connect.to
    got = connect.error or ""
    if connect.refused:
        got = f"refused, though {listener} listens"
    elif connect.errno is not None:
        got = f"{got}, though the route and the path exist: rejected by ICMP"
    own = routes.interfaces(snapshot, target, connect.address).values()
    network = next((str(IPv4Interface(a).network) for a in own), f"{connect.address}/32")
    return fail(
        f"{source} cannot reach {connect.what} at {place}: {got}",
        Evidence(
            "a connection, or a refusal by the node itself",
            got,
            f"connect from {source} to {place}",
        ),
        remedy(snapshot, target, network, worker_range(snapshot.inventory)),
        node=target,
        code="port-blocked",
        data={"peer": source, "address": connect.address, "port": connect.port, "got": got},
    )


def _no_route(snapshot: Snapshot, source: str, target: str, address: str) -> Finding:
    """The source's fault, however many of the target's ports it hides."""
    route = routes.route(snapshot, source, address)
    own = routes.interfaces(snapshot, source, address)
    taken = route.interface if route else None
    got = f"a route over {taken}" if taken else "no route"
    expected = f"a route over {' or '.join(own)}" if own else "a route"
    over = f" over {' or '.join(own)}" if own else ""
    text = "restore the route, and apply the network's configuration so that it is kept"
    commands: tuple[str, ...] = ()
    if len(own) == 1:
        ((interface, assigned),) = own.items()
        itself = IPv4Interface(assigned)
        change = ("sudo", "ip", "route", "replace", str(itself.network), "dev", interface)
        commands = (command(*change, "scope", "link", "src", str(itself.ip)),)
    return fail(
        f"no route to {target} ({address}){over}",
        Evidence(expected, got, command("ip", "route", "get", address)),
        Remedy(text, commands),
        node=source,
        code="no-route",
        data={"peer": target, "address": address, "interfaces": [*own], "taken": taken},
    )


def _silent(found: Tries, lost: Sequence[Connect]) -> Finding:
    """Nothing shows whether a firewall drops. Where pings show it, fabric.ping has the cause."""
    source, target = found.source, found.target
    addresses = list(dict.fromkeys(c.address for c in lost))
    ports = [str(port) for port in sorted({c.port for c in lost})]
    where = ", ".join(addresses)
    data = {"peer": source, "addresses": addresses, "ports": ports}
    if any(p.address in addresses for p in found.pings):
        text = f"whether ports {', '.join(ports)} are open is unknown: {where} loses packets"
        return unknown(f"{text}, see fabric.ping", node=target, code="path-lossy", data=data)
    route = routes.route(found.snapshot, source, addresses[0])
    state = f"neighbour {route.neighbour}" if route and route.neighbour else lost[0].error or ""
    return fail(
        f"{target} does not answer at {where}",
        Evidence("an answer", state, command("ip", "neighbour", "show", "to", addresses[0])),
        Remedy(f"check the link between {source} and {target}, and the address"),
        node=source,
        code="host-unreachable",
        data={**data, "peer": target},
    )


def _untried(source: str, target: str, ports: Sequence[int], *, some: bool) -> Finding:
    listed = [*map(str, ports)]
    why = "" if some else ": no address is known that usable halves of both share"
    text = f"ports not tried from {source}: {', '.join(listed)}{why}"
    data = {"peer": source, "ports": listed}
    return unknown(text, node=target, code="ports-not-tried", data=data)


def _reached(found: Tries, connects: Sequence[Connect]) -> Finding:
    ports = [str(c.port) for c in connects]
    addresses = list(dict.fromkeys(c.address for c in connects))
    by = f" by {', '.join(addresses)}" if found.used and addresses != [found.used] else ""
    noun = "port" if len(ports) == 1 else "ports"
    text = f"reached from {found.source} on {noun} {', '.join(ports)}{by}"
    data = {"peer": found.source, "ports": ports, "addresses": addresses}
    return ok(text, node=found.target, data=data)


CHECKS = (Check("host.firewall", "pair", firewall, needs=(Source.PEERS,), preflight=True),)
