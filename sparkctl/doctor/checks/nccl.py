"""NCCL in the running ranks: its transport, and the traffic on each HCA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source, per_node
from sparkctl.doctor.checks.libnccl import without_nccl
from sparkctl.doctor.checks.ranks import every_gpu
from sparkctl.doctor.finding import Evidence, Finding, Severity, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import RESTART, Remedy
from sparkctl.node.portcounters import NETDEV, TRAFFIC, Traffic
from sparkctl.operations.health import generates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.looks import EngineLog, Generation
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.fabric.nccllog.model import Finding as LogFinding
    from sparkctl.fabric.nccllog.model import RankVerdict

LEAST = {"bytes": 4000, "packets": 10}  # that a few tokens send
DEBUG = Remedy(
    "set NCCL_DEBUG=INFO in an env layer, and NCCL_DEBUG_SUBSYS=INIT,ENV,NET for the reasons; then"
    " restart the cluster",
    RESTART,
)


def transport(snapshot: Snapshot) -> Iterator[Finding]:
    """NCCL's lines in vLLM's log show RDMA, with channels on each HCA of the fabric."""
    if nothing := without_nccl(snapshot):
        yield nothing
        return
    head = snapshot.inventory.head.name
    log = snapshot.seen(snapshot.looks.log, head)
    if not log.verdict.ranks:
        yield unknown(f"{log.path} has no line of NCCL", fix=DEBUG, node=head, code="no-nccl-lines")
        return
    for finding in log.verdict.findings:
        yield _in_log(finding, head, snapshot.inventory.key)
    if log.cut:
        yield unknown(
            f"{log.path} was read to line {log.cut} alone, as it has too many lines of NCCL; copy"
            " it and run `sparkctl doctor --log`",
            node=head,
            code="log-cut",
            data={"path": log.path, "line": log.cut},
        )
    for rank in log.verdict.ranks:
        yield from _rank(snapshot, rank, log.path)
    yield from _without_rank(snapshot, log)


def _in_log(finding: LogFinding, head: str, key: str) -> Finding:
    """A finding of the log reader, with its code."""
    evidence = tuple(
        Evidence("RDMA on each HCA of the fabric", e.text, f"{e.file}:{e.line}")
        for e in finding.evidence
    )
    others = "".join(f"; or {c.cause}: {c.decided_by}" for c in finding.candidates)
    return Finding(
        Severity[finding.severity],
        f"{finding.cause}: {finding.summary}",
        evidence,
        Remedy(finding.fix.at(key).text + others, finding.fix.commands),
        head,
        code=finding.code,
        data={
            **finding.data,
            "cause": finding.cause,
            "ranks": finding.ranks,
            "candidates": [c.cause for c in finding.candidates],
        },
    )


def _rank(snapshot: Snapshot, rank: RankVerdict, path: str) -> Iterator[Finding]:
    name = _node_of(snapshot, rank)
    if rank.transport == "rdma":
        yield _channels(snapshot, rank, name, path)
    elif rank.transport == "local" and len(snapshot.inventory.nodes) > 1 and every_gpu(snapshot):
        yield _local(rank, name)


def _node_of(snapshot: Snapshot, rank: RankVerdict) -> str | None:
    """The node that a rank runs on."""
    return snapshot.hosts.get(rank.host.partition(".")[0])


def _without_rank(snapshot: Snapshot, log: EngineLog) -> Iterator[Finding]:
    """The nodes of which the log has no rank."""
    nodes = {_node_of(snapshot, rank) for rank in log.verdict.ranks}
    # A host that is no node's name may be any of them: a container has a name of its own.
    if None in nodes or not every_gpu(snapshot):
        return
    for name in snapshot.known:
        if name not in nodes:
            yield unknown(
                f"{log.path} has no line of a rank on this node",
                fix=DEBUG,
                node=name,
                code="rank-not-in-log",
            )


def _named(rank: RankVerdict) -> str:
    """What messages call it; a log may not show its number."""
    return f"pid {rank.pid}" if rank.rank is None else f"rank {rank.rank}"


def _local(rank: RankVerdict, name: str | None) -> Finding:
    """A rank that reaches no other node, where the plan has others there."""
    first = rank.evidence[0] if rank.evidence else None
    return warn(
        f"{_named(rank)} on {rank.host} communicates within its node alone; the plan has ranks on"
        " other nodes",
        Evidence(
            "a network",
            first.text if first else "P2P or shared memory",
            f"{first.file}:{first.line}" if first else "NCCL's lines in the log",
        ),
        Remedy(
            "wait if vLLM is still starting; otherwise its ranks are not where the plan has them,"
            " see `sparkctl status`",
            RESTART,
        ),
        node=name,
        code="local-transport",
        data={"rank": rank.rank, "host": rank.host},
    )


def _channels(snapshot: Snapshot, rank: RankVerdict, name: str | None, path: str) -> Finding:
    """Whether each HCA of the fabric on the rank's node carries channels."""
    if name is None:
        return unknown(
            f"{_named(rank)} runs on {rank.host}, which is the name of no node",
            code="unknown-host",
            data={"rank": rank.rank, "host": rank.host},
        )
    hcas = snapshot.choice(name).hcas
    counted = ", ".join(f"{hca} {n}" for hca, n in rank.channels.items()) or "none"
    idle = [hca for hca in hcas if not rank.channels.get(hca)]
    if not idle:
        return ok(f"{_named(rank)}: channels {counted}", node=name)
    if not rank.channels:
        return unknown(
            f"{_named(rank)} uses RDMA, but the log names no channel",
            fix=DEBUG,
            node=name,
            code="no-channel-lines",
            data={"rank": rank.rank},
        )
    return fail(
        f"{_named(rank)} has no channel on {', '.join(idle)}",
        Evidence(", ".join(hcas), counted, path),
        Remedy("see fabric.hca and fabric.halves for this node"),
        node=name,
        code="no-channel",
        data={"rank": rank.rank, "hcas": idle},
    )


