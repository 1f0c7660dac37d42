"""Our running processes, one by one: their environment, devices and limits, and that none died."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.cluster.record import records
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.processes import strays
from sparkctl.doctor.checks.running import idle
from sparkctl.doctor.checks.verbs import CAP_IPC_LOCK, ENOUGH, UNLIMITED
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.snapshot import Missing, View
from sparkctl.node.settings import watched
from sparkctl.secret.text import command_line
from sparkctl.secret.value import protected_text, public
from sparkctl.serving.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSET = "unset"
# What Ray 2.60, vLLM 0.14 to 0.33 and NVIDIA's images set by themselves.
OWN = {
    "RAY_ADDRESS", "NCCL_ASYNC_ERROR_HANDLING", "NCCL_CUMEM_ENABLE", "NCCL_LAUNCH_MODE",
    "NCCL_MAX_CTAS", "NCCL_NO_CACHE", "NCCL_VERSION", "UCX_MEMTYPE_CACHE",
    "UCX_RCACHE_MAX_UNRELEASED",
}  # fmt: skip
# What decides over which devices NCCL and Gloo talk (NCCL's src/misc/socket.cc
# and src/transport/net_ib).
CHOOSING = {
    "NCCL_CONF_FILE", "NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX", "NCCL_IB_HCA", "NCCL_NET",
    "NCCL_NET_PLUGIN", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES", "LD_PRELOAD",
}  # fmt: skip
RANK = re.compile(r"RayWorker(?:Proc|Wrapper)|VLLM::Worker")  # of Ray's executors 2 and 1, of mp
STARTING = 60.0  # seconds in which the ranks of all nodes have come up


def environment(view: View, name: str) -> Iterator[Finding]:
    """The environment that our processes were started with, against the plan; secrets are left
    out."""
    older = strays(view, name)
    running = [p for p in view.running(name) if p not in older]  # those: see host.leftovers
    if not running:
        yield info("nothing of ours runs")
        return
    shown = [p for p in running if p["environment"] is not None]
    if not shown:
        yield unknown(
            f"none of {len(running)} processes shows its environment: it may not be read, or their"
            " titles were written over it"
        )
        return
    planned = public(view.environment(name))
    different: dict[tuple[str, str], list[int]] = {}
    for process in shown:
        found = process["environment"]
        added = {k for k, v in found.items() if k not in planned and not _own(k, v)}
        for variable in planned.keys() | added:
            if found.get(variable) != planned.get(variable):
                value = protected_text(found.get(variable, UNSET), variable)
                different.setdefault((variable, value), []).append(process["pid"])
    for (variable, value), pids in sorted(different.items()):
        yield _different(variable, planned.get(variable), value, pids)
    if not different:
        hidden = len(running) - len(shown)
        yield ok(f"{len(shown)} processes have the planned environment"
                 + (f", {hidden} do not show theirs" if hidden else ""))  # fmt: skip


def _own(variable: str, value: str) -> bool:
    """Whether a variable that nobody planned is Ray's or vLLM's own doing."""
    if variable == "LD_PRELOAD":  # Ray preloads jemalloc, vLLM's CPU build OpenMP
        return not re.search("nccl|ibverbs", value)
    return variable in OWN


def _different(variable: str, wanted: str | None, found: str, pids: list[int]) -> Finding:
    """A variable that processes have otherwise than planned; FAIL where it chooses the fabric."""
    listed = ", ".join(map(str, pids[:4])) + (" …" if len(pids) > 4 else "")
    says = (
        fail if watched({variable: ""}) and (wanted is not None or variable in CHOOSING) else warn
    )
    return says(
        f"{variable} is {found} in {len(pids)} processes (pid {listed}), planned is"
        f" {UNSET if wanted is None else wanted}",
        Evidence(UNSET if wanted is None else wanted, found, f"/proc/{pids[0]}/environ"),
        Remedy("start Ray and vLLM again: a new environment reaches only new processes; what sets"
               " it on the way is an image, a wrapper or a profile", ("sparkctl up",)),
    )  # fmt: skip


def every_gpu(view: View) -> bool:
    """Whether the plan has a rank on every GPU, and so on every node."""
    inventory = view.inventory
    size = inventory.vllm.tensor_parallel_size
    for flag in ("pipeline-parallel-size", "data-parallel-size"):
        value = inventory.vllm.arguments.get(flag)
        size *= value if isinstance(value, int) else 1
    return size >= sum(inventory.gpus_of(n) for n in inventory.nodes)


def ranks(view: View) -> Iterator[Finding]:
    """Every node runs its ranks: one that died leaves the others waiting, or takes all with it."""
    if nothing := idle(view, "vllm"):
        yield _gone(view) or nothing
        return
    found = {n: [p for p in view.running(n) if RANK.search(p["command"])] for n in view.known}
    oldest = max((view.facts(n)["time"] - p["since"] for n in found for p in found[n]), default=0)
    if oldest < STARTING or not every_gpu(view):
        what = "vLLM is starting" if every_gpu(view) else "not every GPU has a rank by the plan"
        yield info(f"{sum(map(len, found.values()))} ranks run, {what}", node=view.known[0])
        return
    for name, processes in found.items():
        wanted = view.inventory.gpus_of(view.node(name))
        pids = ", ".join(str(p["pid"]) for p in processes)
        if len(processes) >= wanted:
            yield ok(f"{len(processes)} ranks run (pid {pids})", node=name)
            continue
        yield fail(
            f"{len(processes)} ranks run, wanted {wanted}: the others wait for what is gone",
            Evidence(f"{wanted} ranks", pids or "none", "/proc, ray::RayWorkerProc"),
            Remedy("the whole group has to be started again; the log tells why it died",
                   ("sparkctl logs vllm", "sparkctl down", "sparkctl up")),
            node=name,
        )  # fmt: skip


def died(view: View) -> str | None:
    """The run whose vLLM was not stopped and runs no more, while its Ray does."""
    head = view.inventory.head.name
    started = records(view.facts(head)).get("vllm")
    # Who holds the lease may be about to start it.
    if view.running(head, "vllm") or view.group(head, "state")["lease"]:
        return None
    return started.run if started and view.running(head, "ray") else None


def _gone(view: View) -> Finding | None:
    """A vLLM that died, with what its log says of that."""
    head, run = view.inventory.head.name, died(view)
    if not run:
        return None
    said, remedy = _last_words(view)
    return fail(
        f"the vLLM that run {run} started is gone: {said or 'it or one of its ranks died'}",
        Evidence("vllm serve", "none", "/proc, and the journal applied.json"),
        Remedy(remedy or "its log tells why", ("sparkctl logs vllm", "sparkctl up")),
        node=head,
    )


def _last_words(view: View) -> tuple[str | None, str | None]:
    """What vLLM's log names as the cause, and the remedy; None where it or the log is not there."""
    try:
        found = view.source("log", view.inventory.head.name)
    except Missing:
        return None, None
    from sparkctl.serving.diagnosis import explain_vllm  # where something died alone

    progress = Progress()
    progress.feed("\n".join([*found["tail"], ""]))
    known = explain_vllm(progress.verdict, found["tail"], waited=False)
    cure = known.text if known else None
    return command_line(progress.verdict or "", limit=300) or None, cure


