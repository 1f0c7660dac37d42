"""Findings as one self-contained page to send to somebody, without names of people or places."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sparkctl import __version__
from sparkctl.doctor.finding import Severity
from sparkctl.output.doctor import amounts, together
from sparkctl.output.report.fabric import fabric
from sparkctl.output.report.nodecards import cards
from sparkctl.output.report.pagefile import BEGINNING
from sparkctl.output.report.templating import environment, masked, policy, style
from sparkctl.output.report.verdict import verdict
from sparkctl.output.report.withheld import accounts, note, unmaskable, withhold
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.masking import Masking
    from sparkctl.doctor.snapshot import Snapshot

SIGNS = {"good": "✓", "warned": "!", "unsure": "?", "bad": "✗"}
# How the style sheet calls a severity.
STATES = {
    Severity.CRASH: "bad",
    Severity.FAIL: "bad",
    Severity.WARN: "warned",
    Severity.UNKNOWN: "unsure",
    Severity.OK: "good",
    Severity.INFO: "noted",
}

# The sections of what is wrong: id, title, severities.
PROBLEMS = (
    ("failures", "Failures", (Severity.CRASH, Severity.FAIL)),
    ("warnings", "Warnings", (Severity.WARN,)),
    ("undecided", "Not decided", (Severity.UNKNOWN,)),
)


def people(snapshot: Snapshot) -> set[str]:
    """The names to mask: the inventory's users, and all accounts of the nodes."""
    found = {snapshot.inventory.ssh_of(node).user or "" for node in snapshot.inventory.nodes}
    for facts in snapshot.all_facts.values():
        found |= accounts(facts) or set()
    return found


def hosts(snapshot: Snapshot) -> dict[str, set[str]]:
    """The hosts to mask by node: from the inventory, and the node's own hostname.

    A host of several nodes, such as a gateway with a port for each, is under all their names.
    """
    called: dict[str, list[str]] = {}
    for node in snapshot.inventory.nodes:
        facts = snapshot.all_facts.get(node.name)
        for host in {node.host, facts.hostname if facts else node.host}:
            called.setdefault(host, []).append(node.name)
    found: dict[str, set[str]] = {}
    for host, nodes in called.items():
        found.setdefault("-and-".join(nodes), set()).add(host)
    return found


def page(snapshot: Snapshot, findings: Sequence[Finding], masking: Masking) -> str:
    """The page's HTML; every text is masked by `masking`, and what holds unknown names left out."""
    left_out = unmaskable(snapshot)
    shown = withhold(findings, left_out)
    said = verdict(snapshot, shown)
    sheet = style("page.css")
    template = environment(masking).get_template("page.html.j2")
    return template.render(
        beginning=Markup(BEGINNING),
        policy=policy(sheet),
        style=sheet,
        cluster=snapshot.inventory.cluster,
        state=said.state,
        sign=SIGNS[said.state],
        sentence=said.sentence,
        counts=[{"text": text, "state": STATES[s]} for s, text in amounts(shown)],
        notes=[note(name) for name in left_out],
        imitated="; ".join(snapshot.inventory.imitated),
        when=time.strftime("%Y-%m-%d %H:%M %z"),
        version=__version__,
        cards=cards(snapshot, shown, left_out),
        **fabric(snapshot, left_out, partial(masked, masking=masking)),
        **_sections(shown),
    )


def _sections(findings: Sequence[Finding]) -> dict[str, Any]:
    """What is wrong, worst first; the notes and what passed."""

    def fields(*severities: Severity) -> list[dict[str, Any]]:
        found = ([f for f in findings if f.severity is s] for s in severities)
        return [_fields(f) for some in found for f in together(some)]

    problems = (
        {"id": id_, "title": title, "findings": fields(*severities)}
        for id_, title, severities in PROBLEMS
    )
    notes, passed = fields(Severity.INFO), fields(Severity.OK)
    return {
        "problems": [section for section in problems if section["findings"]],
        "infos": notes,
        "infos_title": counted(len(notes), "note"),
        "passed": passed,
        "passed_title": f"{len(passed)} passed",
    }


def _fields(finding: Finding) -> dict[str, Any]:
    """A finding as the templates print it."""
    fix = finding.fix
    return {
        "severity": Markup(finding.severity.value),
        "check": finding.check,
        "node": finding.node or "",
        "summary": finding.summary,
        "evidence": finding.evidence,
        "fix": fix.text if fix else "",
        "after": bool(fix and fix.after),
        "commands": "\n".join(fix.to_paste) if fix else "",
    }
