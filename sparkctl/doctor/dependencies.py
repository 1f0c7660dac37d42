"""Which checks come first: a remedy is withheld while a finding that it depends on FAILs; pure.

A remedy above a fault that remains cures nothing or does harm: a restart gives processes that work
the broken value.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Finding, Severity
from sparkctl.doctor.remedy import Prior, Remedy
from sparkctl.doctor.table import CHECKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sparkctl.doctor.check import Check


class Where(Enum):
    """Where a finding has to be for another's remedy to wait for it."""

    # On a node that both are about. Two pairs have to be the same.
    HERE = "here"
    HEAD = "head"
    ANYWHERE = "anywhere"


@dataclass(frozen=True)
class Rule:
    """The findings `waiting` wait for those of `first`: each a check, or `check/code`.

    `waiting` may be a family of checks, `but` some of its findings.
    """

    waiting: str
    first: tuple[str, ...]
    where: Where = Where.HERE
    but: tuple[str, ...] = ()


# `sparkctl up` refuses to start while one of these fails, on whichever node: what restarts would
# leave nothing running.
STARTS = tuple(check.id for check in CHECKS if check.preflight)
# What a half of the cable needs before anything else works.
HALF = ("fabric.halves", "fabric.addresses")
# What a container requires before it starts.
BOX = ("container.engine", "container.image", "container.mounts")
# What runs and is cured without a restart.
WITHOUT_RESTART = ("running.api/unreachable", "running.libnccl")
RULES: tuple[Rule, ...] = (
    # The other end of a cable that is down has no carrier.
    Rule("fabric.halves/no-carrier", ("fabric.halves/interface-down",), Where.ANYWHERE),
    # Which ports can be chosen follows from those that are ACTIVE with an address; a name in the
    # inventory that is wrong (fabric/port_errors.py) does not.
    Rule("fabric.choice/no-usable-port", ("fabric.devices", *HALF)),
    Rule("fabric.choice/port-not-active", HALF),
    Rule("fabric.choice/address-missing", HALF),
    Rule("fabric.mtu", ("fabric.choice",)),
    # NCCL skips a device that is not ACTIVE, and an interface that is down or has no address.
    Rule("fabric.hca", ("fabric.halves",)),
    Rule("fabric.interfaces", HALF),
    # Two halves without a configured address share the link-local subnet.
    Rule("fabric.subnets/halves-share-subnet", ("fabric.addresses/link-local",)),
    Rule("fabric.pairing", (*HALF, "fabric.subnets")),
    # A GID follows from its address.
    Rule("fabric.gid", (*HALF, "fabric.subnets", "fabric.pairing")),
    # What is written to a network file has to be right.
    Rule("fabric.persistent", (*HALF, "fabric.subnets", "fabric.pairing", "fabric.gid")),
    Rule("fabric.ping", (*HALF, "fabric.subnets", "fabric.mtu", "fabric.pairing")),
    Rule("fabric.ping", ("host.firewall/no-route",)),
    Rule("fabric.ping/packet-loss", ("fabric.pcie",)),
    Rule("host.firewall", (*HALF, "fabric.subnets", "fabric.pairing")),
    # A receiver on a narrow PCIe link drops packets, as does one that has a smaller MTU.
    Rule("fabric.loss", ("fabric.halves", "fabric.pcie")),
    Rule("fabric.loss", ("fabric.mtu",), Where.ANYWHERE),
    # Nothing is known of a container that no engine can start, or without its image.
    Rule("container.image", ("container.engine",)),
    # Nor does a container start without what it mounts.
    Rule("container.gpu", (*BOX, "host.gpu")),
    Rule("container.rdma", (*BOX, "fabric.uverbs")),
    Rule("container.memlock", BOX),
    Rule("runtime", ("container.image",)),
    # An installation requires room, and versions are compared with the head's.
    Rule("runtime.present", ("host.disk",)),
    Rule("runtime.versions", ("host.disk", "runtime.present")),
    Rule("runtime.versions", ("runtime.present",), Where.HEAD),
    Rule("runtime.nccl", ("host.disk", "runtime.present", "runtime.versions"), Where.ANYWHERE),
    Rule("runtime.imports", ("host.disk", "runtime.present", "runtime.versions")),
    # The head's checkpoint is what is copied and compared with.
    Rule("model.same", ("model.present",)),
    Rule("model.same", ("model.present",), Where.HEAD),
    Rule("host.gpu-clocks", ("host.gpu",)),
    # What is swapped out has to fit into memory.
    Rule("host.swap", ("host.memory",)),
    Rule("running", STARTS, Where.ANYWHERE, but=WITHOUT_RESTART),
    # Of several causes for a restart, the first in the order in which a cluster starts.
    Rule("running.ranks", ("running.ray",), Where.ANYWHERE),
    Rule("running.api/no-answer", ("running.ray", "running.ranks"), Where.ANYWHERE),
    Rule("running.generation", ("running.ray", "running.ranks"), Where.ANYWHERE),
    Rule("running.libnccl/nodes-differ", ("runtime.versions",), Where.ANYWHERE),
    Rule("running.libnccl/ranks-differ", ("running.environment",)),
    Rule(
        "running.transport",
        ("running.environment", "running.verbs", "running.libnccl"),
        Where.ANYWHERE,
    ),
    Rule("running.traffic", ("running.transport",), Where.ANYWHERE),
)


