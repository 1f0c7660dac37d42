"""The status of a cluster: a table of its nodes, then what is wrong, then what vLLM serves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.operations.lease import described
from sparkctl.operations.starting import clock
from sparkctl.operations.status import RECORD
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.spans import age
from sparkctl.output.table import Column, filled, print_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sparkctl.facts.answers import Completion
    from sparkctl.operations.servicestatus import ServiceStatus
    from sparkctl.operations.status import NodeStatus, Status
    from sparkctl.operations.unitstatus import UnitStatus

BEGIN = "starting"  # the stage before an engine's first one


def print_status(status: Status) -> None:
    """Print it on stdout; plain where stdout is not a terminal."""
    console = wide_console()
    console.print(Text(f"cluster {status.cluster}", "italic"))
    rayless = {n.name for n in status.nodes if not status.uses_ray(n)}
    print_table(console, _columns(status.nodes, time.time(), rayless))
    for line in _lines(status):
        print_prose(console, line, 4)


def _lines(status: Status) -> Iterator[str]:
    for node in status.nodes:
        if node.error:
            yield f"{node.name}: {node.error.message}"
        for group, why in node.gaps.items():
            what = f"the {RECORD}" if group == RECORD else group
            yield f"{node.name}: {what} could not be read: {why}"
    if status.lease:
        yield f"locked by {described(status.lease)}"
    for service in status.services.values():
        prefix = f"{service.name}: " if len(status.services) > 1 else ""
        if service.ray.error and not service.start:
            yield f"{prefix}ray: {service.ray.error}"
        yield f"{service.name}: {_service(service, _wrong(status, service))}"
    yield from _units(status)
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
    for what in status.imitated:
        yield f"imitated: {what}"


def _units(status: Status) -> Iterator[str]:
    """What is wrong with units, where their service's line does not say it."""
    for service in status.services.values():
        prefix = f"{service.name}: " if len(status.services) > 1 else ""
        wrong = _wrong(status, service)
        for unit in wrong[1:] if _is_failed(service) else wrong:
            yield prefix + _problem(unit)
    gone = {*status.departed_services, *status.services}
    for unit in (unit for unit in status.units if unit.service not in gone):
        lost = f"service {unit.service}, which is not in the inventory"
        yield f"{unit.title} on {unit.node}: {unit.state}, of {lost}"


def _wrong(status: Status, service: ServiceStatus) -> list[UnitStatus]:
    return [u for u in status.units if u.service == service.name and _is_wrong(u, service)]


def _problem(unit: UnitStatus) -> str:
    return f"{unit.title} on {unit.node}: {unit.why}"


def _is_wrong(unit: UnitStatus, service: ServiceStatus) -> bool:
    said = service.api is not None and unit.why == service.api.error
    absent = unit.state == "absent" and service.state != "absent"
    return not said and (unit.state == "failed" or absent)


def _is_failed(service: ServiceStatus) -> bool:
    """Whether it has failed although its API answers."""
    return service.state == "failed" and service.api is not None and not service.api.error


def _service(service: ServiceStatus, wrong: Sequence[UnitStatus]) -> str:
    """What it serves, how far its start is, or why it does neither; `wrong` are its units that say
    why it has failed.
    """
    if service.start and (service.api is None or service.api.code == "starting"):
        return starting(service.start, time.time())
    if service.api is None:
        return service.state
    if service.api.error or service.api.answer is None:
        return service.api.error or service.state
    if _is_failed(service):
        return f"failed: {_problem(wrong[0]) if wrong else 'its API lists no model'}"
    return _serves(service, service.api.answer, service.api.since)


def _serves(service: ServiceStatus, answer: Completion, since: float | None) -> str:
    program = f"{service.engine} {answer.version or ''}".strip()  # SGLang's API has no version
    models = ", ".join(answer.models or ())
    text = f"{program} serves {models} at {service.endpoint}"
    if answer.tokens is not None:
        text += f"; generated {answer.tokens} tokens in {answer.seconds or 0:.2f} s"
    elif answer.health is not None:
        text += f"; {answer.health}"
    return text + (f", since {moment(since)}" if since else "")


def starting(unit: UnitStatus, now: float) -> str:
    """How far a start is, such as `starting, by u@laptop (pid 1) since 02:10`."""
    by = f", by {unit.who}" if unit.who else ""
    since = f" since {clock(unit.since, now)}" if unit.since else ""
    doing = unit.doing if unit.stage not in (None, BEGIN) else unit.why
    return f"starting{by}{since}" + (f", {doing}" if doing else "")


def _columns(
    nodes: Sequence[NodeStatus], now: float, rayless: Collection[str] = ()
) -> list[Column]:
    """The table's columns, for nodes of which the `rayless` use no Ray; those of the lowest rank go
    first where not all have room.
    """
    since = [min((p.since for p in node.processes), default=None) for node in nodes]
    ages = Column("AGE", filled(since, lambda moment: age(now - moment)), 4)
    services = [n.service for n in nodes]
    several = [Column("SERVICE", filled(s or None for s in services), 5)]
    return [
        Column("NODE", [n.name for n in nodes], 8),
        *(several if len({*services}) > 1 else ()),
        Column("ROLE", [n.role for n in nodes], 6),
        Column("HOST", [n.host for n in nodes], 1),
        Column("FABRIC", filled(n.fabric_address for n in nodes), 2),
        Column("RAY", filled(_ray(n, uses=n.name not in rayless) for n in nodes), 7),
        Column("RANKS", filled(n.ranks for n in nodes), 5),
        Column("GPU", filled(n.gpu for n in nodes), 0),
        Column("MEMORY FREE", filled((n.memory_available for n in nodes), _memory), 3),
        Column("SINCE", filled(since, moment), 4, short=ages),
    ]


def _ray(node: NodeStatus, *, uses: bool) -> str | None:
    if node.error is None:
        return node.ray if uses else None
    return "unreadable" if node.reached else "unreachable"


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def moment(seconds: float) -> str:
    """Seconds since the epoch, in the reader's own time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