def verbs(view: View, name: str) -> Iterator[Finding]:
    """The uverbs devices and the memlock limit as the ranks have them, not as a login has."""
    shown = [p for p in view.running(name) if "uverbs" in p]
    if not shown:
        yield info("no rank of ours runs")
        return
    unread = [p for p in shown if p["uverbs"] is None or p["memlock"] is None]
    if unread:
        yield unknown(f"limits or devices of pid {unread[0]['pid']} cannot be read")
    devices = view.group(name, "verbs")["uverbs"]
    wrong = 0
    for process in shown:
        pid, limit = process["pid"], process["memlock"]
        for hca in view.choice(name).hcas:
            path = devices.get(hca, {}).get("path", "")
            if process["uverbs"] is None or not path or path.split("/")[-1] in process["uverbs"]:
                continue
            wrong += 1
            yield fail(
                f"pid {pid} does not see {path}: NCCL finds no {hca} there and says nothing",
                Evidence(path, ", ".join(process["uverbs"]) or "none",
                         f"/proc/{pid}/root/dev/infiniband"),
                Remedy("its container needs --device /dev/infiniband --cap-add IPC_LOCK --ulimit"
                       " memlock=-1; start it again", ("sparkctl down", "sparkctl up")),
            )  # fmt: skip
        if limit in (None, UNLIMITED) or process["capabilities"] >> CAP_IPC_LOCK & 1:
            continue
        wrong += 1
        yield (warn if limit >= ENOUGH else fail)(
            f"memlock is {limit // 1024} KiB in pid {pid}: registering memory for RDMA"
            f" {'may fail' if limit >= ENOUGH else 'fails'} with `Cannot allocate memory`",
            Evidence("unlimited", f"{limit} bytes", f"/proc/{pid}/limits"),
            Remedy("lift it for logins (see fabric.memlock), then start Ray again: a limit is"
                   " inherited from what started it", ("sparkctl down", "sparkctl up")),
        )  # fmt: skip
    if not wrong and not unread:
        yield ok(f"{len(shown)} processes see the uverbs devices and may lock memory")


CHECKS = (
    Check("running.environment", "node", environment),
    Check("running.ranks", "cluster", ranks, needs=(Source.LOG,)),
    Check("running.verbs", "node", verbs),
)
