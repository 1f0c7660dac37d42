"""What only a look at a running cluster shows, in one round trip to the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.facts.answers import RayTable
from sparkctl.facts.calls import CLAIM, LOOK, PROBE, RECALL
from sparkctl.facts.decode import load
from sparkctl.operations import api, health, raytable
from sparkctl.remote import node_rpc
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.facts.answers import Completion, Failed, Health, Looked, Recalled
    from sparkctl.inventory.models import View
    from sparkctl.node.units import RayNodes
    from sparkctl.operations.session import Session


@dataclass(frozen=True)
class Look:
    """A completion with the engine's health, and Ray's table; None where no Ray is looked at."""

    completion: Completion
    health: Health
    table: Failed | RayTable | None

    @property
    def serves(self) -> bool:
        """Whether the engine may be serving, see health.serves."""
        return not health.ended(self.completion, self.health)


def prepare() -> None:
    """Make ready what an `up` asks next: for while a node is waited for."""
    for call in (CLAIM, PROBE, RECALL):
        node_rpc.bytecode(call.target.partition(".")[0])
    load()


def recall(session: Session) -> None:
    """Look, before the facts are known, at what each service's head has recorded.

    What is seen there is kept in `session.recalled` for `look`. A head on which the lease is not
    held yet is left out, and so is one that fails: `look` asks it.
    """
    held = session.lease.taken if session.lease else ()
    views = [view for view in session.inventory.views if view.head.name in held]

    def ask(view: View) -> Recalled:
        bounds = dict.fromkeys(("timeout", "still", "patience", "answer"), health.PATIENCE)
        request = {
            "service": view.service,
            "completion": {"tokens": api.TOKENS, **bounds},
            "seconds": health.PATIENCE,
        }
        return session.ask(view.head, RECALL, request, title="look at what was recorded")

    session.recalled.clear()
    session.recalled.update(each(views, ask, key=lambda view: view.service).ok)


def _recalled(session: Session, base: str, ray: RayNodes | None) -> Looked | None:
    """What `recall` has seen, if it was the same question and nothing is wrong with it.

    Faults are looked at again, with the bounds and the lease that a restart needs.
    """
    service = session.inventory.views[0].service
    found = session.recalled.pop(service, None)
    if found is None or found.asked is None or found.seen is None:
        return None
    asked, seen = found.asked, found.seen
    same = asked.base == base and asked.address == (ray.address if ray else None)
    if not same or asked.wanted != dict(ray.nodes if ray else {}):
        return None
    table = seen.table
    listed = table is None if ray is None else isinstance(table, RayTable) and not table.missing
    state = seen.completion.health and seen.completion.health.state
    serves = state == "generating" and seen.completion.error is None
    return seen if listed and serves else None


def look(session: Session, argv: Sequence[str], ray: RayNodes | None) -> Look:
    """Ask the engine of this command line for a completion and, meanwhile, Ray for its table.

    An answer that `recall` got is taken where it shows no fault. Nothing is called wedged within
    health.still_bound. Raises RemoteError when the head cannot be asked.
    """
    still = health.still_bound(argv)
    # A completion that the metrics say nothing of may wait among others: no reason to restart.
    timeout = still + health.UNANSWERED
    cluster = {"cluster": session.inventory.cluster}
    request = raytable.question(ray.address, ray.nodes, 0.0) if ray else None
    question = api.question(
        session.inventory,
        tokens=api.TOKENS,
        timeout=timeout,
        still=still,
        patience=health.PATIENCE,
        answer=still,
    )
    found = _recalled(session, str(question["base"]), ray) or session.ask(
        session.inventory.head,
        LOOK,
        {"completion": question | cluster, "table": request and request | cluster},
        timeout=timeout + 2 * still + health.ALLOWANCE + raytable.ALLOWANCE,
        title="look at what runs",
    )
    table = found.table
    if ray and request and table is not None:
        table = raytable.understood(session, request, table, ray)
    return Look(found.completion, health.of(found.completion, session.inventory.head.name), table)
