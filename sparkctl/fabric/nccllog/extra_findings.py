"""Findings on what is no rank's own cause: the program's errors, versions that differ; pure."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import advice
from sparkctl.fabric.nccllog.advice import Advice
from sparkctl.fabric.nccllog.classify import transport
from sparkctl.fabric.nccllog.evidence import evidence
from sparkctl.fabric.nccllog.model import Candidate, Fix
from sparkctl.fabric.nccllog.peers import communicators, overall
from sparkctl.fabric.nccllog.program import INVALID_USAGE, ROOT_LOST, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.fabric.nccllog.model import Evidence, Finding, Transport
    from sparkctl.fabric.nccllog.rank import RankState

# Torch's Gloo takes one literal interface name.
GLOO = Advice(
    "gloo-no-address",
    "Gloo found no address for the interface that it was given",
    Fix(
        "set GLOO_SOCKET_IFNAME on each node to the one interface that carries the fabric address"
        " there: no prefix, list or ^, no quotes or spaces; if it is unset, give the node's host"
        " name one of the node's addresses",
        ("ip -br address",),
    ),
)
MOST_RANKS = 8  # whose lines are shown
PLAIN = re.compile(r"[\w.-]+")
PROGRAM = {
    ROOT_LOST: Advice(
        ROOT_LOST,
        "a rank waited for another to set up NCCL, and that one exited first",
        Fix(f"{advice.ALL_LOGS}; the rank that ended first shows why"),
        (advice.PEER_DIED,),
    ),
    INVALID_USAGE: Advice(
        INVALID_USAGE,
        "NCCL did not start: invalid usage",
        Fix(
            "set NCCL_IB_HCA on each node to the node's own RDMA devices, and all other settings"
            f" alike on every rank; {advice.SHOW_MORE}",
            (advice.LIST_DEVICES, advice.SETTINGS_FILES),
        ),
        (
            Candidate(
                "hca-filter",
                f"`{advice.LIST_DEVICES}` on each node: one NCCL_IB_HCA does not fit nodes whose"
                " devices have other names",
            ),
            Candidate("settings-differ", f"{advice.OWN_ENVIRONMENT}, compared between the ranks"),
        ),
    ),
}
VERSIONS = Advice(
    "nccl-versions",
    "the ranks run different versions of NCCL, which may hang after a while",
    Fix(
        "install the same runtime on every node, and prevent LD_PRELOAD and the system's libnccl2"
        " from replacing its libnccl",
        ("pip list | grep -i nccl", "dpkg -l 'libnccl*'"),
    ),
)


# vLLM's issue 52504: a replayed graph with NCCL's collectives between nodes hangs within a few
# requests; NCCL 2.30.4 does not.
HANGING = (2, 28, 9)
GRAPHS = Advice(
    "nccl-graphs-hang",
    "NCCL 2.28.9 with CUDA graphs over several nodes may hang within the first requests",
    Fix(
        "install NCCL 2.30.4 or newer on every node, or turn CUDA graphs off: {key}.arguments"
        " enforce-eager: true",
        ("pip list | grep -i nccl",),
    ),
)
CHANGED = Advice(
    "transport-changed",
    "NCCL ran over RDMA in earlier starts in this log, and not in the last one",
    Fix(
        "compare the settings and devices that NCCL printed then with those of the last start; what"
        " changed in between is the cause",
    ),
)


def nothing_read(*, cut: bool = False) -> Finding:
    """The finding on logs without a line of NCCL; `cut`: the beginning of one is missing."""
    if cut:
        return advice.BEGINNING_MISSING.finding("unknown", "UNKNOWN")
    known = Advice("no-nccl-lines", "the log has no line of NCCL", advice.ADVICE["unknown"].fix)
    return known.finding("unknown", "UNKNOWN")


def without_address(lines: Sequence[Evidence]) -> Finding:
    """The finding on Gloo's lines about an interface, which end vLLM."""
    given = list(dict.fromkeys(line.message for line in lines))
    names = ", ".join(name if PLAIN.fullmatch(name) else repr(name) for name in given)
    return GLOO.finding("ifname-no-match", "FAIL", lines, detail=names, data={"interfaces": given})


def program_failed(errors: Mapping[str, Sequence[Evidence]]) -> Iterator[Finding]:
    """A finding for each code of an error that NCCL returned to the program, and that ended it."""
    for code, lines in errors.items():
        fix = Fix(f"{advice.SHOW_MORE}; {advice.ALL_LOGS}")
        known = PROGRAM.get(code) or Advice(code, f"NCCL failed: {WORDS[code]}", fix)
        detail = lines[0].text if code == ROOT_LOST else ""
        yield known.finding("unknown", "FAIL", lines, detail=detail)


def unlike_versions(states: Sequence[RankState]) -> Iterator[Finding]:
    """The finding on ranks of one communicator whose libnccl differ; none if they agree."""
    found: dict[str, RankState] = {}
    for group in communicators(states):
        known = [state for state in group if state.version]
        if len({state.version for state in known}) > 1:
            found.update({state.name: state for state in known})
    if found:
        versions = {name: state.version for name, state in found.items()}
        yield VERSIONS.finding(
            "nccl-versions",
            "WARN",
            (line for s in found.values() for line in s.marks.get("version", ())[:1]),
            detail="; ".join(f"{name} {version}" for name, version in versions.items()),
            ranks=found,
            data=versions,
        )


def graphs_over_nodes(states: Sequence[RankState], lines: Sequence[Evidence]) -> Iterator[Finding]:
    """The finding on captured CUDA graphs with a version of NCCL that hangs in them over nodes."""
    found = [state for state in states if state.release == HANGING and state.nodes > 1]
    if found and lines:
        version = (line for state in found for line in state.marks.get("version", ())[:1])
        ranks = [state.name for state in found]
        yield GRAPHS.finding(
            "cuda-graphs", "WARN", [*lines[-1:], *islice(version, MOST_RANKS)], ranks=ranks
        )


def start_transport(states: Iterable[RankState]) -> Transport:
    """The transport of all ranks of a start."""
    return overall((state, transport(state)) for state in states)


def changed(earlier: Sequence[Sequence[RankState]], now: Transport) -> Iterator[Finding]:
    """The finding on RDMA in an earlier start, where the last start does not run over it."""
    before = [start for start in earlier if start_transport(start) == "rdma"]
    if before and now in ("socket", "failed"):
        yield CHANGED.finding(
            "earlier-starts",
            "INFO",
            (line for state in before[-1] for line in evidence(state, None)[:1]),
            detail=f"{len(before)} of {len(earlier)}",
            ranks=(state.name for state in before[-1]),
            data={"rdma": len(before), "starts": len(earlier)},
        )