def traffic(snapshot: Snapshot) -> Iterator[Finding]:
    """A generation moves the counters of each HCA of the fabric, which proves that RDMA is used."""
    if nothing := without_nccl(snapshot):
        yield nothing
        return
    found = snapshot.seen(snapshot.looks.generation, snapshot.inventory.head.name)
    if not generates(found.answer):
        yield unknown("nothing was generated, see running.generation", code="no-tokens")
        return
    yield from per_node(snapshot, lambda name: _carried(snapshot, name, found))


def _carried(snapshot: Snapshot, name: str, found: Generation) -> Iterator[Finding]:
    before, after = found.before.get(name), found.after.get(name)
    if before is None or after is None:
        yield unknown("the counters could not be read", node=name, data={"what": "counters"})
        return
    interfaces = {half.hca: half.interface for half in snapshot.halves(name)}
    for hca in snapshot.choice(name).hcas:
        yield _moved(name, hca, interfaces[hca], before.get(hca, {}), after.get(hca, {}))


def _moved(
    name: str, hca: str, interface: str, before: Mapping[str, int], after: Mapping[str, int]
) -> Finding:
    own = [(found, t) for t in TRAFFIC if (found := _growth(t, before, after)) is not None]
    for carried, traffic in own:
        if carried >= LEAST[traffic.unit]:
            text = f"{hca} carried {carried} {traffic.unit} during the generation"
            return ok(text, node=name)
    where = f"/sys/class/infiniband/{hca}/ports/1"
    if own:
        carried, traffic = own[0]
        return _idle(name, hca, f"{carried} {traffic.unit}", carried, where)
    carried_by_netdev = _growth(NETDEV, before, after)
    if carried_by_netdev is None:
        return unknown(f"{hca} has no traffic counters", node=name, data={"hca": hca})
    if carried_by_netdev < LEAST[NETDEV.unit]:
        where = f"/sys/class/net/{interface}/statistics"
        return _idle(name, hca, f"{carried_by_netdev} bytes", carried_by_netdev, where)
    return info(
        f"{hca} has no traffic counters; {interface} carried {carried_by_netdev} bytes during the"
        " generation, TCP's included",
        node=name,
        code="netdev-traffic",
        data={"hca": hca, "interface": interface, "got": carried_by_netdev},
    )


def _growth(traffic: Traffic, before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """How much was carried between two looks; None where no counter is in both."""
    both = [name for name in traffic.names if name in before and name in after]
    return sum(after[name] - before[name] for name in both) * traffic.each if both else None


def _idle(name: str, hca: str, got: str, carried: int, where: str) -> Finding:
    return fail(
        f"{hca} carried no traffic while tokens were generated",
        Evidence("counters that grow", got, where),
        Remedy("see running.transport: NCCL_DEBUG=INFO shows which HCAs NCCL uses"),
        node=name,
        code="no-traffic",
        data={"hca": hca, "got": carried},
    )


CHECKS = (
    Check("running.transport", "cluster", transport, needs=(Source.LOG,), lacks=applies.ranks),
    Check("running.traffic", "cluster", traffic, needs=(Source.GENERATION,), lacks=applies.ranks),
)
