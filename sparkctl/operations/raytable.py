"""Ray's own table of nodes and bundles, asked on the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.facts.answers import Failed
from sparkctl.facts.calls import RAY_IMPORTED, RAY_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.answers import RayTable
    from sparkctl.inventory.models import Node
    from sparkctl.node.units import RayNodes, RayRanks
    from sparkctl.operations.session import Session

TITLE = "read Ray's node table"
ALLOWANCE = 45.0  # seconds for the answers themselves, see node/gcs.py
IMPORT_ALLOWANCE = 60.0  # seconds for importing ray on a busy node, without the wait itself


def ask_ray(
    session: Session,
    at: RayNodes | RayRanks,
    *,
    wanted: Mapping[str, float] | None = None,
    timeout: float = 0.0,
    node: Node | None = None,
) -> Failed | RayTable:
    """What node/raytable.py answers of this Ray, asked on the head or on `node`.

    Where its GCS answers in a way that is not understood, as with TLS, ray itself is asked, by
    its runtime.
    """
    request = question(at.address, wanted, timeout)
    asked = node or session.inventory.head
    found = session.ask(asked, RAY_TABLE, request, timeout=timeout + ALLOWANCE, title=TITLE)
    return understood(session, request, found, at, asked)


def question(address: str, wanted: Mapping[str, float] | None, timeout: float) -> dict[str, Any]:
    """The request for `ask_ray`."""
    return {"address": address, "wanted": dict(wanted or {}), "timeout": timeout}


def understood(
    session: Session,
    request: dict[str, Any],
    found: Failed | RayTable,
    at: RayNodes | RayRanks,
    node: Node | None = None,
) -> Failed | RayTable:
    """The answer, or ray's own where it was not understood."""
    if not isinstance(found, Failed) or not found.foreign:
        return found
    return session.ask(
        node or session.inventory.head,
        RAY_IMPORTED,
        request,
        timeout=request["timeout"] + IMPORT_ALLOWANCE,
        title=TITLE,
        python=at.python,
        inside=at.inside,
    )
