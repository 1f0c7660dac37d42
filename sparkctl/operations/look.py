"""What only a look at a running cluster shows, in one round trip to the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.facts.calls import CLAIM, LOOK, PROBE
from sparkctl.facts.decode import load
from sparkctl.operations import api, health, raytable
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.answers import Completion, Failed, Health, RayTable
    from sparkctl.operations.session import Session


@dataclass(frozen=True)
class Ray:
    """The Ray to look at: the GCS's address, the head's runtime, the GPUs expected by address."""

    address: str
    python: str
    wanted: Mapping[str, float]


@dataclass(frozen=True)
class Look:
    """A completion with the engine's health, and Ray's table; None where no Ray is looked at."""

    completion: Completion
    health: Health
    table: Failed | RayTable | None

    @property
    def serves(self) -> bool:
        """Whether vLLM may be serving, see health.serves."""
        return not health.ended(self.completion, self.health)


def prepare() -> None:
    """Make ready what an `up` asks next: for while a node is waited for."""
    for call in (CLAIM, PROBE, LOOK):
        node_rpc.bytecode(call.target.partition(".")[0])
    load()


def look(session: Session, argv: Sequence[str], ray: Ray | None) -> Look:
    """Ask the vLLM of this command line for a completion and, meanwhile, Ray for its table.

    Nothing is called wedged within health.still_bound. Raises RemoteError when the head cannot be
    asked.
    """
    still = health.still_bound(argv)
    # A completion that the metrics say nothing of may wait among others: no reason to restart.
    timeout = still + health.UNANSWERED
    cluster = {"cluster": session.inventory.cluster}
    request = raytable.question(ray.address, ray.wanted, 0.0) if ray else None
    question = api.question(
        session.inventory,
        tokens=api.TOKENS,
        timeout=timeout,
        still=still,
        patience=health.PATIENCE,
        answer=still,
    )
    found = session.ask(
        session.inventory.head,
        LOOK,
        {"completion": question | cluster, "table": request and request | cluster},
        timeout=timeout + 2 * still + health.ALLOWANCE + raytable.ALLOWANCE,
        title="look at what runs",
    )
    table = found.table
    if ray and request and table is not None:
        table = raytable.understood(session, request, table, ray.python)
    return Look(found.completion, health.of(found.completion, session.inventory.head.name), table)
