"""Ports and processes: what stands in the way of a start, and what an older one left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.cluster.lease import described
from sparkctl.cluster.places import APPLIED, temp_dir
from sparkctl.cluster.record import records
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, Removal
from sparkctl.facts.calls import REMOVE, STOP
from sparkctl.facts.unread import known
from sparkctl.inventory.validate import worker_range
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View


# Ray starts a worker for each of GB10's 20 cores before any is asked for, and more beside them
# (Ray 2.60, src/ray/raylet/worker_pool.cc); each listens on a port of its own.
WORKERS = 32


def ports(view: View, name: str) -> Iterator[Finding]:
    """The ports that Ray and vLLM want are free, or ours."""
    wanted = wanted_ports(view, name)
    taken = 0
    for owner in known(view.facts(name).ports):
        port = owner.port
        if port not in wanted or owner.cluster == view.inventory.cluster:
            continue
        taken += 1
        who = _owner(owner)
        yield fail(
            f"port {port} ({wanted[port]}) is taken by {who}",
            Evidence("free, or ours", who, "/proc/net/tcp"),
            Remedy(
                f"end that process if it is not needed, or set {wanted[port]} to a free port",
                (f"sudo ss -tlnp 'sport = :{port}'",),
            ),
        )
    if not taken:
        listed = ", ".join(map(str, sorted(wanted)))
        yield ok(f"ports {listed} are free or ours" if wanted else "no port of its own is wanted")


def _owner(owner: dict[str, Any]) -> str:
    whose = f"{owner.user} (uid {owner.uid})" if owner.user else f"uid {owner.uid}"
    if owner.pid is None or owner.command is None:
        return f"a process of {whose}"
    return f"pid {owner.pid} of {whose}: {command_line(owner.command, 120)}"


def worker_ports(view: View, name: str) -> Iterator[Finding]:
    """Ray's workers find ports of their own among those that they may bind."""
    low, high = worker_range(view.inventory)
    busy = {
        o.port: o
        for o in known(view.facts(name).ports)
        if low <= o.port <= high and o.cluster != view.inventory.cluster
    }
    free = high - low + 1 - len(busy)
    if free >= WORKERS:
        yield ok(f"{free} of the ports {low} to {high} are free for Ray's workers, or ours")
        return
    listed = ", ".join(f"{port} ({_owner(o)})" for port, o in sorted(busy.items())[:3]) or "none"
    yield warn(
        f"Ray's workers have {free} ports from {low} to {high}, a process each and as many as"
        f" cores: {WORKERS} are wanted",
        Evidence(f"{WORKERS} free ports", f"{free}, taken: {listed}", "/proc/net/tcp"),
        Remedy("widen ray.min_worker_port to ray.max_worker_port, or end what listens there"),
    )


def wanted_ports(view: View, name: str) -> dict[int, str]:
    """The ports that a node listens on, and the inventory's keys for them."""
    ray, role = view.inventory.ray, view.node(name).role
    keys = {"ray.node_manager_port": ray.node_manager_port,
            "ray.object_manager_port": ray.object_manager_port}  # fmt: skip
    if role == "head":
        keys |= {"ray.port": ray.port, "ray.dashboard_port": ray.dashboard_port,
                 "vllm.port": view.inventory.vllm.port}  # fmt: skip
    return {port: key for key, port in keys.items() if port is not None}


def foreign_ray(view: View, name: str) -> Iterator[Finding]:
    """Another Ray shares ports, memory and GPU; `ray stop` of its owner would hit ours."""
    found = known(view.facts(name).foreign_rays)
    for process in found:
        whose = f"cluster {process.cluster}" if process.cluster else "not started by sparkctl"
        yield warn(
            f"another Ray runs here: pid {process.pid} (uid {process.uid}), {whose}",
            Evidence("no other Ray", command_line(process.command), "/proc"),
            Remedy("its owner may end it; until then it shares the node's memory and GPU,"
                   " and its `ray stop` ends ours as well"),
        )  # fmt: skip
    if not found:
        yield ok("no other Ray")


def strays(view: View, name: str) -> list[dict[str, Any]]:
    """Our processes on a node that the last recorded runs did not start; none where the runs are
    not known: ranks carry the run of the vLLM that the head started.
    """
    head = view.all_facts.get(view.inventory.head.name)
    if head is None or _without_record(view, name) is not None:
        return []
    known = [*records(view.facts(name)).values()]
    if (vllm := records(head).get("vllm")) is not None:
        known.append(vllm)
    return [p for p in view.running(name) if p.run not in {r.run for r in known}]


def _without_record(view: View, name: str) -> str | None:
    """The node whose record is required to name the runs here and cannot be understood."""
    head = view.inventory.head.name
    serves = any("serve" in p.command.split() for p in view.running(head, "vllm"))
    if _unrecorded(view, head) or (serves and "vllm" not in records(view.facts(head))):
        return head
    return name if _unrecorded(view, name) else None


def _unrecorded(view: View, name: str) -> bool:
    """Whether our files are there, and no record among them that can be understood."""
    return bool(known(view.facts(name).state).exists) and not records(view.facts(name))


def leftovers(view: View, name: str) -> Iterator[Finding]:
    """Nothing of ours but what the journal's last runs started."""
    head = view.inventory.head.name
    state = known(view.facts(name).state)
    if holder := known(view.facts(head).state).lease:
        yield info(f"the cluster is locked by {described(holder)}: what is there may be its own")
        return
    running, stray = view.running(name), strays(view, name)
    if running and (source := _without_record(view, name)) is not None:
        path = known(view.facts(source).state).path
        yield unknown(f"which run started the {len(running)} processes here is not recorded in"
                      f" {path}/{APPLIED} on {source}")  # fmt: skip
        return
    for process in stray:
        run = process.run
        yield warn(
            f"pid {process.pid} is left of an older run ({run or 'unknown'}):"
            f" {command_line(process.command, 100)}",
            Evidence("processes of the last run only", run, f"/proc/{process.pid}/environ"),
            Remedy("end what is left", actions=(_ending(run),) if run else ()),
        )
    if state.exists and len(stray) == len(running):
        where = {"temp_dir": temp_dir(view.inventory.cluster)}
        yield warn(
            f"{state.path} is there, and nothing of its run: the node was rebooted, or a run"
            " was killed",
            Evidence("nothing, or a running cluster", "files alone", state.path),
            Remedy(
                "`sparkctl up` starts anew, `sparkctl down` removes them",
                actions=(Removal("remove the files of an older run", REMOVE, where),),
            ),
        )
    elif not stray:
        yield ok("nothing is left of older runs")


def _ending(run: str) -> Removal:
    """By our mark and that run alone: what runs beside it is left alone."""
    return Removal(f"end what run {run} left", STOP, {"roles": [], "run": run})


CHECKS = (
    Check("ports.free", "node", ports, preflight=True),
    Check("ports.workers", "node", worker_ports),
    Check("host.foreign-ray", "node", foreign_ray),
    Check("host.leftovers", "node", leftovers),
)
