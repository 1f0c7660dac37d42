"""NCCL in the running ranks: which library, which transport, and traffic on every HCA."""

from __future__ import annotations

from collections.abc import Iterator

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.running import idle
from sparkctl.doctor.finding import Evidence, Finding, Severity, fail, info, ok, unknown
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.view import View
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
    if not any(_loaded(view).values()):
        return info(NO_NCCL, node=view.inventory.head.name)
    return None


def _loaded(view: View) -> dict[str, list[str]]:
    """The libnccl files that each node's ranks map."""
    return {
        name: sorted({lib for p in view.running(name) for lib in p["libraries"] if "nccl" in lib})
        for name in view.known
    }


def libnccl(view: View) -> Iterator[Finding]:
    """Every rank has loaded the same libnccl: two versions hang after 20 to 60 minutes."""
    if nothing := _idle(view):
        yield nothing
        return
    loaded = _loaded(view)
    for name, files in loaded.items():
        if len(files) > 1:
            yield fail(
                f"two libnccl are loaded: {', '.join(files)}",
                Evidence("one file", ", ".join(files), "/proc/PID/maps"),
                Remedy("keep the wheel's: drop LD_PRELOAD, or remove the system's",
                       ("sudo apt-get remove libnccl2",)),
                node=name,
            )  # fmt: skip
        elif not files:
            yield unknown("no rank of this node shows its libraries", node=name)
        else:
            yield ok(files[0], node=name)
    if len({f.rpartition("/")[2] for files in loaded.values() for f in files}) > 1:
        listed = "; ".join(f"{n}: {', '.join(f)}" for n, f in loaded.items())
        yield fail(
            f"the nodes have loaded different libnccl: {listed}",
            Evidence("one version everywhere", listed, "/proc/PID/maps"),
            Remedy("install the same runtime on every node"),
        )


def transport(view: View) -> Iterator[Finding]:
    """NCCL's own word in vLLM's log: RDMA, and channels on every wanted HCA."""
    if nothing := _idle(view):
        yield nothing
        return
    head = view.inventory.head.name
    found = view.source("log", head)
    verdict: LogVerdict = found["verdict"]
    if not verdict.ranks:
        yield unknown(f"{found['path']} has no line of NCCL", fix=DEBUG, node=head)
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
    for rank in verdict.ranks:
        if rank.transport == "rdma":
            yield _channels(view, rank, found["path"])


def _channels(view: View, rank: RankVerdict, path: str) -> Finding:
    """Whether each wanted HCA of the rank's node carries channels."""
    name = next((n for n in view.known if view.facts(n)["hostname"] == rank.host), None)
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
    found = view.source("generation", view.inventory.head.name)
    if not found.get("tokens"):
        yield unknown("nothing was generated, see running.generation")
        return
    for name in view.known:
        before, after = found["before"].get(name), found["after"].get(name)
        if before is None or after is None:
            yield unknown("the counters could not be read", node=name)
            continue
        for hca in view.choice(name).hcas:
            yield _moved(name, hca, before.get(hca, {}), after.get(hca, {}))


def _moved(name: str, hca: str, before: dict[str, int], after: dict[str, int]) -> Finding:
    units = sum(after.get(k, 0) - v for k, v in before.items() if k.startswith("port_"))
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
