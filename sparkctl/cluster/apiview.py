"""vLLM's API, asked on the head itself."""

from __future__ import annotations

from typing import Any

from sparkctl.cluster.session import Session

TOKENS = 4  # enough to prove that it generates


def ask_api(session: Session, *, tokens: int, timeout: float, bound: float) -> dict[str, Any]:
    """Version, models and, with `tokens`, a real completion; see node/completion.py.

    The completion has `timeout` seconds, the whole call `bound`.
    """
    vllm = session.inventory.vllm
    return session.ask(
        session.inventory.head,
        "completion.ask",
        {"base": api_base(vllm.host, vllm.port), "tokens": tokens, "timeout": timeout},
        timeout=bound,
        mutates=False,
        title="asking for a completion" if tokens else "asking vLLM",
    )


def api_base(host: str, port: int) -> str:
    """The API's address for a client on the head itself."""
    address = "127.0.0.1" if host in ("0.0.0.0", "", "::") else host
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
