"""What `up` would do and what would stop it, as far as reading shows it; for `plan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.doctor.preflight import preflight, refuse
from sparkctl.errors import PreflightError
from sparkctl.node.unitid import service_of
from sparkctl.operations.departed import look
from sparkctl.operations.outlook import Outlook, doubtful, observe, parts, plan, read, refusals
from sparkctl.operations.up import blocked, left_alone

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doubts import Doubt
    from sparkctl.errors import SparkctlError
    from sparkctl.node.difference import Plan
    from sparkctl.operations.scope import Left
    from sparkctl.operations.session import Session
    from sparkctl.plan.desired import Desired


@dataclass(frozen=True)
class Forecast:
    """What should run, what would change, the checks that fail (`failures`) and what is doubtful.

    `left`: what `up` would leave alone; `refusals`: the errors that it would end with before any
    check; `starts`: whether it would change something, and so run the checks.
    """

    desired: tuple[Desired, ...]
    plan: Plan
    failures: tuple[Finding, ...]
    doubts: tuple[Doubt, ...]
    left: tuple[Left, ...]
    refusals: tuple[SparkctlError, ...]
    starts: bool

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """The failures that would stop `up`: it checks nothing where nothing is to be changed."""
        return self.failures if self.starts else ()

    @property
    def exit_code(self) -> int:
        """3 where a check would stop `up`; else 1 where it would fail, or leave a service alone."""
        return 3 if self.stopping else int(bool(self.refusals or self.left))


def forecast(session: Session) -> Forecast:
    """Read the nodes and judge; changes nothing, sends no ping, asks no model.

    Raises the nodes' errors where no service remains, and PreflightError, as `up` does, where the
    fabric cannot be derived.
    """
    session.begin()
    try:
        desired, seen = read(session)
    except PreflightError:
        for part in parts(session):
            refuse(preflight(part, passive=True))
        raise
    seen = look(session, seen)
    observed = observe(session, desired, seen)
    changes = plan(desired, seen, observed=observed)
    found = Outlook(tuple(desired), seen, changes, observed=observed)
    left = left_alone(session, found)
    errors = refusals(session, found)
    if len(session.inventory.views) == 1:  # of several services those that are blocked are left
        errors += blocked(found).values()
    gone = session.scope.left_services
    return Forecast(
        tuple(desired),
        changes,
        tuple(f for part in parts(session) for f in preflight(part, passive=True)),
        (*doubtful(desired), *session.departed.doubts()),
        left,
        tuple(errors),
        any(service_of(change.unit) not in gone for change in changes.changes),
    )
