"""The running ranks: that none died, and the devices and limits that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.gang import broken, gang
from sparkctl.doctor.checks.memlock import CAP_IPC_LOCK, ENOUGH
from sparkctl.doctor.checks.running import RAY, idle, starting
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.limits import UNLIMITED
from sparkctl.doctor.remedy import LOG, LOG_SHOWS, RESTART, Remedy
from sparkctl.doctor.starting import is_over
from sparkctl.engines.vllm.placement import rank_count
from sparkctl.facts.unread import Missing, known
from sparkctl.node.units import RayRanks
from sparkctl.plan.record import records
from sparkctl.secret.text import command_line
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.engines.explanation import Explanation
    from sparkctl.facts.groups import Uverbs
    from sparkctl.facts.processes import OurProcess

STARTING = 60.0  # seconds in which the ranks of all nodes have come up


def every_gpu(snapshot: Snapshot) -> bool:
    """Whether the plan has a rank on every GPU, and so on every node."""
    inventory = snapshot.inventory
    return rank_count(inventory.vllm) >= sum(inventory.gpus_of(n) for n in inventory.nodes)


def ranks(snapshot: Snapshot) -> Iterator[Finding]:
    """Every node runs its ranks: the others wait for one that died, or end with it."""
    if not applies.has(snapshot, RayRanks):  # who has which ranks is not Ray's choice
        yield from gang(snapshot)
        return
    if nothing := idle(snapshot):
        yield _died(snapshot) or broken(snapshot) or nothing
        return
    found = {n: [p for p in snapshot.running(n) if p.rank] for n in snapshot.known}
    running, first = counted(sum(map(len, found.values())), "rank"), snapshot.known[0]
    if not every_gpu(snapshot):
        yield info(
            f"{running} running; the plan has no rank on some GPUs", node=first, code="idle-gpus"
        )
        return
    oldest = max((snapshot.facts(n).time - p.since for n in found for p in found[n]), default=0)
    if oldest == 0 and is_over(snapshot):
        yield unknown(
            "no rank is recognized: all have ended, or have unknown titles",
            node=first,
            code="no-rank",
        )
        return
    if oldest < STARTING:
        yield starting(f"{running} running; vLLM is starting", first, {})
        return
    for name, processes in found.items():
        yield _complete(name, processes, snapshot.inventory.gpus_of(snapshot.node(name)))


def _complete(name: str, processes: Sequence[OurProcess], expected: int) -> Finding:
    pids = [str(p.pid) for p in processes]
    listed = ", ".join(pids)
    if len(pids) >= expected:
        return ok(f"{counted(len(pids), 'rank')} running (pid {listed})", node=name)
    return fail(
        f"{len(pids)} of {counted(expected, 'rank')} running; the ranks of other nodes are blocked"
        " waiting",
        Evidence(counted(expected, "rank"), listed or "none", "/proc"),
        Remedy(
            "restart the whole group; the log shows why the rank died",
            (LOG, *RESTART),
        ),
        node=name,
        code="ranks-missing",
        data={"expected": expected, "got": len(pids), "pids": pids},
    )


def died(snapshot: Snapshot) -> str | None:
    """The run whose vLLM was not stopped and is not running, while its Ray is."""
    head = snapshot.inventory.head.name
    kind = snapshot.engine.kind
    started = records(snapshot.facts(head)).get(kind)
    # A command that holds the lease may be about to start it.
    if snapshot.running(head, kind) or known(snapshot.facts(head).state).lease:
        return None
    return started.run if started and snapshot.running(head, RAY) else None


def _died(snapshot: Snapshot) -> Finding | None:
    """A vLLM that died, with the cause that its log names."""
    head, run = snapshot.inventory.head.name, died(snapshot)
    if not run:
        return None
    error, cause = _last_error(snapshot)
    remedy = cause.text(snapshot.inventory.key) if cause else LOG_SHOWS
    return fail(
        f"vLLM of run {run} died: {error or 'its process or one of its ranks ended'}",
        Evidence("vllm serve", "none", "/proc, and the record applied.json"),
        Remedy(remedy, (LOG, "sparkctl up")),
        node=head,
        code="vllm-died",
        data={"run": run, "error": error, "cause": cause.code if cause else None},
    )


def _last_error(snapshot: Snapshot) -> tuple[str | None, Explanation | None]:
    """The error in vLLM's log, and its known cause; None if there is none."""
    try:
        found = snapshot.seen(snapshot.looks.log, snapshot.inventory.head.name)
    except Missing:
        return None, None
    from sparkctl.engines.vllm.diagnosis import explain_vllm  # only where something died
    from sparkctl.engines.vllm.errorlevel import Level

    root = found.traced.root
    if root and root.level is Level.REQUEST:
        return None, None
    error = command_line(root.described, limit=300) if root else None
    return error, explain_vllm(root, found.verdict)


