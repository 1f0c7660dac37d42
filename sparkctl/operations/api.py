"""vLLM's API, asked on the head itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.tls import local_base
from sparkctl.facts.calls import COMPLETION

if TYPE_CHECKING:
    from sparkctl.facts.answers import Completion
    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.operations.session import Session

TOKENS = 4  # enough to prove that it generates


def ask_api(
    session: Session,
    *,
    tokens: int,
    timeout: float,
    bound: float,
    base: str | None = None,
    node: Node | None = None,
    **limits: float,
) -> Completion:
    """Version, models and, with `tokens`, a real completion; see node/completion.py.

    The completion has `timeout` seconds, the whole call `bound`; `limits` end the wait earlier. The
    API is where the inventory has it, or at `base` on `node`.
    """
    return session.ask(
        node or session.inventory.head,
        COMPLETION,
        question(session.inventory, tokens=tokens, timeout=timeout, base=base, **limits),
        timeout=bound,
        title="ask for a completion" if tokens else "ask the API",
    )


def question(
    inventory: Inventory, *, tokens: int, timeout: float, base: str | None = None, **limits: float
) -> dict[str, float | str]:
    """The request for `ask_api`."""
    return {
        "base": base or local_base(inventory.vllm),
        "tokens": tokens,
        "timeout": timeout,
        **limits,
    }
