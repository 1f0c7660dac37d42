"""Ray's own table of nodes and bundles, asked on the head with the runtime's python."""

from __future__ import annotations

from typing import Any

from sparkctl.cluster.session import Session
from sparkctl.cluster.wish import Wish

IMPORT_ALLOWANCE = 60.0  # seconds for importing ray on a busy node, beside the wait itself


def ray_table(session: Session, wish: Wish, *, timeout: float = 0.0) -> dict[str, Any]:
    """Ray's nodes, bundles and what of the wish is missing, see node/raytable.py.

    Waits `timeout` seconds at most for every wished address with its GPUs; 0 looks once.
    """
    return session.ask(
        session.inventory.head,
        "raytable.table",
        {"address": wish.ray_address, "wanted": wish.ray_nodes, "timeout": timeout},
        timeout=timeout + IMPORT_ALLOWANCE,
        mutates=False,
        title="reading Ray's node table",
        python=wish.runtime_python,
    )
