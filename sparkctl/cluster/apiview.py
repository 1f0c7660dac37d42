"""vLLM's API, asked on the head itself."""

from __future__ import annotations

from typing import Any

from sparkctl.cluster.session import Session
from sparkctl.inventory.models import Inventory, Vllm
from sparkctl.serving.tls import api_base

TOKENS = 4  # enough to prove that it generates


def ask_api(
    session: Session, *, tokens: int, timeout: float, bound: float, **limits: float
) -> dict[str, Any]:
    """Version, models and, with `tokens`, a real completion; see node/completion.py.

    The completion has `timeout` seconds, the whole call `bound`; `limits` end the wait earlier.
    """
    vllm = session.inventory.vllm
    return session.ask(
        session.inventory.head,
        "completion.ask",
        {"base": base_on_head(vllm), "tokens": tokens, "timeout": timeout, **limits},
        timeout=bound,
        mutates=False,
        title="asking for a completion" if tokens else "asking vLLM",
    )


def base_on_head(vllm: Vllm) -> str:
    """The API's address for a client on the head itself."""
    return api_base(vllm, "127.0.0.1" if vllm.host in ("0.0.0.0", "", "::") else vllm.host)


def endpoint(inventory: Inventory) -> str:
    """The OpenAI API's address as this machine would reach it."""
    return f"{api_base(inventory.vllm, inventory.head.host)}/v1"
