"""Whether the ports of Ray and vLLM can be reached over the fabric."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor.checks.ports import required_ports
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.answers import Connect

WORKER_PORT = 10002  # the first that Ray gives its workers (Ray 2.60, read and run)
ANYWHERE = ("0.0.0.0", "::")  # what a listener for other nodes binds to


def open_ports(snapshot: Snapshot, name: str) -> dict[int, str]:
    """The ports that others connect to on a node; the dashboard is on its loopback."""
    ports = {
        p: key for p, key in required_ports(snapshot, name).items() if key != "ray.dashboard_port"
    }
    return {**ports, WORKER_PORT: "Ray's workers"}


def firewall(snapshot: Snapshot, one: str, two: str) -> Iterator[Finding]:
    """The ports that Ray and vLLM need can be reached over the fabric."""
    for source, target in ((one, two), (two, one)):
        yield from _reachable(snapshot, source, target)


def _reachable(snapshot: Snapshot, source: str, target: str) -> Iterator[Finding]:
    tried = [c for c in snapshot.seen(snapshot.looks.peers, source).connects if c.to == target]
    blocked = _blocked_ports(snapshot, target, tried)
    for connect, got in blocked:
        yield _blocked(snapshot, source, connect, got)
    if untried := sorted(set(open_ports(snapshot, target)) - {c.port for c in tried}):
        ports = [*map(str, untried)]
        why = "" if tried else f": the fabric of {source} or {target} is unknown"
        text = f"ports not tried from {source}: {', '.join(ports)}{why}"
        data = {"peer": source, "ports": ports}
        yield unknown(text, node=target, code="ports-not-tried", data=data)
    elif not blocked:
        ports = [str(c.port) for c in tried]
        text = f"reached from {source} on ports {', '.join(ports)}"
        yield ok(text, node=target, data={"peer": source, "ports": ports})


def _blocked_ports(
    snapshot: Snapshot, target: str, tried: Sequence[Connect]
) -> list[tuple[Connect, str]]:
    """The connections that did not arrive, and what happened; first those refused though a
    process of the cluster listens.
    """
    listening = _listening(snapshot, target)
    failed = [c for c in tried if c.error is not None]
    refused = [c for c in failed if c.refused and c.port in listening]
    rejected = [(c, f"refused, though {listening[c.port]} listens") for c in refused]
    return rejected + [(c, c.error or "") for c in failed if not c.refused]


def _listening(snapshot: Snapshot, name: str) -> dict[int, str]:
    """The ports that the cluster's Ray and vLLM listen on for other nodes, and the process."""
    cluster, vllm = snapshot.inventory.cluster, snapshot.inventory.vllm
    owners = [o for o in known(snapshot.facts(name).ports) if o.cluster == cluster]
    everywhere = vllm.host in ANYWHERE
    shown = {o.port: f"pid {o.pid}" if o.pid else f"a process of {o.user}" for o in owners}
    return {port: who for port, who in shown.items() if everywhere or port != vllm.port}


def _blocked(snapshot: Snapshot, source: str, connect: Connect, got: str) -> Finding:
    place, target = f"{connect.address}:{connect.port}", connect.to
    network = IPv4Interface(snapshot.choice(target).addresses[0]).network
    return fail(
        f"{source} cannot reach {connect.what} at {place}: {got}",
        Evidence(
            "a connection, or a refusal by the node itself",
            got,
            f"connect from {source} to {place}",
        ),
        Remedy(
            f"accept everything from the fabric's subnets on {target}: Ray's workers use ports"
            " 10002 to 19999 as well",
            (f"sudo ufw allow from {network}",),
        ),
        node=target,
        code="port-blocked",
        data={"peer": source, "address": connect.address, "port": connect.port, "got": got},
    )
