"""NCCL in the running ranks: which library, which transport, and traffic on every HCA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.cluster.health import generates
from sparkctl.doctor.check import Check, Source, per_node
from sparkctl.doctor.checks.ranks import every_gpu
from sparkctl.doctor.checks.running import idle
from sparkctl.doctor.finding import Evidence, Finding, Severity, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.nccllog.model import LogVerdict, RankVerdict

# The least that a few tokens leave on a half, in units of 4 bytes over both directions.
TRAFFIC = 1000
NO_NCCL = "no rank has loaded libnccl: this vLLM talks without NCCL, as its CPU build does"
DEBUG = Remedy(
    "set NCCL_DEBUG=INFO in an env layer (NCCL_DEBUG_SUBSYS=INIT,ENV,NET for the reasons), then"
    " start again",
    ("sparkctl down", "sparkctl up"),
)


def _idle(view: View) -> Finding | None:
    """Nothing to look at, which is no fault."""
    if nothing := idle(view, "vllm"):
        return nothing
    # Maps that cannot be read are no proof of a build without NCCL.
    if not any(_loaded(view).values()) and not any(_unread(view, n) for n in view.known):
        return info(NO_NCCL, node=view.inventory.head.name)
    return None


def _unread(view: View, name: str) -> list[int]:
    """The pids of ranks whose mapped files cannot be read."""
    return [p.pid for p in view.running(name) if p.libraries is None]


def _loaded(view: View) -> dict[str, dict[str, str | None]]:
    """The libnccl files that each node's ranks map, with their versions."""
    return {
        name: {f: v for p in view.running(name) for f, v in (p.libraries or {}).items()}
        for name in view.known
    }


def libnccl(view: View) -> Iterator[Finding]:
    """Every rank has loaded the same libnccl: two versions hang after 20 to 60 minutes."""
    if nothing := _idle(view):
        yield nothing
        return
    loaded = _loaded(view)
    for name, files in loaded.items():
        yield _of_node(view, name, files)
    if len({v for files in loaded.values() for v in files.values() if v}) > 1:
        listed = "; ".join(f"{n}: {_listed(files)}" for n, files in loaded.items() if files)
        yield fail(
            f"the nodes have loaded different libnccl: {listed}",
            Evidence("one version everywhere", listed, "/proc/PID/maps"),
            Remedy("install the same runtime on every node"),
        )


def _of_node(view: View, name: str, files: dict[str, str | None]) -> Finding:
    untold = [f for f, version in files.items() if version is None]
    if len({v for v in files.values() if v}) > 1:
        return fail(
            f"two libnccl are loaded: {_listed(files)}",
            Evidence("one version", _listed(files), "/proc/PID/maps"),
            Remedy("keep the wheel's: drop LD_PRELOAD, or remove the system's",
                   ("sudo apt-get remove libnccl2",)),
            node=name,
        )  # fmt: skip
    if unread := _unread(view, name):
        return unknown(f"the files that pid {unread[0]} maps cannot be read", node=name)
    if not files:
        return unknown("no rank of this node has loaded libnccl", node=name)
    if untold:
        return unknown(
            f"{untold[0]} does not tell its version: it was replaced since it was loaded, or cannot"
            " be read",
            node=name,
        )
    return ok(_listed(files), node=name)


def _listed(files: dict[str, str | None]) -> str:
    return ", ".join(f"{version or 'unknown version'} ({file})" for file, version in files.items())


def transport(view: View) -> Iterator[Finding]:
    """NCCL's own word in vLLM's log: RDMA, and channels on every wanted HCA."""
    if nothing := _idle(view):
        yield nothing
        return
    head = view.inventory.head.name
    found = view.seen(view.looks.log, head)
    verdict: LogVerdict = found.verdict
    if not verdict.ranks:
        yield unknown(f"{found.path} has no line of NCCL", fix=DEBUG, node=head)
        return
    for finding in verdict.findings:
        evidence = tuple(
            Evidence("RDMA on every wanted HCA", e.text, f"{e.file}:{e.line}")
            for e in finding.evidence
        )
        maybe = "".join(f"; or {c.cause}: {c.decided_by}" for c in finding.candidates)
        remedy = Remedy(finding.fix.text + maybe, finding.fix.commands)
        yield Finding(Severity[finding.severity], f"{finding.cause}: {finding.summary}", evidence,
                      remedy, head)  # fmt: skip
    if found.cut:
        yield unknown(
            f"NCCL wrote more lines than are fetched: {found.path} was read to line"
            f" {found.cut}; `sparkctl doctor --log` reads all of a copy",
            node=head,
        )
    told = set()
    for rank in verdict.ranks:
        name = _node_of(view, rank)
        told.add(name)
        if rank.transport == "rdma":
            yield _channels(view, rank, found.path)
        elif rank.transport == "local" and len(view.inventory.nodes) > 1 and every_gpu(view):
            yield _local(rank, name)
    # A host that no node is called may be any of them, a container's name.
    for name in view.known if every_gpu(view) and None not in told else ():
        if name not in told:
            yield unknown(f"{found.path} has no line of a rank on this node", fix=DEBUG,
                          node=name)  # fmt: skip


