"""What a service answers: Ray's table of its nodes, and its API; asked where it was started."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparkctl.engines.table import engine_of
from sparkctl.errors import SparkctlError
from sparkctl.facts.answers import Failed
from sparkctl.facts.unread import Unread
from sparkctl.node.unitid import service_of
from sparkctl.node.units import Generates, RayNodes
from sparkctl.operations import health
from sparkctl.operations.api import ask_api
from sparkctl.operations.raytable import ask_ray
from sparkctl.plan import recorded
from sparkctl.plan.outline import outline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.answers import Completion, RayTable
    from sparkctl.inventory.models import Node, View
    from sparkctl.node.units import Unit
    from sparkctl.operations.session import Session
    from sparkctl.operations.unitstatus import UnitState, UnitStatus

ANSWER = 30.0  # seconds for /version and /v1/models
RAY = "ray"  # the role of Ray's processes, and the executor that has them


@dataclass(frozen=True)
class RayAnswer:
    """Ray's table, or why there is none; neither where Ray does not run."""

    table: RayTable | None = None
    error: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class ApiAnswer:
    """What the API answers, or why it is not asked; `since` when its program runs."""

    answer: Completion | None = None
    error: str | None = None
    code: str | None = None
    since: float | None = None

    @property
    def serves(self) -> bool:
        """Whether it has models and no error."""
        return self.error is None and bool(self.answer and self.answer.models)


@dataclass
class ServiceStatus:
    """A service: `state` is the worst of its units', or failed where its API does not serve.

    `start` is the unit that is starting, if one is; `endpoint` is the API as this machine reaches
    it. `api` is None for an engine without one. `engine` is its title.
    """

    name: str
    model: str
    endpoint: str
    state: UnitState
    ray: RayAnswer = RayAnswer()
    api: ApiAnswer | None = ApiAnswer()
    start: UnitStatus | None = None
    uses_ray: bool = True
    engine: str = ""


def service_status(
    session: Session,
    view: View,
    units: Mapping[str, Unit],
    found: Sequence[UnitStatus],
    errors: Mapping[str, SparkctlError],
    *,
    deep: bool = False,
) -> ServiceStatus:
    """Ask what the service of this view runs: `units` as they were started, `found` as they are.

    `errors` are of nodes without facts. With `deep` a real generation is asked for.
    """
    session = session.within(view)
    recorded_units = {u: unit for u, unit in units.items() if service_of(u) == view.service}
    own = [u for u in found if u.service == view.service]
    at = recorded.api(view, recorded_units)
    node = session.node(at.node)
    engine = engine_of(view.vllm)
    serving = [u for u in own if (u.kind, u.node) == (engine.kind, at.node)]
    status = ServiceStatus(
        name=view.service,
        model=at.ready.model,
        endpoint=f"{recorded.outside(at.ready.base, node.host)}/v1",
        state=worst(own),
        start=next((u for u in (*serving, *own) if u.state == "starting"), None),
        uses_ray=_has(recorded_units or outline(view), RayNodes),
        engine=engine.title,
    )
    if status.uses_ray and _may_run(session, node, RAY):
        status.ray = _ray(session, view, recorded_units, starts=bool(status.start))
    if node.name not in session.facts:
        error = errors[node.name]
        status.api = ApiAnswer(error=f"no facts of the head: {error}", code=error.code)
        status.state = "unread"
        return status
    if recorded_units and not _has(recorded_units, Generates):
        status.api = None
        return status
    status.api = _unserved(session, status, serving, node) or _api(
        session, at.ready.base, node, serving, deep=deep
    )
    if status.state == "ready" and not status.api.serves:
        status.state = "failed"
    return status


def _has(units: Mapping[str, Unit], kind: type) -> bool:
    return any(isinstance(ready, kind) for unit in units.values() for ready in unit.ready)


def worst(units: Sequence[UnitStatus]) -> UnitState:
    """The state of these units together; those that are pending count where no other is."""
    started = [unit for unit in units if not unit.pending]
    states = {unit.state for unit in started} or {"absent"}
    if "absent" in states and "ready" in states and "starting" not in states:
        return "failed"
    order: tuple[UnitState, ...] = ("failed", "unread", "starting", "absent")
    return next((state for state in order if state in states), "ready")


def _may_run(session: Session, node: Node, role: str) -> bool:
    """Whether the node has a process of this role, or may have one: it could not be read."""
    facts = session.facts.get(node.name)
    if facts is None:
        return False
    return isinstance(facts.ours, Unread) or any(p.role == role for p in facts.ours)


def _ray(session: Session, view: View, units: Mapping[str, Unit], *, starts: bool) -> RayAnswer:
    """Ray's table; that it does not answer yet is no error of a start."""
    try:
        at = recorded.ray(view, units, session.facts)
        node = session.node(at.node)
        table = ask_ray(session, at.ready, node=node)
    except SparkctlError as error:
        answer = RayAnswer(error=str(error), code=error.code)
    else:
        if not isinstance(table, Failed):
            return RayAnswer(table)
        answer = RayAnswer(error=table.error, code="ray-table")
    return RayAnswer(error="starting", code="starting") if starts else answer


def _unserved(
    session: Session, status: ServiceStatus, serving: Sequence[UnitStatus], node: Node
) -> ApiAnswer | None:
    """Why the API is not asked."""
    if failed := next(
        (u for u in serving if u.state == "failed" and (u.stage or not u.pids)), None
    ):
        return ApiAnswer(error=failed.why, code="start-failed")
    if status.start:
        return ApiAnswer(error="starting", code="starting", since=status.start.since)
    facts = session.facts.get(node.name)
    known = facts is not None and not isinstance(facts.ours, Unread)
    if known and not any(unit.pids for unit in serving):
        return ApiAnswer(error="not running", code="not-running")
    return None


def _api(
    session: Session, base: str, node: Node, serving: Sequence[UnitStatus], *, deep: bool
) -> ApiAnswer:
    try:
        if deep:
            answer, _ = health.report(session, base=base, node=node)
        else:
            limits = {"timeout": 0, "bound": ANSWER, "engine": True}
            answer = ask_api(session, tokens=0, base=base, node=node, **limits)
    except SparkctlError as error:
        found = ApiAnswer(error=str(error), code=error.code)
    else:
        code = (answer.health.state if answer.health else "failing") if answer.error else None
        found = ApiAnswer(answer, error=answer.error or None, code=code)
    return replace(found, since=min((u.since for u in serving if u.pids and u.since), default=None))
