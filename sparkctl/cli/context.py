"""From the options that cluster commands share to a session."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from sparkctl.errors import UsageError
from sparkctl.text import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.operations.session import Session
    from sparkctl.output.progress.reporter import SafeReporter


@contextmanager
def open_session(
    inventory: Path,
    *,
    read_only: bool = False,
    partial: bool = False,
    accept_new: bool = False,
    facts: bool = True,
    meanwhile: Callable[[], object] | None = None,
    waits: Literal["shown", "until opened"] = "shown",
    reporter: SafeReporter | None = None,
) -> Iterator[Session]:
    """Load the inventory, connect to its nodes, all at once, and read their `facts`.

    `meanwhile` is called while they are waited for. What is waited for is shown on a terminal's
    stderr, as a step of a `reporter` if there is one: `until opened` is for a command that prints
    within the block. Raises InventoryError, or RemoteError unless `partial`.
    """
    from sparkctl.engines.inventory import load
    from sparkctl.operations.connect import session
    from sparkctl.output import runlog
    from sparkctl.output.progress.waits import WaitRows

    loaded = load(inventory)
    if accept_new:
        ssh = loaded.ssh.model_copy(update={"host_keys": "accept-new"})
        loaded = loaded.model_copy(update={"ssh": ssh})
    if not read_only:
        runlog.changes()
    if reporter:
        reporter.step("connect to the nodes")
    with (
        WaitRows() as rows,
        session(
            loaded,
            inventory.parent,
            read_only=read_only,
            partial=partial,
            facts=facts,
            meanwhile=meanwhile,
            watch=reporter.watch if reporter else rows.watch,
        ) as opened,
    ):
        if waits == "until opened":
            rows.stop()
        yield opened


def named(inventory: Inventory, name: str | None) -> list[Node]:
    """The node of that name, or all of them when none is named.

    Raises UsageError when the inventory has no such node.
    """
    if name is None:
        return list(inventory.nodes)
    chosen = [n for n in inventory.nodes if n.name == name]
    if not chosen:
        names = [n.name for n in inventory.nodes]
        raise UsageError(
            f'unknown node "{name}"{nearest(name, names)}',
            hint=f"the inventory's nodes are {', '.join(names)}",
            code="node-unknown",
            data={"node": name, "nodes": names},
        )
    return chosen


def check_services(inventory: Inventory, names: Sequence[str]) -> None:
    """Raise UsageError when the inventory has no service of one of these names."""
    known = [view.service for view in inventory.views]
    for name in names:
        if name not in known:
            raise UsageError(
                f'unknown service "{name}"{nearest(name, known)}',
                hint=f"the inventory's services are {', '.join(known)}",
                code="service-unknown",
                data={"service": name, "services": known},
            )


def chosen(inventory: Inventory, names: Sequence[str]) -> list[Node]:
    """The nodes of these names, or all of them when none is named, in the inventory's order.

    Raises UsageError when the inventory has no such node.
    """
    asked = {n.name for name in names for n in named(inventory, name)}
    return [n for n in inventory.nodes if not names or n.name in asked]
