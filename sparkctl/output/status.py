"""The status of a cluster: its nodes, what each service serves, then what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.operations.lease import described
from sparkctl.operations.status import LOST, RECORD
from sparkctl.output.console import broken, wide_console
from sparkctl.output.imitated import imitated_line
from sparkctl.output.statustable import node_columns, service_columns, unit_columns
from sparkctl.output.table import render, width_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.servicestatus import ServiceStatus
    from sparkctl.operations.status import NodeStatus, Status
    from sparkctl.operations.unitstatus import UnitStatus

HANG = 4  # spaces before what goes on in the next line


def print_status(status: Status, *, wide: bool = False, now: float | None = None) -> None:
    """Print it on stdout; plain where stdout is not a terminal.

    `now` is in seconds since the epoch, the present by default.
    """
    console = wide_console()
    now = time.time() if now is None else now
    for line in rows(status, now, width_of(console), wide=wide):
        console.print(line, soft_wrap=True)


def rows(status: Status, now: float, width: int, *, wide: bool = False) -> Iterator[Text]:
    """The lines, none of which is wider than `width` columns; with `wide` also the units."""
    title = Text.assemble("cluster ", (status.cluster, "bold"), f": {_state(status)}")
    yield from broken(title, width, HANG)
    tables = [node_columns(status, now), service_columns(status.services.values(), now)]
    if wide:
        tables.append(unit_columns(status.units, now))
    for table in tables:
        if table[0].cells:
            yield Text()
            yield from render(table, width, wide=wide)
    for number, line in enumerate(_lines(status, now)):
        if not number:
            yield Text()
        yield from broken(Text(line), width, HANG)


def _state(status: Status) -> str:
    """Of the whole cluster, in a word."""
    if status.healthy:
        return "healthy"
    states = {service.state for service in status.services.values()}
    if states == {"absent"}:
        return "not running"
    return "starting" if states <= {"starting", "ready"} and "starting" in states else "not healthy"


def _lines(status: Status, now: float) -> Iterator[str]:
    for node in status.nodes:
        yield from _node(node, status)
    if status.lease:
        yield f"locked by {described(status.lease, now)}"
    for service in status.services.values():
        yield from _service(status, service)
    gone = {*status.departed_services, *status.services}
    for unit in (unit for unit in status.units if unit.service not in gone):
        lost = f"service {unit.service}, which is not in the inventory"
        yield f"{unit.title} on {unit.node}: {unit.state}, of {lost}"
    for name, nodes in status.departed_services.items():
        yield (
            f"service {name} still runs on {', '.join(nodes)}, and is no longer in the inventory;"
            " `sparkctl up` or `sparkctl down` ends it"
        )
    for name, host in status.departed.items():
        yield (
            f"{name} ({host}) is no longer in the inventory, and what was started there was not"
            " ended: run `sparkctl up` or `sparkctl down` to end it"
        )
    if status.imitated:
        yield imitated_line(status.imitated)


def _node(node: NodeStatus, status: Status) -> Iterator[str]:
    if node.error:
        yield f"{node.name}: {node.error.message}"
    for group, why in node.gaps.items():
        what = f"the {RECORD}" if group == RECORD else group
        yield f"{node.name}: {what} could not be read: {why}"
    if node.ray == LOST:
        yield f"{node.name}: {LOST}"
    if status.pending(node):
        yield f"{node.name}: {status.units_of(node)[0].why}"


def _service(status: Status, service: ServiceStatus) -> Iterator[str]:
    """Why it does not serve, and what is wrong with its units where that does not say it."""
    wrong = _wrong(status, service)
    prefix = f"{service.name}: " if len(status.services) > 1 else ""
    if service.ray.error and not service.start:
        yield f"{prefix}ray: {service.ray.error}"
    failed = service.state == "failed" and service.api is not None and not service.api.error
    if failed:
        why = _problem(wrong[0]) if wrong else "its API lists no model"
        yield f"{service.name}: failed: {why}"
        wrong = wrong[1:]
    elif text := _said(service, _unread(status, service)):
        yield f"{service.name}: {text}"
    for unit in wrong:
        yield prefix + _problem(unit)


def _unread(status: Status, service: ServiceStatus) -> list[str]:
    """The nodes whose units of the service could not be read."""
    own = (u for u in status.units if u.service == service.name and u.state == "unread")
    return list(dict.fromkeys(unit.node for unit in own))


def _said(service: ServiceStatus, unread: Sequence[str]) -> str:
    """What the table does not say: why its API does not answer, or what it has generated; `unread`
    are nodes of which it is not known what runs there.
    """
    api = service.api
    if service.start and (api is None or api.code == "starting"):
        return service.start.why
    if service.state == "absent":
        return "not running; `sparkctl up` starts it"
    if service.state == "unread" and api and api.code == "not-running" and unread:
        return f"its API is not running; what runs on {', '.join(unread)} is unknown"
    if api is None or api.error or api.answer is None:
        return (api.error or "") if api else ""
    if api.answer.tokens is not None:
        return f"generated {api.answer.tokens} tokens in {api.answer.seconds or 0:.2f} s"
    return str(api.answer.health or "")


def _wrong(status: Status, service: ServiceStatus) -> list[UnitStatus]:
    """The service's units that need a line."""

    def is_wrong(unit: UnitStatus) -> bool:
        said = service.api is not None and unit.why == service.api.error
        absent = unit.state == "absent" and service.state != "absent" and not unit.pending
        return not said and not unit.follows and (unit.state == "failed" or absent)

    return [u for u in status.units if u.service == service.name and is_wrong(u)]


def _problem(unit: UnitStatus) -> str:
    return f"{unit.title} on {unit.node}: {unit.why}"
