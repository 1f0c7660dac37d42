"""Ray's own table: its nodes with their GPUs, and the placement groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source, per_node
from sparkctl.doctor.checks.running import RAY, idle
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import RESTART, Remedy
from sparkctl.facts.answers import Failed, RayTable
from sparkctl.facts.unread import known
from sparkctl.plan.recorded import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.answers import RayGroup, RayNode

WAITING = ("PENDING", "RESCHEDULING")  # states of placement groups, Ray 2.60
NODES = "ray.nodes()"


def ray(snapshot: Snapshot) -> Iterator[Finding]:
    """Ray lists every node alive, by its fabric address, with its GPUs."""
    if nothing := idle(snapshot, RAY):
        yield nothing
        return
    head = snapshot.inventory.head.name
    answer = snapshot.seen(snapshot.looks.ray, head)
    if isinstance(answer, RayTable):
        alive = {n.address: n for n in answer.nodes if n.alive}
        yield from per_node(snapshot, lambda name: [_ray_node(snapshot, name, alive)])
        yield from _waiting(answer.groups, head)
    elif isinstance(answer, Failed):
        yield fail(
            f"Ray does not answer: {answer.error}",
            Evidence("Ray's node table", answer.error, f"ray.init on {head}"),
            Remedy("restart the cluster", RESTART),
            node=head,
            code="no-answer",
            data={"error": answer.error},
        )


def _ray_node(snapshot: Snapshot, name: str, alive: Mapping[str, RayNode]) -> Finding:
    address, gpus = _address(snapshot, name), snapshot.inventory.gpus_of(snapshot.node(name))
    interfaces = {
        own.partition("/")[0]: interface
        for interface, net in known(snapshot.facts(name).net).items()
        for own in net.ipv4
    }
    # Ray lists a raylet that died for another quarter of a minute, with the one that replaced it.
    joined = (a for a in alive if a != address and interfaces.get(a, "lo") != "lo")
    listed = [*alive]
    evidence = Evidence(f"{address}, alive", ", ".join(listed) or "no node", NODES)
    restart = Remedy(
        "restart the cluster, so that the node joins by the fabric; its Ray log shows why it did"
        " not",
        (*RESTART, f"sparkctl logs ray {name}"),
    )
    if (other := next(joined, None)) is not None:
        return fail(
            f"the node joined Ray by {other} ({interfaces[other]}) and not by its fabric address"
            f" {address}; tensor parallelism uses that network",
            evidence,
            restart,
            node=name,
            code="other-address",
            data={"expected": address, "got": other, "interface": interfaces[other]},
        )
    if address not in alive:
        return fail(
            f"Ray does not list {address} as alive",
            evidence,
            restart,
            node=name,
            code="not-alive",
            data={"expected": address, "got": listed},
        )
    return _gpus(name, alive[address], gpus)


def _address(snapshot: Snapshot, name: str) -> str:
    """The fabric address of a node that Ray was started with; without a record, that of now."""
    view, units = snapshot.inventory.views[0], snapshot.observed.recorded
    own = addresses(view, units, snapshot.all_facts) if units else {}
    return next(iter(own.get(name, ())), "") or snapshot.choice(name).address


def _gpus(name: str, found: RayNode, expected: int) -> Finding:
    if found.gpus < expected:
        return fail(
            f"Ray counts {found.gpus:g} of {expected} GPUs",
            Evidence(str(expected), f"{found.gpus:g}", NODES),
            Remedy("run `nvidia-smi` on the node, or correct ray.num_gpus", RESTART),
            node=name,
            code="gpus-missing",
            data={"expected": expected, "got": found.gpus},
        )
    return ok(f"alive at {found.address} with {found.gpus:g} GPU", node=name)


def _waiting(groups: Iterable[RayGroup], head: str) -> Iterator[Finding]:
    """Placement groups that wait: vLLM's log does not show what for."""
    for group in groups:
        if group.state not in WAITING:
            continue
        yield warn(
            f"a placement group of {len(group.bundles)} bundles is {group.state}; Ray has too few"
            " free GPUs for vLLM",
            Evidence("CREATED", group.state, "ray.util.placement_group_table()"),
            Remedy(
                "look for a node that did not join in the other findings of running.ray, and for"
                " another job on this Ray that holds GPUs",
                RESTART,
            ),
            node=head,
            code="placement-group-waits",
            data={"state": group.state, "bundles": len(group.bundles)},
        )


CHECKS = (Check("running.ray", "cluster", ray, needs=(Source.RAY,), lacks=applies.ray),)
