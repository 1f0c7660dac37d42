"""Where a log alone cannot tell causes apart: the checks that can, and what they say; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparkctl.doctor.checks.selection import devices
from sparkctl.doctor.finding import Finding, Severity
from sparkctl.fabric.grammar import IB_HCA
from sparkctl.fabric.hca import Device, select_hcas
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.nccllog.model import Finding as LogFinding
    from sparkctl.fabric.nccllog.model import LogVerdict

NO_DEVICE = ("fabric.devices", "fabric.halves", "fabric.uverbs", "fabric.libraries", "fabric.hca")
ADDRESSES = ("fabric.addresses", "fabric.gid", "fabric.gid-index", "fabric.pairing")
PATH = ("fabric.mtu", "fabric.ping", "fabric.loss", "fabric.subnets")
SETTINGS = ("settings", "running.environment")
# Each cause of a log, and each candidate for one (fabric/nccllog/advice.py).
DECIDING: dict[str, tuple[str, ...]] = {
    "ib-disabled": SETTINGS,
    "net-forced-socket": SETTINGS,
    "plugin-only": SETTINGS,
    "hca-filter-no-match": ("fabric.devices", "fabric.hca"),
    "hca-filter": ("fabric.devices", "fabric.hca"),
    "no-device": NO_DEVICE,
    "net-ib-unavailable": NO_DEVICE,
    "no-hardware": ("fabric.devices",),
    "port-down": ("fabric.halves",),
    "uverbs-missing": ("fabric.uverbs", "running.verbs"),
    "device-open-denied": ("fabric.uverbs",),
    "provider-missing": ("fabric.libraries",),
    "libibverbs-missing": ("fabric.libraries",),
    "ifname-no-match": ("fabric.interfaces",),
    "gid-family-mismatch": ADDRESSES,
    "gid-empty-slot": ADDRESSES,
    "peer-timeout": (*ADDRESSES, *PATH),
    "no-route": (*ADDRESSES, *PATH),
    "retry-exceeded": PATH,
    "mtu-mismatch": ("fabric.mtu", "fabric.ping"),
    "loss": ("fabric.loss",),
    "peer-died": ("running.ranks",),
    "memory-registration": ("fabric.memlock", "running.verbs", "host.kernel"),
    "memlock-limit": ("fabric.memlock", "running.verbs"),
    "kho-kernel": ("host.kernel",),
    "settings-differ": SETTINGS,
    "mixed-transports": (*NO_DEVICE, *SETTINGS),
    "one-half-only": ("fabric.halves", "fabric.addresses", "fabric.hca"),
    "unknown": (*NO_DEVICE, *SETTINGS),
}
# Where a check has findings of several kinds: those that mean this cause.
MEANING: dict[str, re.Pattern[str]] = {
    "ib-disabled": re.compile(r"\bNCCL_IB_DISABLE(?:=| is )(?!0\b|unset)"),
    "net-forced-socket": re.compile(r"\bNCCL_NET(?:=| is )(?!unset)"),
    "plugin-only": re.compile(r"\bNCCL_NET(?:_PLUGIN)?(?:=| is )(?!unset)"),
    "uverbs-missing": re.compile(r"has no uverbs device|does not see"),
    "device-open-denied": re.compile("may not open"),
    "provider-missing": re.compile("provider"),
    "libibverbs-missing": re.compile("does not load"),
    "hca-filter-no-match": re.compile("does not select"),
    "memlock-limit": re.compile("memlock"),
    "kho-kernel": re.compile("KHO|CmaTotal"),
}

# NCCL_IB_HCA as the log has it, or as unset, tells these on a node's devices: `up` may set another.
TRIED = ("hca-filter-no-match", "hca-filter", "port-down")
# One end tells of these, and either may have caused it.
BETWEEN = ("gid-family-mismatch", "gid-empty-slot", "peer-timeout", "no-route", "retry-exceeded")
# Of two checks that both show it, the one that names the node: a ping fails on both.
SURER = {"mtu-mismatch": "fabric.mtu"}
# The node's own /dev is no proof for a process in a container: the running ranks' are.
INSIDE = {"uverbs-missing": "running.verbs"}


@dataclass(frozen=True)
class Decision:
    """A cause that the log leaves open: `found` on a node by these checks, `not found` on any, or
    still `open`, because a check could not tell or there is none.
    """

    cause: str
    state: Literal["found", "not found", "open"]
    node: str | None = None
    checks: tuple[str, ...] = ()


def deciding(verdict: LogVerdict) -> list[str]:
    """The checks, by id, that decide between what the log leaves open; none when nothing is."""
    causes = (c for f in verdict.findings for c in (f.cause, *(o.cause for o in f.candidates)))
    return list(dict.fromkeys(check for cause in causes for check in DECIDING.get(cause, ())))


def decide(verdict: LogVerdict, findings: Sequence[Finding], view: View) -> list[Decision]:
    """What the nodes say of each candidate (of the cause itself where the log names no other).

    A log of hosts that no node is called may come from any of them.
    """
    decisions = (d for told in verdict.findings for d in _decide(verdict, told, findings, view))
    return list(dict.fromkeys(decisions))


def _decide(
    verdict: LogVerdict, told: LogFinding, findings: Sequence[Finding], view: View
) -> Iterator[Decision]:
    named = {view.hosts.get(rank.rpartition(":")[0]) for rank in told.ranks}
    anywhere = None in named or not named or told.cause in BETWEEN
    nodes = None if anywhere else {n for n in named if n}
    values = set(verdict.values(IB_HCA, told.ranks).values())
    for cause in [c.cause for c in told.candidates] or [told.cause]:
        half = told.cause == "one-half-only"  # where a port is down for the other half's sake
        if cause in TRIED and (not half or (cause == "hca-filter" and values)):
            yield from _tried(
                cause, values, view, [n for n in view.known if nodes is None or n in nodes]
            )
            continue
        said = [f for f in findings if _about(f, cause) and _on(f, nodes)]
        proofs = [f for f in said if _proves(f, cause)]
        proofs = [f for f in proofs if f.check == SURER.get(cause)] or proofs
        for node in dict.fromkeys(f.node for f in proofs):
            checks = dict.fromkeys(f.check for f in proofs if f.node == node)
            yield Decision(cause, "found", node, tuple(checks))
        if proofs:
            continue
        blind = [f for f in said if f.severity in (Severity.UNKNOWN, Severity.CRASH)]
        clear = [f for f in said if f not in blind and f.severity is not Severity.INFO]
        unseen = cause in INSIDE and INSIDE[cause] not in {f.check for f in clear}
        if blind or not clear or unseen:
            yield Decision(cause, "open", checks=tuple(dict.fromkeys(f.check for f in blind)))
        elif told.candidates:  # what a log proves is true, whatever the nodes look like now
            yield Decision(cause, "not found", checks=tuple(dict.fromkeys(f.check for f in clear)))


def _tried(
    cause: str, values: Collection[str], view: View, nodes: Collection[str]
) -> Iterator[Decision]:
    """Whether the cause holds on a node for one of these values of NCCL_IB_HCA (none: unset)."""
    found, blind = [], False
    for node in nodes:
        try:
            if any(_holds(cause, value, view, node) for value in values or (None,)):
                found.append(node)
        except Missing:
            blind = True
    for node in found:
        yield Decision(cause, "found", node, ("fabric.devices",))
    if not found:
        yield Decision(cause, "open" if blind else "not found", checks=("fabric.devices",))


def _holds(cause: str, value: str | None, view: View, node: str) -> bool:
    here, version = devices(view, node), view.nccl_version(node)
    chosen = select_hcas(value, here, version).selected
    if cause == "hca-filter":
        return not set(chosen).issuperset(view.choice(node).hcas)
    if cause == "port-down":
        were_all_up = [Device(d.name, d.port) for d in here]
        return not chosen and bool(select_hcas(value, were_all_up, version).selected)
    return value is not None and not chosen


def _about(finding: Finding, cause: str) -> bool:
    checks = DECIDING.get(cause, ())
    return finding.check in checks or finding.check.partition(".")[0] in checks


def _on(finding: Finding, nodes: Collection[str] | None) -> bool:
    """Whether it is on one of these nodes; a pair's is on both of its nodes."""
    return nodes is None or finding.scope != "node" or finding.node in nodes


def _proves(finding: Finding, cause: str) -> bool:
    wrong = finding.severity in (Severity.FAIL, Severity.WARN)
    return wrong and (cause not in MEANING or bool(MEANING[cause].search(finding.summary)))