def _node_of(view: View, rank: RankVerdict) -> str | None:
    """The node that a rank runs on."""
    return view.hosts.get(rank.host.partition(".")[0])


def _local(rank: RankVerdict, name: str | None) -> Finding:
    """A rank that talks to nobody outside its node, where the plan has others there."""
    first = rank.evidence[0] if rank.evidence else None
    return warn(
        f"rank {rank.rank} on {rank.host} talks within its node alone, the plan has ranks on"
        " others",
        Evidence("a network", first.text if first else "P2P or shared memory",
                 f"{first.file}:{first.line}" if first else "NCCL's lines in the log"),
        Remedy("if vLLM is not starting just now, its ranks are not where the plan has them:"
               " `sparkctl status` shows them", ("sparkctl down", "sparkctl up")),
        node=name,
    )  # fmt: skip


def _channels(view: View, rank: RankVerdict, path: str) -> Finding:
    """Whether each wanted HCA of the rank's node carries channels."""
    name = _node_of(view, rank)
    if name is None:
        return unknown(f"rank {rank.rank} runs on {rank.host}, which no node is called")
    counted = ", ".join(f"{d} {c}" for d, c in rank.channels.items()) or "none"
    idle = [hca for hca in view.choice(name).hcas if not rank.channels.get(hca)]
    if not idle:
        return ok(f"rank {rank.rank}: channels {counted}", node=name)
    if not rank.channels:
        return unknown(
            f"rank {rank.rank} uses RDMA, the log names no channel", fix=DEBUG, node=name
        )
    return fail(
        f"rank {rank.rank} has no channel on {', '.join(idle)}",
        Evidence(", ".join(view.choice(name).hcas), counted, path),
        Remedy("see fabric.hca and fabric.halves for this node"),
        node=name,
    )


def traffic(view: View) -> Iterator[Finding]:
    """A generation moves the counters of every wanted HCA: the last proof that RDMA is used."""
    if nothing := _idle(view):
        yield nothing
        return
    found = view.seen(view.looks.generation, view.inventory.head.name)
    if not generates(found):
        yield unknown("nothing was generated, see running.generation")
        return
    yield from per_node(view, lambda name: _carried(view, name, found))


def _carried(view: View, name: str, found: dict[str, Any]) -> Iterator[Finding]:
    before, after = found.before.get(name), found.after.get(name)
    if before is None or after is None:
        yield unknown("the counters could not be read", node=name)
        return
    for hca in view.choice(name).hcas:
        yield _moved(name, hca, before.get(hca, {}), after.get(hca, {}))


def _moved(name: str, hca: str, before: dict[str, int], after: dict[str, int]) -> Finding:
    both = [k for k in before if k in after and k.startswith("port_")]
    if not both:
        return unknown(f"{hca} shows no counters of traffic", node=name)
    units = sum(after[k] - before[k] for k in both)
    if units >= TRAFFIC:
        return ok(f"{hca} carried {units * 4 / 1e6:.2f} MB for the generation", node=name)
    return fail(
        f"{hca} carried nothing while tokens were generated",
        Evidence("counters that grow", f"{units * 4} bytes",
                 f"/sys/class/infiniband/{hca}/ports/1/counters"),
        Remedy("see running.transport: NCCL_DEBUG=INFO shows which HCAs NCCL took"),
        node=name,
    )  # fmt: skip


CHECKS = (
    Check("running.libnccl", "cluster", libnccl),
    Check("running.transport", "cluster", transport, needs=(Source.LOG,)),
    Check("running.traffic", "cluster", traffic, needs=(Source.GENERATION,)),
)
