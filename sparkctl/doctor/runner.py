"""Running checks over a view; a check that has a bug is a finding, never a traceback."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check, Source, subjects
from sparkctl.doctor.finding import ORDER, Finding, Severity, unknown
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import UsageError
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sparkctl.doctor.snapshot import View

UNDECIDED = (Severity.UNKNOWN, Severity.CRASH)


def choose_checks(only: Collection[str] = (), skip: Collection[str] = ()) -> list[Check]:
    """The checks of these ids (all when none is named) but for the skipped, in declared order.

    An id may be a family, such as `fabric`. Raises UsageError for one that no check has.
    """
    for wanted in (*only, *skip):
        if not any(_matches(check, wanted) for check in CHECKS):
            raise UsageError(f"no check is called {wanted}", hint="`sparkctl doctor --list-checks`")
    chosen = [c for c in CHECKS if not only or any(_matches(c, w) for w in only)]
    return [c for c in chosen if not any(_matches(c, w) for w in skip)]


def _matches(check: Check, wanted: str) -> bool:
    return check.id == wanted or check.id.partition(".")[0] == wanted


def sources(checks: Iterable[Check]) -> set[Source]:
    """What has to be gathered for these checks."""
    return {source for check in checks for source in check.needs}


def evaluate(view: View, checks: Sequence[Check]) -> list[Finding]:
    """Every check's findings, in declared order, each subject's by itself.

    A cluster check goes over the nodes that there are facts of; the others are unknown to it.
    """
    found: list[Finding] = []
    for check in checks:
        own = [f for subject in subjects(check, view) for f in _run(check, view, subject)]
        if check.scope == "cluster":
            told = {f.node for f in own}
            silent = [n for n in view.names if n not in view.known and n not in told]
            absences = [unknown(view.absence(n), node=n) for n in silent]
            # What it lacks of such a node, as of the head, is told with the node.
            reasons = {(f.severity, f.summary) for f in absences}
            own = [f for f in own if f.node or (f.severity, f.summary) not in reasons]
            own += [f.of(check.id, check.scope) for f in absences]
        found += own
    return found


def _run(check: Check, view: View, subject: tuple[str, ...]) -> Iterator[Finding]:
    found: list[Finding] = []
    try:
        # One by one: what was found before something is missing still counts.
        for finding in check.run(view, *subject):
            found.append(finding)
    except Missing as error:
        found.append(unknown(str(error)))
    except Exception as error:  # a bug in one check must not hide the others' findings
        what = f"the check has a bug: {type(error).__name__}: {error}"
        found.append(Finding(Severity.CRASH, what))
    yield from (f.of(check.id, check.scope, *subject) for f in found)


def pasteable(view: View, findings: Iterable[Finding], inventory: str) -> list[Finding]:
    """The findings with commands as they can be pasted: no sudo on a node where SSH gives root,
    and `inventory` (where the user named one) for sparkctl's own.
    """
    root = {name for name, facts in view.all_facts.items() if facts.uid == 0}
    return [
        replace(f, fix=f.fix and f.fix.at(root=f.node in root, inventory=inventory))
        for f in findings
    ]


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings have each severity, the worst first."""
    counter = Counter(f.severity for f in findings)
    return {severity.value: counter[severity] for severity in ORDER}


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Those that make `doctor` exit with 3 and keep `up` from starting."""
    return [f for f in findings if f.severity is Severity.FAIL]


def undecided(view: View, checks: Iterable[Check], findings: Iterable[Finding]) -> dict[str, str]:
    """The nodes asked about of which none of these checks could be decided, each with the reason
    that is given most often.

    That a node answers decides nothing, unless nothing else was to be checked.
    """
    checks = list(checks)
    looking = {c.id for c in checks if not c.contact} or {c.id for c in checks}
    told = [f for f in findings if f.check in looking]
    found = {}
    for name in view.names:
        own = [f for f in told if name in (f.node, *f.about)]
        # What a cluster check says of the head, or of no node, may hold for all.
        own = own or [f for f in told if f.scope == "cluster"]
        reasons = Counter(f.summary for f in own if f.severity in UNDECIDED)
        if own and reasons.total() == len(own):
            found[name] = reasons.most_common(1)[0][0]
    return found
