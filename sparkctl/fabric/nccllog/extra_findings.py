"""Findings on what is no rank's own cause: the program's errors, versions that differ; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.advice import (
    ADVICE,
    ALL_LOGS,
    LIST_DEVICES,
    OWN_ENVIRONMENT,
    PEER_DIED,
    SETTINGS_FILES,
    SHOW_MORE,
    Advice,
)
from sparkctl.fabric.nccllog.model import Candidate, Evidence, Finding, Fix
from sparkctl.fabric.nccllog.peers import communicators
from sparkctl.fabric.nccllog.program import INVALID_USAGE, ROOT_LOST, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
PLAIN = re.compile(r"[\w.-]+")
PROGRAM = {
    ROOT_LOST: Advice(
        ROOT_LOST,
        "a rank waited for another to set up NCCL, and that one exited first",
        Fix(f"{ALL_LOGS}; the rank that ended first shows why"),
        (PEER_DIED,),
    ),
    INVALID_USAGE: Advice(
        INVALID_USAGE,
        "NCCL did not start: invalid usage",
        Fix(
            "set NCCL_IB_HCA on each node to the node's own RDMA devices, and all other settings"
            f" alike on every rank; {SHOW_MORE}",
            (LIST_DEVICES, SETTINGS_FILES),
        ),
        (
            Candidate(
                "hca-filter",
                f"`{LIST_DEVICES}` on each node: one NCCL_IB_HCA for nodes whose devices have"
                " other names",
            ),
            Candidate("settings-differ", f"{OWN_ENVIRONMENT}, compared between the ranks"),
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


def nothing_read() -> Finding:
    """The finding on logs without a line of NCCL."""
    summary, fix = "the log has no line of NCCL", ADVICE["unknown"].fix
    return Finding("unknown", "no-nccl-lines", "UNKNOWN", summary, (), (), (), fix)


def without_address(lines: Sequence[Evidence]) -> Finding:
    """The finding on Gloo's lines about an interface, which end vLLM."""
    given = list(dict.fromkeys(line.message for line in lines))
    names = ", ".join(name if PLAIN.fullmatch(name) else repr(name) for name in given)
    return Finding(
        cause="ifname-no-match",
        code=GLOO.code,
        severity="FAIL",
        summary=f"{GLOO.summary} ({names})",
        ranks=(),
        evidence=tuple(lines),
        candidates=(),
        fix=GLOO.fix,
        data={"interfaces": given},
    )


def program_failed(errors: Mapping[str, Sequence[Evidence]]) -> Iterator[Finding]:
    """A finding for each code of an error that NCCL returned to the program, and that ended it."""
    for code, lines in errors.items():
        words = WORDS.get(code, "")
        other = Advice(code, f"NCCL failed: {words}", Fix(f"{SHOW_MORE}; {ALL_LOGS}"))
        known = PROGRAM.get(code, other)
        yield Finding(
            cause="unknown",
            code=code,
            severity="FAIL",
            summary=f"{known.summary} ({lines[0].text})" if code == ROOT_LOST else known.summary,
            ranks=(),
            evidence=tuple(lines),
            candidates=known.candidates,
            fix=known.fix,
        )


def unlike_versions(states: Sequence[RankState]) -> Iterator[Finding]:
    """The finding on ranks of one communicator whose libnccl differ; none if they agree."""
    found: dict[str, RankState] = {}
    for group in communicators(states):
        known = [state for state in group if state.version]
        if len({state.version for state in known}) > 1:
            found.update({state.name: state for state in known})
    if found:
        listed = [f"{name} {state.version}" for name, state in found.items()]
        lines = (line for s in found.values() for line in s.marks.get("version", ())[:1])
        yield Finding(
            cause="nccl-versions",
            code=VERSIONS.code,
            severity="WARN",
            summary=f"{VERSIONS.summary} ({'; '.join(listed)})",
            ranks=tuple(found),
            evidence=tuple(lines),
            candidates=(),
            fix=VERSIONS.fix,
            data={name: state.version for name, state in found.items()},
        )
