"""Ray's own table of nodes and bundles, asked on the head with the runtime's python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.facts.calls import RAY_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.answers import Failed, RayTable
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session

IMPORT_ALLOWANCE = 60.0  # seconds for importing ray on a busy node, beside the wait itself


def ask_ray(
    session: Session,
    address: str,
    python: str,
    *,
    wanted: Mapping[str, float] | None = None,
    timeout: float = 0.0,
    node: Node | None = None,
) -> Failed | RayTable:
    """Ray's nodes, bundles and what is missing of `wanted`, see node/raytable.py.

    It is asked at `address`, on the head or on `node`, by `python`, the interpreter of its runtime.
    Waits `timeout` seconds at most for every wanted address with its GPUs; 0 looks once.
    """
    return session.ask(
        node or session.inventory.head,
        RAY_TABLE,
        {"address": address, "wanted": dict(wanted or {}), "timeout": timeout},
        timeout=timeout + IMPORT_ALLOWANCE,
        title="read Ray's node table",
        python=python,
    )
