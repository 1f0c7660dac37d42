"""Runs checks on a snapshot; a bug in a check becomes a finding, never a traceback."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check, Source, subjects
from sparkctl.doctor.dependencies import withhold
from sparkctl.doctor.finding import ORDER, UNDECIDED, Finding, Severity, info, unread
from sparkctl.doctor.snapshot import NoFacts, Snapshot
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import UsageError
from sparkctl.facts.unread import Missing
from sparkctl.text import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


# The families of checks that concern a node without a service too.
BARE = ("reach", "fabric", "host")
SERVED_MEMORY = "host.memory"  # judges whether the model fits


def choose_checks(only: Collection[str] = (), skip: Collection[str] = ()) -> list[Check]:
    """The checks with these ids (all if none is given) without the skipped, in declared order.

    An id may be a family, such as `fabric`. Raises UsageError for an unknown id.
    """
    for name in (*only, *skip):
        if not any(_matches(check, name) for check in CHECKS):
            hint = "run `sparkctl doctor --list-checks` to see the ids"
            data = {"check": name}
            known = dict.fromkeys(part for c in CHECKS for part in (c.id, c.id.partition(".")[0]))
            text = f'unknown check "{name}"{nearest(name, known)}'
            raise UsageError(text, hint=hint, code="unknown-check", data=data)
    chosen = [c for c in CHECKS if not only or any(_matches(c, name) for name in only)]
    return [c for c in chosen if not any(_matches(c, name) for name in skip)]


def _matches(check: Check, name: str) -> bool:
    return name in (check.id, check.id.partition(".")[0])


def sources(checks: Iterable[Check]) -> set[Source]:
    """What has to be collected for these checks."""
    return {source for check in checks for source in check.needs}


def evaluate(
    snapshot: Snapshot, checks: Sequence[Check], before: Sequence[Check] = ()
) -> list[Finding]:
    """The findings of every check, in declared order, by service and subject.

    A remedy is withheld while a finding that it depends on FAILs: of these checks, or of those
    `before` them, which are not reported. A node without a service is checked as a host and as a
    part of the fabric.
    """
    found = [f for part in snapshot.parts for f in _evaluated(part, checks, before)]
    if rest := snapshot.rest:
        found += _evaluated(rest, *([c for c in some if _bare(c)] for some in (checks, before)))
    order = {check.id: index for index, check in enumerate(checks)}
    return sorted(found, key=lambda f: order[f.check])


def _bare(check: Check) -> bool:
    """Whether a check is about the node itself, whatever it serves."""
    family = check.id.partition(".")[0]
    own = family in BARE and check.id != SERVED_MEMORY
    return check.scope == "node" and not check.needs and own


def _evaluated(
    snapshot: Snapshot, checks: Sequence[Check], before: Sequence[Check]
) -> list[Finding]:
    found = _found(snapshot, checks)
    failures = failed([*found, *_found(snapshot, before)])
    own = withhold(found, failures, snapshot.inventory.head.name)
    if service := _service(snapshot):
        return [f.of_service(service) for f in own]
    return [replace(f, fix=f.fix and f.fix.of_engine(snapshot.engine.kind)) for f in own]


def _service(snapshot: Snapshot) -> str:
    """The service that a part of a snapshot is about, if there are several."""
    if snapshot.whole is None or len(snapshot.whole.views) == 1:
        return ""
    return next((v.service for v in snapshot.inventory.views), "")


def _found(snapshot: Snapshot, checks: Sequence[Check]) -> list[Finding]:
    found: list[Finding] = []
    for check in checks:
        own = [f for subject in subjects(check, snapshot) for f in _run(check, snapshot, subject)]
        found += _with_absent(check, snapshot, own) if check.scope == "cluster" else own
    return found


def _with_absent(check: Check, snapshot: Snapshot, own: list[Finding]) -> list[Finding]:
    """A cluster check's findings, and UNKNOWN for each node without facts."""
    named = {f.node for f in own}
    absent = [n for n in snapshot.names if n not in snapshot.known and n not in named]
    # A check that itself lacks such a node, as the head, would report it twice.
    kept = [f for f in own if f.node or f.code != NoFacts.code or f.data["node"] not in absent]
    added = (unread(snapshot.absence(name), node=name) for name in absent)
    return [*kept, *(f.of(check.id, check.scope) for f in added)]


