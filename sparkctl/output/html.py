"""Findings as one self-contained page to send to somebody, without names of people or places."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING

from sparkctl import __version__
from sparkctl.doctor.finding import ORDER, Finding
from sparkctl.output.doctor import expectation, summary, together
from sparkctl.output.pagefile import BEGINNING
from sparkctl.output.withheld import accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.doctor.masking import Masking
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.inventory.models import Inventory

STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}td{padding:.4rem .6rem;border-top:1px solid #ddd;
vertical-align:top}code,pre{font:13px/1.4 ui-monospace,monospace}.found{color:#666}
pre{background:#f5f5f5;padding:.5rem;overflow-x:auto;margin:.3rem 0}
.FAIL,.CRASH{color:#b00020;font-weight:600}.WARN{color:#8a5a00;font-weight:600}
.UNKNOWN{color:#006a8a}.INFO{color:#2a4d9b}.OK{color:#1b6e2d}"""


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


def page(
    inventory: Inventory,
    findings: Sequence[Finding],
    masking: Masking,
    notes: Sequence[str] = (),
) -> str:
    """The page's HTML, with `notes` above the findings; every text is masked by `masking`."""

    def safe(text: str) -> str:
        return escape(masking.mask(text))

    rows = [
        _row(finding, safe)
        for severity in ORDER
        for finding in together([f for f in findings if f.severity is severity])
    ]
    when = time.strftime("%Y-%m-%d %H:%M %z")
    return (
        f"{BEGINNING}<title>sparkctl doctor: {safe(inventory.cluster)}</title>"
        f"<style>{STYLE}</style>"
        f"<h1>sparkctl doctor: {safe(inventory.cluster)}</h1>"
        f"<p>{escape(summary(findings))}. {when}, sparkctl {__version__}. Secrets, user names, host"
        " names and public addresses are masked.</p>"
        f"{''.join(f'<p>{safe(note)}</p>' for note in notes)}"
        f"{''.join(f'<p>imitated: {safe(what)}</p>' for what in inventory.imitated)}"
        f"<table>{''.join(rows)}</table></html>\n"
    )


def _row(finding: Finding, safe: Callable[[str], str]) -> str:
    name = finding.severity.value
    parts = [f"<strong>{safe(finding.summary)}</strong>"]
    parts += [
        f'<div class="found">{safe(expectation(e))} (<code>{safe(e.where)}</code>)</div>'
        for e in finding.evidence
    ]
    if finding.fix:
        parts.append(f"<div>{safe(finding.fix.text)}</div>")
        if commands := "\n".join(finding.fix.to_paste):
            parts.append(f"<pre>{safe(commands)}</pre>")
    return (
        f'<tr><td class="{name}">{name}</td><td><code>{escape(finding.check)}</code><br>'
        f"{safe(finding.node or '')}</td><td>{''.join(parts)}</td></tr>"
    )
