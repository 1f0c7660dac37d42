"""`up`: from what runs to what the inventory describes, in the fewest sound steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from sparkctl.errors import RemoteError
from sparkctl.node.unitid import node_of
from sparkctl.node.units import Unread
from sparkctl.operations import apply, attach
from sparkctl.operations.attach import WHY
from sparkctl.operations.identity import identity
from sparkctl.operations.lease import hold
from sparkctl.operations.look import prepare, recall
from sparkctl.operations.outlook import Outlook, outlook
from sparkctl.operations.run import Run, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.doubts import Doubt
    from sparkctl.events import Reporter
    from sparkctl.operations.session import Session
    from sparkctl.plan.desired import Desired

UNSEEN = "`sparkctl doctor` shows why; a unit is never started or replaced unseen"


@dataclass(frozen=True)
class Endpoint:
    """Where a service is reached, and the name of its model there."""

    url: str
    model: str


@dataclass(frozen=True)
class UpReport:
    """What `up` did: the changes, none where nothing differed, and each step's seconds.

    `starting`: units that were started and not waited for.
    """

    cluster: str
    services: Mapping[str, Endpoint]
    changes: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    starting: tuple[str, ...] = ()


def up(
    session: Session,
    reporter: Reporter,
    *,
    preflight: Callable[[Session], None] = lambda _: None,
    consent: Callable[[Outlook], None] = lambda _: None,
    keep: bool = False,
    break_lock: bool = False,
    detach: bool = False,
    leave: Callable[[], bool] = lambda: False,
    restart: Sequence[str] = (),
    asks: bool = True,
) -> UpReport:
    """Bring the cluster up; with `restart`, replace these services whatever they are like.

    Everything is read under the lease, so that nobody changes it meanwhile; another `up` that holds
    it is watched first. `consent` is called before a model that is served is stopped, `preflight`
    before anything is started, `leave` after Ctrl-C: whether the start goes on. With `detach` it
    returns when everything is started, by this run or another `up` that is under way. Raises what
    they raise, LockedError when another command holds the lease, ServingError or RemoteError after
    the rollback (none with `keep`). Unless it `asks` there is no consent to ask for.
    """
    inventory = session.inventory
    holding = partial(
        hold,
        session,
        reporter.note,
        WHY,
        inventory.nodes,
        force=break_lock,
        read=True,
        meanwhile=prepare,
        during=None if restart else partial(recall, session),
    )
    waited = attach.after_others(session, reporter, holding, detach=detach and not restart)
    with waited as other:
        if other is not None:
            services = endpoints(other.desired)
            return UpReport(inventory.cluster, services, changes=(), starting=other.starting)
        found = outlook(session, reporter, preflight=preflight, restart=restart, asks=asks)
        refuse_blocked(found)
        if found.ends:
            reporter.end()
            consent(found)
        run = Run(session, found, reporter, cluster_id=identity(found.seen))
        if found.plan:
            reporter.step("check the nodes")
            for part in [session.within(inventory.view(s)) for s in restart] or [session]:
                preflight(part)
        if found.plan or found.waits or found.untidy:
            perform(run, apply.steps(run, detach=detach), keep=keep, leave=leave)
    return report(run, detach=detach, restart=restart)


def refuse_blocked(found: Outlook) -> None:
    """Raise RemoteError when a unit could not be read: what it needs, and what waits for it, is
    unknown.
    """
    unread = {u: o for u, o in found.observed.items() if isinstance(o, Unread) and u in found.units}
    why = {blocked.by: blocked.reason for blocked in found.plan.blocked}
    why |= {u: o.reason for u, o in unread.items() if u not in why}
    if not why:
        return
    first = next(iter(why))
    node = node_of(first)
    lines = "; ".join(str(blocked.change) for blocked in found.plan.blocked)
    raise RemoteError(
        f"{first} could not be read: {why[first]}" + (f"; it blocks: {lines}" if lines else ""),
        node=node,
        hint=found.seen.hints.get(node, UNSEEN),
        code="unit-unread",
        data={"unit": first, "blocked": [b.change.unit for b in found.plan.blocked]},
    )


def endpoints(desired: Sequence[Desired]) -> dict[str, Endpoint]:
    """Where each service is reached from this machine."""
    return {
        d.inventory.service: Endpoint(
            f"{d.engine.base(d.inventory, d.inventory.head.host)}/v1",
            d.engine.model(d.inventory, d.head.home),
        )
        for d in desired
    }


def report(run: Run, *, detach: bool, restart: Sequence[str] = ()) -> UpReport:
    """The changes, and the endpoints: of these services alone with `restart`, for nobody has looked
    whether the others serve.
    """
    found = run.outlook
    asked = [d for d in found.desired if not restart or d.inventory.service in restart]
    return UpReport(
        cluster=run.cluster,
        services=endpoints(asked),
        changes=tuple(str(change) for change in found.plan.changes),
        seconds=run.seconds,
        doubts=found.doubts,
        starting=tuple(u for u in (*run.started, *found.waits) if u not in run.ready)
        if detach
        else (),
    )
