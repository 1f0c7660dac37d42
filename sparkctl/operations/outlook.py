"""What `up` would do now: what should run, what runs, and the plan from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sparkctl.errors import PreflightError, SparkctlError
from sparkctl.facts.unread import Missing
from sparkctl.inventory.layers import load_layers
from sparkctl.node.difference import START, STOP, Plan, difference
from sparkctl.node.unitid import kind_of, node_of, service_of
from sparkctl.node.units import STARTING, Running, Unread
from sparkctl.operations import departed, identity, serving
from sparkctl.operations.starting import dead
from sparkctl.plan.changed import changed, gone
from sparkctl.plan.desired import Desired, desire
from sparkctl.plan.observed import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sparkctl.doubts import Doubt
    from sparkctl.events import Reporter
    from sparkctl.node.units import Observed, Unit
    from sparkctl.operations.scope import Left
    from sparkctl.operations.session import Session


@dataclass(frozen=True)
class Outlook:
    """What `up` would do. `stops` are the models whose units run and would be stopped, `ends` those
    of them that may be served now, `served` these with their services where there are several;
    `waits` are the units that another run has started and that are
    not ready yet; `left` is what it leaves alone.
    """

    desired: tuple[Desired, ...]
    seen: Seen
    plan: Plan
    doubts: tuple[Doubt, ...] = ()
    stops: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    observed: Mapping[str, Observed] = field(default_factory=dict)
    untidy: bool = False  # see operations/departed.py
    left: tuple[Left, ...] = ()

    @property
    def units(self) -> dict[str, Unit]:
        """All desired units."""
        return {name: unit for found in self.desired for name, unit in found.units.items()}

    def of(self, unit: str) -> Desired:
        """What the service of this unit should run."""
        return next(found for found in self.desired if unit in found.units)


def read(session: Session) -> tuple[list[Desired], Seen]:
    """What should run and what runs; the nodes are probed unless their facts are known.

    Services whose nodes cannot be read are left alone (session.scope). Raises the nodes' errors
    where none remains, or PreflightError when the fabric cannot be derived.
    """
    scope = session.scope
    nodes = [n for n in session.inventory.nodes if n.name not in scope.errors]
    scope.leave(session.probe(nodes).failed)
    layers = load_layers(session.inventory, session.base)
    seen = Seen(session.inventory, session.facts, scope.errors)
    bare = [n for n in nodes if n.name in seen.damaged and not session.inventory.view_of(n)]
    scope.leave({n.name: seen.damaged[n.name] for n in bare})
    desired = []
    for view in scope.views:
        try:
            desired.append(desire(view, layers, session.facts, seen.records))
        except Missing as error:
            scope.block({view.service: error})
    return desired, seen


def observe(session: Session, desired: Sequence[Desired], seen: Seen) -> dict[str, Observed]:
    """The units that concern these services, as observed."""
    units = {name: unit for found in desired for name, unit in found.units.items()}
    return session.scope.observed(seen.observed(units), session.departed.nodes)


def plan(
    desired: Sequence[Desired],
    seen: Seen,
    unsound: Mapping[str, str] | None = None,
    observed: Mapping[str, Observed] | None = None,
) -> Plan:
    """The plan of these services; `unsound`: why units that run must be replaced; `observed`: the
    units, if others than all that are seen.
    """
    units = {name: unit for found in desired for name, unit in found.units.items()}
    observed = seen.observed(units) if observed is None else observed
    return difference(
        units,
        observed,
        recorded=seen.recorded,
        unsound=unsound,
        changed={**changed(desired, seen), **gone(desired, seen, observed)},
        named=seen.several,
    )


def parts(session: Session) -> list[Session]:
    """What the checks before a start look at: all at once, or else each service that is started."""
    scope = session.scope
    if not scope.services and not scope.left:
        return [session]
    return [session.within(view) for view in scope.views]


def outlook(
    session: Session,
    reporter: Reporter,
    *,
    preflight: Callable[[Session], None] = lambda _: None,
    restart: Sequence[str] = (),
    asks: bool = True,
) -> Outlook:
    """What `up` would do now, and why; only reads. Doubts are reported as notes.

    The services of `restart` are replaced whatever they are like, and nothing else is looked at or
    changed. A start that nobody waits for and that has failed is replaced. Without `asks` no model
    that would be stopped is asked whether it serves: `ends` is empty. Raises as `read` does;
    where the fabric cannot be derived, first what `preflight` raises, which names every failure.
    Raises SparkctlError for a cluster of another account or another of this name.
    """
    reporter.step("read the nodes' facts")
    try:
        desired, seen = read(session)
    except PreflightError:
        for part in parts(session):
            preflight(part)
        raise
    for left in session.scope.left:
        reporter.note(f"warning: {left}")
    identity.require(session, seen)
    if restart:
        departed.remember(session, seen)
    else:
        seen = departed.look(session, seen)
    for recipe in (found.recipe for found in desired if found.recipe.unknown):
        reporter.note(str(recipe))
    doubts = [*doubtful(desired), *session.departed.doubts()]
    for doubt in doubts:
        reporter.note(f"warning: {doubt}")
    units = {name: unit for d in desired for name, unit in d.units.items()}
    observed = observe(session, desired, seen)
    served: dict[str, bool] = {}
    if restart:
        unsound = dict.fromkeys(units, "restart requested")
        found_plan = only(plan(desired, seen, unsound, observed), restart)
        _require_free(session, found_plan, units, seen.observed(units))
    else:
        found_plan, served = _needed(session, reporter, desired, seen, observed)
        _require_free(session, found_plan, units, _left(session, seen.observed(units)))
    changing = {c.unit for c in found_plan.changes}
    waits = [u for u in units if _starts(observed.get(u)) and u not in changing]
    stops = serving.stopped(desired, seen, found_plan)
    asked = stops if asks else {}
    ends = {s: m for s, m in asked.items() if _may_serve(session, desired, seen, s, served.get(s))}
    return Outlook(
        tuple(desired),
        seen,
        found_plan,
        tuple(doubts),
        tuple(stops.values()),
        tuple(ends.values()),
        tuple(_owned(seen, found_plan, s, m) for s, m in ends.items()),
        () if restart else tuple(waits),
        observed,
        not restart and departed.untidy(session, seen, units),
        tuple(session.scope.left),
    )


def _needed(
    session: Session,
    reporter: Reporter,
    desired: Sequence[Desired],
    seen: Seen,
    observed: Mapping[str, Observed],
) -> tuple[Plan, dict[str, bool]]:
    """The plan, also by what only a look at what runs shows; and which services serve now."""
    unsound = _failed(session, reporter, desired, seen, observed)
    found = plan(desired, seen, unsound, observed)
    changing = {c.unit for c in found.changes}
    served: dict[str, bool] = {}
    kept = [d for d in desired if not changing & d.units.keys()]
    if sound := [d for d in kept if not any(_is_open(observed.get(u)) for u in d.units)]:
        reporter.step("check that the model is served")
        for one in sound:
            more, serves = serving.unsound(session, one, reporter)
            unsound |= more
            served[one.inventory.service] = serves
    for one in desired:
        if changing & one.units.keys():
            unsound |= serving.carriers(session, one, observed, changing)
    return plan(desired, seen, unsound, observed) if unsound else found, served


def _failed(
    session: Session,
    reporter: Reporter,
    desired: Sequence[Desired],
    seen: Seen,
    observed: Mapping[str, Observed],
) -> dict[str, str]:
    """Why units whose last start has failed must be replaced; the causes are reported as notes."""
    found = dead(session, desired, seen, observed)
    for name, why in found.items():
        reporter.note(f"the last start of {kind_of(name)} on {node_of(name)} failed: {why}")
    return dict.fromkeys(found, "its start failed")


def only(found: Plan, services: Collection[str]) -> Plan:
    """The part of a plan that is about these services."""

    def about(unit: str) -> bool:
        return service_of(unit) in services

    return replace(
        found,
        parts=tuple(part for part in found.parts if about(part.replica)),
        blocked=tuple(b for b in found.blocked if about(b.change.unit)),
    )


def refusals(session: Session, found: Outlook) -> list[SparkctlError]:
    """What `outlook` would raise where it reads as here: another cluster, a node that is taken."""
    left = _left(session, found.seen.observed(found.units))
    requirements: tuple[Callable[[], None], ...] = (
        lambda: identity.require(session, found.seen),
        lambda: _require_free(session, found.plan, found.units, left),
    )
    errors = []
    for require in requirements:
        try:
            require()
        except SparkctlError as error:
            errors.append(error)
    return errors


def _left(session: Session, observed: Mapping[str, Observed]) -> dict[str, Observed]:
    """The units of services that are left alone."""
    services = session.scope.left_services
    return {u: o for u, o in observed.items() if service_of(u) in services}


def _require_free(
    session: Session, found: Plan, units: Mapping[str, Unit], observed: Mapping[str, Observed]
) -> None:
    """Raise SparkctlError when another service runs where this plan starts units."""
    when = " when all nodes can be reached" if session.scope.errors else ""
    starting = {units[u].node: service_of(u) for u in found.units(START)}
    for name, seen in observed.items():
        if not isinstance(seen, Running) or seen.node not in starting:
            continue
        other = service_of(name)
        if other not in starting.values():
            raise SparkctlError(
                f"service {other} still runs there, and the inventory gives the node to"
                f" {starting[seen.node]}",
                node=seen.node,
                hint=f"run `sparkctl up`{when}: it stops the one and starts the other",
                code="node-taken",
                data={"unit": name, "service": other},
            )


def _owned(seen: Seen, found: Plan, service: str, model: str) -> str:
    """A model with its service where there are several; not a unit, which stands for its model."""
    return f"{model} of {service}" if seen.several and model not in found.units(STOP) else model


def _may_serve(
    session: Session, desired: Sequence[Desired], seen: Seen, service: str, known: bool | None
) -> bool:
    return serving.may_serve(session, desired, seen, service) if known is None else known


def _is_open(seen: Observed | None) -> bool:
    """Whether it starts, or is not known to run: it cannot be asked whether it is sound."""
    return _starts(seen) or isinstance(seen, Unread)


def _starts(seen: Observed | None) -> bool:
    return isinstance(seen, Running) and seen.phase == STARTING


def doubtful(desired: Sequence[Desired]) -> list[Doubt]:
    """The doubtful settings of all nodes, each once."""
    found = [
        doubt
        for one in desired
        for node in one.parts
        for doubt in one.engine.doubts(one.inventory, one.values(node), one.recipe)
    ]
    return list(dict.fromkeys(found))