def verbs(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The uverbs devices and the memlock limit of the ranks, which may differ from a login's."""
    found = [p for p in snapshot.running(name) if p.rank]
    if not found:
        yield info("no rank is running", code="not-running")
        return
    unread = [p for p in found if p.uverbs is None or p.memlock is None]
    if unread:
        pid = unread[0].pid
        yield unknown(f"limits or devices of pid {pid} could not be read", data={"pid": pid})
    devices = known(snapshot.facts(name).verbs).uverbs
    hcas = snapshot.choice(name).hcas
    wrong = [f for p in found for f in (*_hidden(p, hcas, devices), *_memlock(p))]
    yield from wrong
    if not wrong and not unread:
        yield ok(f"{counted(len(found), 'rank')} with the uverbs devices and lockable memory")


def _hidden(
    process: OurProcess, hcas: Sequence[str], devices: Mapping[str, Uverbs]
) -> Iterator[Finding]:
    """The devices of the fabric that a rank does not see, as in a container without them."""
    if process.uverbs is None:
        return
    for hca in hcas:
        device = devices.get(hca)
        if device is None or device.path.split("/")[-1] in process.uverbs:
            continue
        folder = f"/proc/{process.pid}/root/dev/infiniband"
        yield fail(
            f"pid {process.pid} does not see {device.path}; NCCL silently skips {hca}",
            Evidence(device.path, ", ".join(process.uverbs) or "none", folder),
            Remedy(
                "run its container with --device /dev/infiniband --cap-add IPC_LOCK --ulimit"
                " memlock=-1",
                RESTART,
            ),
            code="uverbs-hidden",
            data={"pid": process.pid, "hca": hca, "device": device.path},
        )


def _memlock(process: OurProcess) -> Iterator[Finding]:
    limit = process.memlock
    if limit in (None, UNLIMITED):
        return
    if process.capabilities is None:
        reason = f"the capabilities of pid {process.pid} could not be read"
        yield unknown(reason, code="capabilities-unread", data={"pid": process.pid})
        return
    if process.capabilities >> CAP_IPC_LOCK & 1:
        return
    enough = limit >= ENOUGH
    yield (warn if enough else fail)(
        f"memlock is {limit // 1024} KiB in pid {process.pid}; RDMA memory registration"
        f" {'may fail' if enough else 'fails'} with `Cannot allocate memory`",
        Evidence("unlimited", f"{limit} bytes", f"/proc/{process.pid}/limits"),
        Remedy(
            "lift the limit for logins (see fabric.memlock), then restart Ray: processes inherit"
            " the limit of what started them",
            RESTART,
        ),
        code="memlock-low" if enough else "memlock-limit",
        data={"pid": process.pid, "got": limit},
    )


CHECKS = (
    Check("running.ranks", "cluster", ranks, needs=(Source.LOG,)),
    Check("running.verbs", "node", verbs, lacks=applies.ranks),
)
