"""Findings beside the ranks' own causes: what the program said, and what no rank shows; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import advice
from sparkctl.fabric.nccllog.model import Candidate, Evidence, Finding, Fix
from sparkctl.fabric.nccllog.peers import communicators
from sparkctl.fabric.nccllog.program import INVALID_USAGE, LOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.fabric.nccllog.rank import RankState

# Torch's Gloo takes one literal interface name.
GLOO = advice.Advice(
    "Gloo found no address for the interface that it was given",
    Fix(
        "set GLOO_SOCKET_IFNAME on each node to the one interface there that carries the fabric"
        " address: no prefix, list or ^, no quotes or spaces; unset, give the node's host name an"
        " address that it has",
        ("ip -br address",),
    ),
)
PLAIN = re.compile(r"[\w.-]+")
ALL_LOGS = "give the logs of all ranks, --log for each: the rank that ended first tells why"
ROOT_LOST = advice.Advice(
    "a rank waited for another to open NCCL, and that one went away first",
    Fix(ALL_LOGS),
    (advice.PEER_DIED,),
)
INVALID = advice.Advice(
    "NCCL refused to start: invalid usage",
    Fix(
        "name each node's own RDMA devices in its NCCL_IB_HCA, and set all else alike on every"
        f" rank; {advice.SHOW_MORE}",
        (advice.LIST_DEVICES, advice.SETTINGS_FILES),
    ),
    (
        Candidate(
            "hca-filter",
            f"`{advice.LIST_DEVICES}` on each node: one NCCL_IB_HCA for nodes whose devices have"
            " other names",
        ),
        Candidate("settings-differ", f"{advice.OWN_ENVIRONMENT}, compared between the ranks"),
    ),
)
VERSIONS = advice.Advice(
    "the ranks run different versions of NCCL, which may hang after a while",
    Fix(
        "install the same runtime on every node, and keep LD_PRELOAD and the system's libnccl2"
        " from replacing its libnccl",
        ("pip list | grep -i nccl", "dpkg -l 'libnccl*'"),
    ),
)


def nothing_read() -> Finding:
    """The finding on logs in which NCCL says nothing."""
    fix = advice.ADVICE["unknown"].fix
    return Finding("unknown", "UNKNOWN", "no line of NCCL in the log", (), (), (), fix)


def without_address(lines: Sequence[Evidence]) -> Finding:
    """The finding on Gloo's lines about an interface, which vLLM does not survive."""
    given = dict.fromkeys(line.text.partition(": ")[2] for line in lines)
    names = ", ".join(name if PLAIN.fullmatch(name) else repr(name) for name in given)
    summary = f"{GLOO.summary} ({names})"
    return Finding("ifname-no-match", "FAIL", summary, (), tuple(lines), (), GLOO.fix)


def program_failed(errors: Mapping[str, Sequence[Evidence]]) -> Iterator[Finding]:
    """A finding for each kind of error that the program got from NCCL, and did not survive."""
    for kind, lines in errors.items():
        other = advice.Advice(f"NCCL failed: {kind}", Fix(f"{advice.SHOW_MORE}; {ALL_LOGS}"))
        told = {LOST: ROOT_LOST, INVALID_USAGE: INVALID}.get(kind, other)
        summary = f"{told.summary} ({lines[0].text})" if kind == LOST else told.summary
        yield Finding("unknown", "FAIL", summary, (), tuple(lines), told.candidates, told.fix)


def unlike_versions(states: Sequence[RankState]) -> Finding | None:
    """The finding on ranks of one communicator whose libnccl differ; None where they agree."""
    found: dict[str, RankState] = {}
    for group in communicators(states):
        known = [state for state in group if state.version]
        if len({state.version for state in known}) > 1:
            found.update({state.name: state for state in known})
    if not found:
        return None
    listed = "; ".join(f"{name} {state.version}" for name, state in found.items())
    lines = tuple(line for state in found.values() for line in state.marks.get("version", ())[:1])
    summary = f"{VERSIONS.summary} ({listed})"
    return Finding("nccl-versions", "WARN", summary, tuple(found), lines, (), VERSIONS.fix)