def withhold(findings: Iterable[Finding], failures: Sequence[Finding], head: str) -> list[Finding]:
    """The findings; a remedy that depends on one of `failures` only says what comes first.

    That is the end of the chain, where a remedy is shown.
    """
    known: dict[Finding, list[Finding]] = {}
    by_name = _by_name(f for f in failures if f.severity is Severity.FAIL)
    return [_withheld(f, _ends(f, by_name, head, known)) if f.fix else f for f in findings]


def prerequisites(checks: Sequence[Check], skip: Collection[str] = ()) -> list[Check]:
    """The further checks that the remedies of these depend on, but for those with an id of `skip`,
    in declared order.
    """
    ids = {check.id for check in checks}
    found, pending = {*ids}, [*ids]
    while pending:
        waiting = pending.pop()
        for rule in RULES:
            if _check(rule.waiting) in (waiting, _family(waiting)):
                new = {_check(name) for name in rule.first} - found
                found |= new
                pending += new
    return [check for check in CHECKS if check.id in found - ids - {*skip}]


def _check(name: str) -> str:
    return name.partition("/")[0]


def _family(check: str) -> str:
    return check.partition(".")[0]


def _names(finding: Finding) -> tuple[str, str, str]:
    """The names by which a rule may mean a finding."""
    return _family(finding.check), finding.check, f"{finding.check}/{finding.code}"


def _by_name(failures: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in failures:
        for name in _names(finding):
            found[name].append(finding)
    return found


def _ends(
    finding: Finding,
    failures: Mapping[str, list[Finding]],
    head: str,
    known: dict[Finding, list[Finding]],
) -> list[Finding]:
    """The failures at the end of each chain that a finding depends on, each once; none if it is
    free.
    """
    if finding not in known:
        ends: dict[Finding, None] = {}  # of chains that meet a list would have each end many times
        for first in _first(finding, failures, head):
            ends |= dict.fromkeys(_ends(first, failures, head, known) or [first])
        known[finding] = [*ends]
    return known[finding]


def _first(finding: Finding, failures: Mapping[str, list[Finding]], head: str) -> list[Finding]:
    """The failures that a finding depends on directly."""
    names = _names(finding)
    return [
        first
        for rule in RULES
        if rule.waiting in names and not {*names} & {*rule.but}
        for name in rule.first
        for first in failures.get(name, ())
        if _is_where(rule.where, finding, first, head)
    ]


def _is_where(where: Where, finding: Finding, first: Finding, head: str) -> bool:
    if where is Where.ANYWHERE:
        return True
    if where is Where.HEAD:
        return first.node == head
    if finding.scope == first.scope == "pair":
        return {*finding.about} == {*first.about}
    # One about no node is about the cluster.
    mine, theirs = ({f.node, *f.about} - {None} for f in (finding, first))
    return not mine or not theirs or bool(mine & theirs)


def _withheld(finding: Finding, ends: Iterable[Finding]) -> Finding:
    after = tuple(dict.fromkeys(Prior(f.check, f.code, f.node) for f in ends))
    return replace(finding, fix=Remedy.withheld(after)) if after else finding
