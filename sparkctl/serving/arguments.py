"""What is true of any of vLLM's arguments in the inventory; pure."""

from __future__ import annotations

import json
from contextlib import suppress

from sparkctl.inventory.paths import Problem
from sparkctl.secret.value import Secret

# Flags that have a key of their own in the inventory; vllm.arguments may not repeat them.
FIELDS: dict[str, str] = {
    "model": "vllm.model",
    "host": "vllm.host",
    "port": "vllm.port",
    "served-model-name": "vllm.served_model_name",
    "tensor-parallel-size": "vllm.tensor_parallel_size",
}


def problem(code: str, name: str, text: str, *, at_key: bool = False) -> Problem:
    """A problem of one argument, or of its name with `at_key`."""
    return Problem(("vllm", "arguments", name), text, at_key=at_key, code=code)


def mapping(value: object) -> dict[str, object] | None:
    """The mapping that a value is, or has as JSON like vLLM's command line; None for any other."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value.reveal() if isinstance(value, Secret) else value)
    return value if isinstance(value, dict) else None
