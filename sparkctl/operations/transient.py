"""Containers in which one call of a node runs."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl.errors import CommandError, RemoteTimeout, SparkctlError
from sparkctl.facts.calls import REMOVE_BOX
from sparkctl.node.containertools import transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session


@contextmanager
def named(session: Session, node: Node, engine: str) -> Iterator[str]:
    """A name for a container in which this runs a call; the container is removed if that fails, as
    the end of the engine's command alone does not end it. Without an engine nothing is removed.
    """
    name = transient(session.inventory.cluster)
    try:
        yield name
    except (CommandError, RemoteTimeout):
        if engine:
            request = {"tool": engine, "container": name}
            with suppress(SparkctlError):
                session.ask(node, REMOVE_BOX, request, title="remove the container")
        raise
