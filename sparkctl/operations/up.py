"""`up`: from what runs to what the inventory describes, in the fewest sound steps."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.engines.vllm.secretarguments import API_KEY, variables
from sparkctl.errors import RemoteError, combined
from sparkctl.node.unitid import node_of, service_of
from sparkctl.node.units import Unread
from sparkctl.operations import apply, attach, departed
from sparkctl.operations.attach import WHY
from sparkctl.operations.identity import identity
from sparkctl.operations.lease import hold
from sparkctl.operations.lines import check_lines
from sparkctl.operations.look import prepare, recall
from sparkctl.operations.outlook import Outlook, only, outlook, parts
from sparkctl.operations.run import Run, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.doubts import Doubt
    from sparkctl.events import Reporter
    from sparkctl.operations.scope import Left
    from sparkctl.operations.session import Session
    from sparkctl.plan.desired import Desired

UNSEEN = "`sparkctl doctor` shows why; a unit is never started or replaced unseen"


class ApiKey(NamedTuple):
    """Where a service has its API key: in this `variable` of its environment, by the inventory's
    key `place`, or (None) by the env layer `layer`.
    """

    variable: str
    place: str | None
    layer: str = ""


@dataclass(frozen=True)
class Endpoint:
    """Where a service is reached, and the name of its model there; `key`: if it has one."""

    url: str
    model: str
    key: ApiKey | None = None


@dataclass(frozen=True)
class UpReport:
    """What `up` did: the changes, none where nothing differed, and each step's seconds.

    `several`: there are several services. `starting`: units that were started and not waited for.
    `left_alone`: the services that were not changed because a node of theirs could not be reached
    or read, and such nodes without one. `total`: the command's own seconds, from its begin.
    """

    cluster: str
    services: Mapping[str, Endpoint]
    changes: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    starting: tuple[str, ...] = ()
    left_alone: tuple[Left, ...] = ()
    several: bool = False
    total: float = 0.0


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
    it is watched first. A service with a node that cannot be reached or read is left alone; the
    others are brought up. `consent` is called before a model that is served is stopped, `preflight`
    before anything is started, `leave` after Ctrl-C: whether the start goes on. With `detach` it
    returns when everything is started, by this run or another `up` that is under way. Raises what
    they raise, LockedError when another command holds the lease, ServingError or RemoteError after
    the rollback (none with `keep`). Unless it `asks` there is no consent to ask for.
    """
    inventory = session.inventory
    session.begin(restart)
    holding = partial(
        _held,
        session,
        reporter,
        force=break_lock,
        during=None if restart else partial(recall, session),
    )
    waited = attach.after_others(session, reporter, holding, detach=detach and not restart)
    with waited as other:
        if other is not None:
            services = endpoints(other.desired)
            left = tuple(session.scope.left)
            return UpReport(
                inventory.cluster,
                services,
                (),
                starting=other.starting,
                left_alone=left,
                several=len(inventory.views) > 1,
            )
        found = outlook(session, reporter, preflight=preflight, restart=restart, asks=asks)
        for change in found.plan.changes:
            reporter.note(str(change))
        found = unblocked(session, found, reporter)
        if found.ends:
            reporter.end()
            consent(found)
        run = Run(session, found, reporter, cluster_id=identity(inventory, found.seen))
        if found.plan:
            reporter.step("check the nodes")
            for part in parts(session):
                preflight(part)
            check_lines(run)
        if found.plan or found.waits or found.untidy:
            perform(run, apply.steps(run, detach=detach), keep=keep, leave=leave)
    return report(run, detach=detach, restart=restart)


@contextmanager
def _held(
    session: Session, reporter: Reporter, *, force: bool, during: Callable[[], object] | None
) -> Iterator[None]:
    """Hold the lease on all nodes that the run works on; the services of nodes that fail are left
    alone. Raises as `hold` does for another holder, and the nodes' errors where no service remains.
    """
    with hold(
        session,
        reporter.note,
        WHY,
        session.scope.nodes,
        force=force,
        partial=True,
        read=True,
        meanwhile=prepare,
        during=during,
    ) as failed:
        if shared := {n: e for n, e in failed.items() if e.code == "shared-home"}:
            raise combined(shared)
        unwritten = session.lease.unwritten if session.lease else {}
        session.scope.leave({**failed, **unwritten})
        yield


def unblocked(session: Session, found: Outlook, reporter: Reporter) -> Outlook:
    """The outlook without the services that units which could not be read block; these are left
    alone. Raises RemoteError where no other remains.
    """
    errors = blocked(found)
    if not errors:
        return found
    session.scope.block(errors)
    departed.spare(session)
    left = tuple(session.scope.left)
    for one in left:
        if one not in found.left:
            reporter.note(f"warning: {one}")
    services = {service_of(part.replica) for part in found.plan.parts}
    return replace(
        found,
        desired=tuple(d for d in found.desired if d.inventory.service not in errors),
        plan=only(found.plan, services - errors.keys()),
        waits=tuple(u for u in found.waits if service_of(u) not in errors),
        left=left,
    )


def left_alone(session: Session, found: Outlook) -> tuple[Left, ...]:
    """What `up` would leave alone of several services; `found` keeps what is blocked of them."""
    if len(session.inventory.views) > 1:
        session.scope.blocked.update(blocked(found))
    return tuple(session.scope.left)


def blocked(found: Outlook) -> dict[str, RemoteError]:
    """By service, that a unit of it could not be read: then what it needs is unknown."""
    unread = {u: o for u, o in found.observed.items() if isinstance(o, Unread) and u in found.units}
    why = {one.by: one.reason for one in found.plan.blocked}
    why |= {u: o.reason for u, o in unread.items() if u not in why}
    first: dict[str, str] = {}
    for unit in why:
        first.setdefault(service_of(unit), unit)
    return {s: _unread(found, unit, why[unit]) for s, unit in first.items()}


def _unread(found: Outlook, unit: str, why: str) -> RemoteError:
    node = node_of(unit)
    changes = [b.change for b in found.plan.blocked if service_of(b.by) == service_of(unit)]
    lines = "; ".join(map(str, changes))
    return RemoteError(
        f"{unit} could not be read: {why}" + (f"; it blocks: {lines}" if lines else ""),
        node=node,
        hint=(found.seen.damaged[node].hint if node in found.seen.damaged else None) or UNSEEN,
        code="unit-unread",
        data={"unit": unit, "blocked": [change.unit for change in changes]},
    )


def endpoints(desired: Sequence[Desired]) -> dict[str, Endpoint]:
    """Where each service is reached from this machine."""
    return {
        d.inventory.service: Endpoint(
            f"{d.engine.base(d.inventory, d.inventory.head.host)}/v1",
            d.engine.model(d.inventory, d.head.home),
            _api_key(d),
        )
        for d in desired
    }


def _api_key(desired: Desired) -> ApiKey | None:
    """Where the head has it from: the last place that sets it, as in engines/vllm/environment.py;
    None without one.
    """
    view, head = desired.inventory, desired.head
    setting = head.environment.get(API_KEY)
    if setting is None or not setting.value:
        return None
    if API_KEY in variables(view.vllm.arguments):
        return ApiKey(API_KEY, f"{view.key}.arguments.api-key")
    if API_KEY in head.node.env:
        return ApiKey(API_KEY, f"nodes.{head.node.name}.env")
    if API_KEY in view.env.set:
        return ApiKey(API_KEY, "env.set")
    return ApiKey(API_KEY, None, setting.layer)


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
        left_alone=found.left,
        several=found.seen.several,
    )
