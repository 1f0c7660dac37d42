"""Whether vLLM's log shows an engine that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.running import idle
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import LOG, RESTART, Remedy
from sparkctl.engines.vllm.failures import WEDGED
from sparkctl.engines.vllm.rootcause import MANY_STALLS
from sparkctl.facts.unread import Missing
from sparkctl.operations.health import generates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot


def engine(snapshot: Snapshot) -> Iterator[Finding]:
    """The log of a ready engine has no stall after which no token was generated."""
    if nothing := idle(snapshot):
        yield nothing
        return
    head = snapshot.inventory.head.name
    log = snapshot.seen(snapshot.looks.log, head)
    wedge = log.traced.wedge
    if wedge is None or _generates(snapshot, head):
        yield ok("no stall in the log since the last token", node=head)
        return
    yield (fail if wedge.seconds >= MANY_STALLS else warn)(
        f"the engine is wedged: no step ended for {wedge.seconds} s, and no token followed",
        Evidence("engine steps that end", wedge.text, f"{log.path}:{wedge.line}"),
        Remedy(WEDGED.remedy, (LOG, *RESTART)),
        node=head,
        code="engine-wedged",
        data={"seconds": wedge.seconds, "path": log.path, "line": wedge.line},
    )


def _generates(snapshot: Snapshot, head: str) -> bool:
    """Whether the engine generated a token just now, which the log shows seconds later."""
    try:
        return generates(snapshot.seen(snapshot.looks.generation, head).answer)
    except Missing:
        return False


CHECKS = (
    Check(
        "running.engine",
        "cluster",
        engine,
        needs=(Source.LOG, Source.GENERATION),
        lacks=applies.steps,
    ),
)
