"""An engine's health and what follows from it: what is reported at once, what is restarted.

The states are those of node/vitals.py. A restart costs the user up to 40 minutes of loading, so it
needs a bound that no healthy engine reaches; what is only reported may be said sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.table import engine_of
from sparkctl.errors import CommandError, ServingError
from sparkctl.operations.api import TOKENS, ask_api
from sparkctl.text import keyed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.answers import Completion, Health
    from sparkctl.inventory.models import Node, View
    from sparkctl.operations.session import Session
    from sparkctl.operations.startup import Watched

PATIENCE = 3.0  # seconds until a completion that waits among others is not waited for
REPORT = 5.0  # seconds without an engine step that `status` and `doctor` report
# Seconds without an engine step before `up` restarts: kernels that are compiled on the way for a
# shape not seen before take tens of seconds; vLLM itself gives a step up after 300 (0.32, read).
RESTART = 60.0
# Tokens of a prompt that vLLM, SGLang read in one step.
STEP_FLAGS = ("--max-num-batched-tokens", "--chunked-prefill-size")
PREFILL = 300.0  # tokens per second that the slowest prefill of a long prompt still reads
# Seconds after a start for the API's first answers, and again for the first tokens, as kernels may
# still be compiled. Less would roll back a load of up to 40 minutes.
FIRST = 600.0
FIRST_ANSWER = 60.0  # seconds for one of these answers, before it is asked again
CONSENT = 10.0  # seconds for /version and /v1/models until the user is asked
UNANSWERED = 20.0  # seconds for a completion where the metrics say nothing
ALLOWANCE = 30.0  # seconds for the call itself: SSH, a python's start, /version and /v1/models


def report(
    session: Session, *, base: str | None = None, node: Node | None = None
) -> tuple[Completion, Health]:
    """Ask a running engine for a completion; a wedged one is known after REPORT seconds."""
    return _ask(session, still=REPORT, timeout=UNANSWERED, base=base, node=node)


def first(session: Session, started: Watched | None = None) -> tuple[Completion, Health]:
    """Ask for the first completion after a start, which may take FIRST seconds.

    Before it the API itself may take FIRST seconds to answer, while the process lives that was
    `started`.
    """
    process = {"pid": started.pid, "started": started.started} if started else {}
    return _ask(
        session, still=FIRST, timeout=FIRST, answer=FIRST_ANSWER, first=True, process=process
    )


def _ask(
    session: Session,
    *,
    still: float,
    timeout: float,
    answer: float = 5.0,
    first: bool = False,
    base: str | None = None,
    node: Node | None = None,
    process: Mapping[str, int] | None = None,
) -> tuple[Completion, Health]:
    bound = (2 if first else 1) * timeout + 2 * answer + ALLOWANCE
    limits = {"still": still, "patience": PATIENCE, "answer": answer, "first": first}
    limits |= process or {}
    found = ask_api(
        session, tokens=TOKENS, timeout=timeout, bound=bound, base=base, node=node, **limits
    )
    return found, of(found, (node or session.inventory.head).name)


def of(found: Completion, node: str) -> Health:
    """The engine's health in a node's answer. Raises CommandError where it has none."""
    if found.health is None:
        raise CommandError("the answer has no engine health", node=node)
    return found.health


def still_bound(argv: Sequence[str]) -> float:
    """Seconds without an engine step that no healthy engine with this command line reaches.

    One step reads at most so many tokens of a prompt, and ends only then.
    """
    flag = next((f for f in STEP_FLAGS if f in argv), None)
    after = argv[argv.index(flag) + 1 :] if flag else ()
    tokens = int(after[0]) if after and after[0].isdigit() else 0
    return max(RESTART, tokens / PREFILL)


def judged(view: View, found: Completion, health: Health) -> tuple[str | None, str | None]:
    """Why a service's engine that has served must be restarted, if so, and a note on its health if
    not.

    Raises ServingError where it does not serve and a restart may not help.
    """
    error, state = str(found.error), health.state
    if state == "generating":
        return None, None
    if state == "busy":
        return None, str(health)
    if ended(found, health) or state == "silent" or found.dropped:
        return f"no completion: {error}", None
    engine = engine_of(view.vllm)
    raise ServingError(
        f"{engine.title} runs but does not complete a request: {error}",
        node=view.head.name,
        hint="not restarted, because /metrics does not show whether the engine is busy or wedged;"
        f" {keyed(engine.judged.counted, view.key)}, or run `sparkctl down`, then `sparkctl up`"
        if state == "unclear" and engine.judged.counted
        else f"not restarted, because that may not help; read `sparkctl logs {view.service}`",
    )


def serves(session: Session, argv: Sequence[str], base: str, node: Node) -> bool:
    """Whether the engine that was started with this command line may be serving.

    It is asked at the `base` and on the `node` that it was started with, which the inventory may no
    longer have. The
    answer is no only where its port refuses, as before it is ready, or its engine is dead or
    wedged: one that times out may be serving.
    """
    still = still_bound(argv)
    timeout = still + UNANSWERED
    asked = _ask(session, still=still, timeout=timeout, answer=CONSENT, base=base, node=node)
    return not ended(*asked)


def ended(found: Completion, health: Health) -> bool:
    """Whether certainly nobody is served: no API server, or an engine that is dead or wedged."""
    return health.state == "wedged" or bool(found.refused) or found.status == 500


def generates(answer: Completion) -> bool:
    """Whether tokens were generated meanwhile, for this request or for others."""
    return bool(answer.tokens or (answer.health and answer.health.tokens_per_second))
