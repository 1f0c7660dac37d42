"""The TCP ports that the cluster requires on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known
from sparkctl.inventory.validate import worker_range
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.groups import Listener

LISTENING = "/proc/net/tcp"
# Ray starts a worker for each of GB10's 20 cores before any is requested, and more later
# (Ray 2.60, src/ray/raylet/worker_pool.cc); each listens on a port of its own.
WORKERS = 32


def ports(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No other program has the ports of Ray and of the engine."""
    required = required_ports(snapshot, name)
    taken = [o for o in _others(snapshot, name) if o.port in required]
    for owner in taken:
        setting, program = required[owner.port], _owner(owner)
        # A key of the inventory is a path; another name is a flag that sparkctl sets itself.
        moved = f" if it is not needed, or set {setting} to a free port" if "." in setting else ""
        yield fail(
            f"port {owner.port} ({setting}) is taken by {program}",
            Evidence("free, or this cluster's", program, LISTENING),
            Remedy(
                f"end that process{moved}",
                (f"sudo ss -tlnp 'sport = :{owner.port}'",),
            ),
            code="port-taken",
            data={"port": owner.port, "setting": setting, "pid": owner.pid, "uid": owner.uid},
        )
    if not taken:
        listed = ", ".join(map(str, sorted(required)))
        yield ok(
            f"ports {listed} are free or this cluster's" if required else "no fixed port required"
        )


def worker_ports(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Ray's workers have enough free ports in their range."""
    low, high = worker_range(snapshot.inventory)
    taken = {o.port: o for o in _others(snapshot, name) if low <= o.port <= high}
    free = high - low + 1 - len(taken)
    if free >= WORKERS:
        yield ok(f"{free} of the ports {low} to {high} are free or used by this cluster")
        return
    listed = ", ".join(f"{port} ({_owner(o)})" for port, o in sorted(taken.items())[:3]) or "none"
    yield warn(
        f"{free} ports from {low} to {high} are free for Ray's workers;"
        f" one worker a core requires {WORKERS}",
        Evidence(f"{WORKERS} free ports", f"{free} free, taken: {listed}", LISTENING),
        Remedy("widen ray.min_worker_port to ray.max_worker_port, or end what listens there"),
        code="few-worker-ports",
        data={"first": low, "last": high, "expected": WORKERS, "got": free},
    )


def _others(snapshot: Snapshot, name: str) -> list[Listener]:
    """The listeners on the cluster's ports that are not the cluster's."""
    return [o for o in known(snapshot.facts(name).ports) if o.cluster != snapshot.inventory.cluster]


def _owner(owner: Listener) -> str:
    user = f"{owner.user} (uid {owner.uid})" if owner.user else f"uid {owner.uid}"
    if owner.pid is None or owner.command is None:
        return f"a process of {user}"
    return f"pid {owner.pid} of {user}: {command_line(owner.command, 120)}"


def api_port(snapshot: Snapshot) -> str:
    """The inventory's key for the API's port."""
    return f"{snapshot.inventory.key}.port"


def required_ports(snapshot: Snapshot, name: str) -> dict[int, str]:
    """The ports that a node listens on, with the inventory's keys for them."""
    ray, is_head = snapshot.inventory.ray, name == snapshot.inventory.head.name
    keys: dict[str, int | None] = {}
    if not applies.ray(snapshot):
        keys["ray.node_manager_port"] = ray.node_manager_port
        keys["ray.object_manager_port"] = ray.object_manager_port
        if is_head:
            keys |= {"ray.port": ray.port, "ray.dashboard_port": ray.dashboard_port}
    if is_head:
        keys |= snapshot.engine.ports(snapshot.inventory)
    if is_head and not applies.api(snapshot):
        keys[api_port(snapshot)] = snapshot.inventory.vllm.port
    return {port: key for key, port in keys.items() if port is not None}


CHECKS = (
    Check("ports.free", "node", ports, preflight=True),
    Check("ports.workers", "node", worker_ports, lacks=applies.ray),
)
