"""The containers on a node: those that take the GPU's memory, and what a start has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies, boxes
from sparkctl.doctor.check import Check, per_node
from sparkctl.doctor.finding import Evidence, Finding, ok, warn
from sparkctl.doctor.remedy import Remedy, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.containers import Container

GIB = 2**30
NEVER = "no"  # the restart policy of a container without one
LIMIT = "memory"  # the flag


def memory(snapshot: Snapshot) -> Iterator[Finding]:
    """No limit of a container's memory is relied on: it does not bound the GPU on a GB10."""
    view = snapshot.inventory.views[0]
    if (limit := view.runtime.flags.get(LIMIT)) is not None:
        yield warn(
            f"{view.runtime_key}.flags {LIMIT} does not bound what the GPU takes on a GB10",
            Evidence("no limit", f"{limit}", f"{view.runtime_key}.flags"),
            Remedy(f"remove it; {snapshot.inventory.key}.arguments bounds the engine's share"),
            node=snapshot.inventory.head.name,
            code="memory-flag",
            data={"limit": f"{limit}"},
        )
    yield from per_node(snapshot, lambda name: _limited(snapshot, name))


def _limited(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    found = [(tool, c) for tool, c in _with_gpu(snapshot, name) if c.memory]
    for tool, container in found:
        size = f"{container.memory / GIB:.1f} GiB"
        yield warn(
            f"the limit of container {container.name} ({size}) does not bound what the GPU takes"
            " on a GB10",
            Evidence("no limit", size, _shown(tool, container)),
            Remedy("bound the program in it by its own options"),
            node=name,
            code="memory-limit",
            data=_data(tool, container),
        )
    if not found:
        yield ok("no container with the GPU has a limit of memory", node=name)


def restart(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No container with the GPU restarts by itself: one that fails each time leaks memory."""
    found = [(t, c) for t, c in _with_gpu(snapshot, name) if c.restart != NEVER]
    for tool, container in found:
        yield warn(
            f"container {container.name} has the GPU and the restart policy {container.restart}:"
            " starts that fail leak unified memory until the node hangs",
            Evidence(NEVER, container.restart, _shown(tool, container)),
            _without_policy(tool, container),
            code="restart-policy",
            data={**_data(tool, container), "policy": container.restart},
        )
    if not found:
        yield ok("no container with the GPU has a restart policy")


def _without_policy(tool: str, container: Container) -> Remedy:
    """podman changes it from 5.1 on."""
    if tool == "docker":
        argv = (tool, "update", "--restart", NEVER, container.name)
        return Remedy("drop the policy", (command(*argv),))
    return Remedy(f"remove {container.name}, and start it without --restart")


def leftovers(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No container of this cluster has ended, or is of no start that is recorded."""
    own = [(t, c) for t, c in boxes.all_of(snapshot, name) if boxes.is_own(snapshot, name, c)]
    recorded = snapshot.observed.recorded if own else {}
    wrong = 0
    for tool, container in own:
        lives = container.state == boxes.RUNNING
        if lives and container.unit in recorded:
            continue
        wrong += 1
        yield warn(
            f"container {container.name} of this cluster {_why(container, lives=lives)}",
            Evidence("none", container.state, _shown(tool, container)),
            Remedy(
                "remove it; its log goes with it",
                (command(tool, "rm", "--force", "--volumes", container.name),),
            ),
            code="leftover-container",
            data={**_data(tool, container), "state": container.state},
        )
    if not wrong:
        yield ok("no container is left")


def _why(container: Container, *, lives: bool) -> str:
    return "is of no start that is recorded" if lives else f"has ended ({container.state})"


def foreign(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No other container uses the GPU, whose memory is the model's."""
    found = [
        (tool, container)
        for tool, container in _with_gpu(snapshot, name)
        if container.state == boxes.RUNNING and not boxes.is_own(snapshot, name, container)
    ]
    for tool, container in found:
        of = f" of the cluster {container.cluster}" if container.cluster else ""
        yield warn(
            f"container {container.name}{of} has the GPU, and takes of the model's memory",
            Evidence("none", container.name, _shown(tool, container)),
            Remedy("stop it if it is not needed", (command(tool, "stop", container.name),)),
            code="foreign-container",
            data={
                **_data(tool, container),
                "pid": container.pid,
                "cluster": container.cluster or "",
            },
        )
    if not found:
        yield ok("no other container has the GPU")


def _with_gpu(snapshot: Snapshot, name: str) -> list[tuple[str, Container]]:
    return [(tool, c) for tool, c in boxes.all_of(snapshot, name) if c.gpu]


def _shown(tool: str, container: Container) -> str:
    return f"{tool} inspect {container.name}"


def _data(tool: str, container: Container) -> dict[str, str | int]:
    return {"engine": tool, "container": container.name, "id": container.id}


CHECKS = (
    Check("container.memory", "cluster", memory, lacks=applies.container),
    Check("container.restart", "node", restart, lacks=applies.container),
    Check("container.leftovers", "node", leftovers, lacks=applies.container),
    Check("container.foreign", "node", foreign, lacks=applies.container),
)