def _run(check: Check, snapshot: Snapshot, subject: tuple[str, ...]) -> Iterator[Finding]:
    found: list[Finding] = []
    try:
        # One by one: what was found before something turned out to be missing counts.
        lacks = check.lacks(snapshot)
        for finding in (
            _lacking(snapshot, subject, lacks) if lacks else check.run(snapshot, *subject)
        ):
            found.append(finding)
    except Missing as error:
        found.append(unread(error))
    except Exception as error:  # a bug in one check must not hide the others' findings
        bug = f"bug in the check: {type(error).__name__}: {error}"
        found.append(Finding(Severity.CRASH, bug, code="bug"))
    yield from (f.of(check.id, check.scope, *subject) for f in found)


def _lacking(snapshot: Snapshot, subject: tuple[str, ...], why: str) -> Iterator[Finding]:
    """INFO on a check that does not concern the engine. Raises Missing where nothing is known of
    the node, which else seemed to be judged.
    """
    node = subject[-1] if subject else snapshot.inventory.head.name
    snapshot.facts(node)
    yield info(why, node=node, code="not-applicable", data={"engine": snapshot.engine.title})


def pasteable(snapshot: Snapshot, findings: Iterable[Finding], inventory: str) -> list[Finding]:
    """The findings with commands to paste as they are: without sudo on a node where SSH logs in
    as root, and with `inventory` (if the user named one) for sparkctl's own.
    """
    root = {name for name, facts in snapshot.all_facts.items() if facts.uid == 0}
    return [
        replace(f, fix=f.fix and f.fix.at(root=f.node in root, inventory=inventory))
        for f in findings
    ]


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """The number of findings by severity, worst first."""
    counter = Counter(f.severity for f in findings)
    return {severity.value: counter[severity] for severity in ORDER}


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that make `doctor` exit with 3, and `up` refuse to start."""
    return [f for f in findings if f.severity is Severity.FAIL]


def undecided(
    snapshot: Snapshot, checks: Iterable[Check], findings: Iterable[Finding]
) -> dict[str, str]:
    """The nodes asked about for which no check could decide, each with the most frequent reason.

    That a node answers does not count, unless no other check was chosen.
    """
    relevant = _relevant(list(checks), findings)
    found = {}
    for name in snapshot.names:
        own = [f for f in relevant if name in (f.node, *f.about)]
        # A cluster check's findings on the head, or on no node, may hold for all of a service.
        own = own or [f for f in relevant if f.scope == "cluster" and _is_of(f, snapshot, name)]
        if own and all(f.severity in UNDECIDED for f in own):
            found[name] = _most_frequent(own).summary
    return found


def _is_of(finding: Finding, snapshot: Snapshot, name: str) -> bool:
    view = snapshot.inventory.view_of(snapshot.node(name))
    return view is not None and finding.data.get("service") in (None, view.service)


def _relevant(checks: Sequence[Check], findings: Iterable[Finding]) -> list[Finding]:
    """The findings that say something about a node."""
    ids = {c.id for c in checks if not c.contact} or {c.id for c in checks}
    return [f for f in findings if f.check in ids]


def _most_frequent(findings: Sequence[Finding]) -> Finding:
    """The first finding with the most frequent reason."""
    reasons = Counter(map(_reason, findings))
    return max(findings, key=lambda f: reasons[_reason(f)])


def _reason(finding: Finding) -> tuple[str, str]:
    return finding.code, str(finding.data.get("what", ""))
