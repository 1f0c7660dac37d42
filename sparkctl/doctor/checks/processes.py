"""Processes and files that are no part of the current runs: another Ray, leftovers of old runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, Removal
from sparkctl.facts.calls import REMOVE, STOP
from sparkctl.facts.unread import Missing, known
from sparkctl.node.units import RANK
from sparkctl.operations.lease import described
from sparkctl.plan.departed import departed
from sparkctl.plan.paths import APPLIED, temp_dir
from sparkctl.plan.record import records
from sparkctl.plan.record import state as recorded
from sparkctl.secret.text import command_line
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.processes import OurProcess


def foreign_ray(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No other Ray shares ports, memory and GPU."""
    found = known(snapshot.facts(name).foreign_rays)
    for process in found:
        origin = f"cluster {process.cluster}" if process.cluster else "not started by sparkctl"
        yield warn(
            f"another Ray is running (pid {process.pid}, uid {process.uid}, {origin})",
            Evidence("no other Ray", command_line(process.command), "/proc"),
            Remedy(
                "ask its owner to stop it: it shares the node's memory and GPU, and its `ray stop`"
                " also ends this cluster's Ray"
            ),
            code="foreign-ray",
            data={"pid": process.pid, "uid": process.uid, "cluster": process.cluster},
        )
    if not found:
        yield ok("no other Ray")


def strays(snapshot: Snapshot, name: str) -> list[OurProcess]:
    """The cluster's processes on a node that the last recorded runs did not start.

    None where the runs are not known: ranks carry the run of the engine that the head started.
    """
    head = snapshot.all_facts.get(snapshot.inventory.head.name)
    if head is None or _without_record(snapshot, name) is not None:
        return []
    last = [*records(snapshot.facts(name)).values()]
    if (engine := records(head).get(snapshot.engine.kind)) is not None:
        last.append(engine)
    return [p for p in snapshot.running(name) if p.run not in {record.run for record in last}]


def _without_record(snapshot: Snapshot, name: str) -> str | None:
    """The node whose record is required to attribute the processes, and cannot be understood."""
    head, kind = snapshot.inventory.head.name, snapshot.engine.kind
    serves = any(_words(snapshot) & {*p.command.split()} for p in snapshot.running(head, kind))
    if _unrecorded(snapshot, head) or (serves and kind not in records(snapshot.facts(head))):
        return head
    return name if _unrecorded(snapshot, name) else None


def _words(snapshot: Snapshot) -> set[str]:
    """The words by which the engine's own processes are known, such as `serve`."""
    own = [unit for unit in snapshot.units if unit.kind == snapshot.engine.kind]
    return {member.what for unit in own for member in unit.members} - {RANK}


def _unrecorded(snapshot: Snapshot, name: str) -> bool:
    """Whether the cluster's files exist, and no record in them can be understood."""
    return known(snapshot.facts(name).state).exists and not records(snapshot.facts(name))


def leftovers(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The cluster has nothing on the node but what the last recorded runs started."""
    state = known(snapshot.facts(name).state)
    if holder := known(snapshot.facts(snapshot.inventory.head.name).state).lease:
        yield info(
            f"the cluster is locked by {described(holder, time.time())};"
            " what runs may belong to that command",
            code="locked",
            data={"holder": holder.who, "why": holder.why},
        )
        return
    running, stray = snapshot.running(name), strays(snapshot, name)
    if running and (source := _without_record(snapshot, name)) is not None:
        path = f"{known(snapshot.facts(source).state).path}/{APPLIED}"
        yield unknown(
            f"{path} on {source} does not record which run started"
            f" {counted(len(running), 'process')}",
            code="unrecorded",
            data={"node": source, "path": path},
        )
        return
    for process in stray:
        yield _leftover(process)
    is_part = _in_group(snapshot, name) or _in_cluster(snapshot, name)
    if state.exists and len(stray) == len(running) and not is_part:
        yield _leftover_files(state.path, temp_dir(snapshot.inventory.cluster))
    elif not stray:
        yield ok("nothing is left over from older runs")


def _in_group(snapshot: Snapshot, name: str) -> bool:
    """Whether a unit was started on the node with others that run: one of a gang has ended."""
    started = snapshot.started
    groups = {unit.group for unit in started.values() if unit.node == name}
    return any(unit.group in groups and snapshot.observed.places(u) for u, unit in started.items())


def _in_cluster(snapshot: Snapshot, name: str) -> bool:
    """Whether the node only notes a cluster that other nodes have units of: it has no service, or
    after `down` of its own. A node that cannot be read may have such units.
    """
    own = recorded(snapshot.facts(name), "", name)
    if own.units or not own.id:
        return False
    inventory = snapshot.whole or snapshot.inventory
    others = [n.name for n in inventory.nodes if n.name != name]
    if departed(inventory, [own]) or any(n not in snapshot.all_facts for n in others):
        return True
    for node in others:
        try:
            there = recorded(snapshot.all_facts[node], "", node)
        except Missing:
            return True
        if there.units and there.id == own.id:
            return True
    return False


def _leftover(process: OurProcess) -> Finding:
    pid, run = process.pid, process.run
    # By the run alone: the processes of other runs are not touched.
    end = Removal(f"end the processes of run {run}", STOP, {"roles": [], "run": run})
    return warn(
        f"pid {pid} is left over from run {run or '(unknown)'}:"
        f" {command_line(process.command, 100)}",
        Evidence("processes of the last run alone", run or "unknown", f"/proc/{pid}/environ"),
        Remedy("end the leftover processes", actions=(end,) if run else ()),
        code="leftover-process",
        data={"pid": pid, "run": run},
    )


def _leftover_files(path: str, temporary: str) -> Finding:
    remove = Removal("remove the files of an older run", REMOVE, {"temp_dir": temporary})
    return warn(
        f"{path} exists, but nothing of its run is running; the node was rebooted, or the run"
        " was killed",
        Evidence("a running process of its run", "none", path),
        Remedy(
            "`sparkctl up` starts a new run, `sparkctl down` removes the files", actions=(remove,)
        ),
        code="leftover-files",
        data={"path": path},
    )


CHECKS = (
    Check("host.foreign-ray", "node", foreign_ray),
    Check("host.leftovers", "node", leftovers),
)
