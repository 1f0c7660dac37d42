"""One finding for a node without facts, in place of one from each check; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import UNDECIDED, Finding, Severity
from sparkctl.doctor.snapshot import NoFacts
from sparkctl.doctor.table import CHECKS
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTACT = frozenset(check.id for check in CHECKS if check.contact)


def gathered(findings: Iterable[Finding]) -> list[Finding]:
    """The findings to show: what checks could not decide for want of a node's facts is one.

    That is the failure to reach the node or to read its facts, else the first of them. Its data
    names the checks as `unchecked`. Not for what decides by findings: each check counts there.
    """
    every = list(findings)
    lacking = [f for f in every if f.severity in UNDECIDED and f.code == NoFacts.code]
    by_node: dict[str, list[Finding]] = {}
    for finding in lacking:
        by_node.setdefault(str(finding.data["node"]), []).append(finding)
    leads = {_lead(every, name, own): name for name, own in by_node.items()}
    dropped = {f for f in lacking if f not in leads}
    return [
        _leading(f, leads[f], by_node[leads[f]]) if f in leads else f
        for f in every
        if f not in dropped
    ]


def _lead(findings: Iterable[Finding], name: str, lacking: list[Finding]) -> Finding:
    """The finding that stands for all that lack the facts of a node."""
    contact = (
        f for f in findings if f.check in CONTACT and f.node == name and f.severity is Severity.FAIL
    )
    return next(contact, lacking[0])


def _leading(lead: Finding, name: str, lacking: list[Finding]) -> Finding:
    unchecked = list(dict.fromkeys(f.check for f in lacking))
    text = f"{lead.summary}; {counted(len(unchecked), 'check')} could not run"
    return replace(lead, summary=text, node=name, data={**lead.data, "unchecked": unchecked})
