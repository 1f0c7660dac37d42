"""Findings that a page cannot show: the names in them are unknown and cannot be masked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.facts.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.node import NodeFacts


def accounts(facts: NodeFacts) -> set[str] | None:
    """The names of a node's accounts, None where they were not read."""
    return None if isinstance(facts.people, Unread) else {facts.user, *facts.people}


def unmaskable(snapshot: Snapshot) -> list[str]:
    """The nodes whose texts may hold unknown names.

    An unreachable node has no texts of its own.
    """
    nameless = {name for name, facts in snapshot.all_facts.items() if accounts(facts) is None}
    return [n.name for n in snapshot.inventory.nodes if n.name in nameless | {*snapshot.unreadable}]


def note(node: str) -> str:
    """The line about such a node, for the page and the command."""
    return f"{node}: accounts could not be read; its findings are shown without their texts"


def withhold(findings: Iterable[Finding], nodes: Iterable[str]) -> list[Finding]:
    """The findings, those about these nodes, their pairs and the cluster without their texts."""
    unnamed = set(nodes)
    return [_withheld(f, unnamed) for f in findings]


def _withheld(finding: Finding, unnamed: set[str]) -> Finding:
    whose = unnamed if finding.scope == "cluster" else unnamed & {finding.node, *finding.about}
    if not whose:
        return finding
    reason = f"(withheld: the accounts of {', '.join(sorted(whose))} could not be read)"
    return replace(finding, summary=reason, evidence=(), fix=None)
