"""Whether the running engine serves: its API, and generated tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.processes import strays
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import LOG, LOG_SHOWS, RESTART, Remedy
from sparkctl.doctor.starting import failed, under_way, whole
from sparkctl.facts.unread import Missing
from sparkctl.operations.starting import clock
from sparkctl.text import keyed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.looks import Generation
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.facts.processes import OurProcess

RAY = "ray"  # the role of Ray's processes


def idle(snapshot: Snapshot, role: str = "") -> Finding | None:
    """INFO if the head runs no process of this role, else the engine's, or its start is under way
    or has failed.

    What an older run left does not count.
    """
    head = snapshot.inventory.head.name
    role = role or snapshot.engine.kind
    program = "Ray" if role == RAY else snapshot.engine.title
    older = _older(snapshot)
    if any(p not in older for p in snapshot.running(head, role)):
        return begun(snapshot, role, program)
    return not_running(snapshot, role, program)


def not_running(snapshot: Snapshot, role: str, program: str) -> Finding:
    """INFO on a service without processes of this role."""
    head = snapshot.inventory.head.name
    return info(f"{program} is not running", node=head, code="not-running", data={"role": role})


def begun(snapshot: Snapshot, role: str, program: str) -> Finding | None:
    """INFO if the start of this role is under way or has failed."""
    if role == RAY and not whole(snapshot, role):  # a raylet that died is no start
        return None
    if start := under_way(snapshot):
        by = f", by {start.record.who}" if start.record.who else ""
        if start.record.since:
            by += f" since {clock(start.record.since, snapshot.facts(start.unit.node).time)}"
        stage = f": {start.seen}" if start.seen.title else ""
        data: Data = {
            "role": role,
            "who": start.record.who,
            "since": start.record.since,
            "stage": start.seen.stage or None,
            "percent": start.seen.percent,
        }
        return starting(f"{program} is starting{by}{stage}", start.unit.node, data)
    if role != RAY and (broken := failed(snapshot)):
        text = f"{program} failed to start, see running.ranks"
        return info(text, node=broken.unit.node, code="not-started", data={"role": role})
    return None


def starting(text: str, node: str, data: Data) -> Finding:
    """INFO on a start that is under way, which no check judges."""
    return info(text, node=node, code="starting", data=data)


def _older(snapshot: Snapshot) -> list[OurProcess]:
    try:
        return strays(snapshot, snapshot.inventory.head.name)
    except Missing:
        return []  # a record that could not be read fails host.leftovers alone


def api(snapshot: Snapshot) -> Iterator[Finding]:
    """The API answers on the head itself, and the controller."""
    if nothing := idle(snapshot):
        yield nothing
        return
    head = snapshot.inventory.head
    local = snapshot.seen(snapshot.looks.generation, head.name).answer
    outside = snapshot.seen(snapshot.looks.api, head.name)
    if local.models is None:
        error = str(local.error)
        yield fail(
            f"the API does not answer on {head.name} itself: {error}",
            Evidence("/v1/models", error, "127.0.0.1 on the head"),
            Remedy(
                "see its log: it may still be starting; otherwise start it again",
                (LOG, "sparkctl up"),
            ),
            node=head.name,
            code="no-answer",
            data={"error": error},
        )
    elif outside.error:
        port = snapshot.inventory.vllm.port
        yield warn(
            f"the API answers on {head.name}, but not to this machine: {outside.error}",
            Evidence("HTTP 200", outside.error, outside.url),
            Remedy(
                "open the port in the firewall, or correct"
                f" {snapshot.inventory.key}.host if it is a loopback address, or use a tunnel",
                (f"ssh -L {port}:127.0.0.1:{port} {head.host}",),
            ),
            node=head.name,
            code="unreachable",
            data={"url": outside.url, "error": outside.error},
        )
    else:
        yield ok(f"{', '.join(local.models)} at {outside.url.removesuffix('/health')}")


def generation(snapshot: Snapshot) -> Iterator[Finding]:
    """Tokens are generated: a wedged engine's /health and /v1/models still answer 200."""
    if nothing := idle(snapshot):
        yield nothing
        return
    head = snapshot.inventory.head.name
    found = snapshot.seen(snapshot.looks.generation, head)
    if found.answer.tokens:
        yield ok(f"{found.answer.tokens} tokens in {found.answer.seconds:.2f} s", node=head)
    elif found.answer.models is None:
        yield unknown("the API does not answer, see running.api", node=head, code="no-api")
    else:
        key = snapshot.inventory.key
        cure = keyed(snapshot.engine.judged.counted, key) or LOG_SHOWS
        yield _nothing_generated(found, head, cure)


def _nothing_generated(found: Generation, head: str, cure: str) -> Finding:
    health, error = found.health, found.answer.error or "no token"
    if health.state == "busy":
        return info(
            f"{health}; a completion is waiting its turn",
            Evidence("engine steps that end", health.figures, "/metrics"),
            node=head,
            code="busy",
        )
    if health.state == "unclear":
        return unknown(
            f"busy or wedged: {error}; /metrics does not show which",
            fix=Remedy(cure, (LOG,)),
            node=head,
            code="unclear",
        )
    if health.state == "wedged":
        return fail(
            f"the API answers, but nothing is generated: {health}",
            Evidence("engine steps that end", health.figures, "/metrics, each half second"),
            Remedy(
                "run `sparkctl up`: it restarts an engine of which no step ends for a minute; one"
                " step may be reading a very long prompt",
                (LOG, "sparkctl up"),
            ),
            node=head,
            code="wedged",
            data={"seconds": health.still_for},
        )
    return fail(
        f"the API answers, but nothing is generated: {error}",
        Evidence("a few tokens", error, "/v1/completions"),
        Remedy(LOG_SHOWS, (LOG, *RESTART)),
        node=head,
        code="no-completion",
        data={"error": error},
    )


CHECKS = (
    Check("running.api", "cluster", api, needs=(Source.API, Source.GENERATION), lacks=applies.api),
    Check(
        "running.generation", "cluster", generation, needs=(Source.GENERATION,), lacks=applies.api
    ),
)
