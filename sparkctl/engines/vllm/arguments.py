"""What is true of any of vLLM's arguments in the inventory; pure."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.inventory.paths import Problem
from sparkctl.secret.value import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.inventory.models import Argument

# Flags that have a key of their own in the inventory; `arguments` may not repeat them.
FIELDS: dict[str, str] = {
    "model": "model",
    "host": "host",
    "port": "port",
    "served-model-name": "served_model_name",
    "tensor-parallel-size": "tensor_parallel_size",
}


def problem(code: str, name: str, text: str, *, at_key: bool = False) -> Problem:
    """A problem of one argument, or of its name with `at_key`; its path begins at the service."""
    return Problem(("arguments", name), text, at_key=at_key, code=code)


def cuda_graphs(arguments: Mapping[str, Argument]) -> bool:
    """Whether vLLM captures CUDA graphs, as it does by default; False for a compilation config
    that vLLM refuses.

    enforce-eager and optimisation level 0 turn them off, whatever the mode is (0.32, run).
    """
    if arguments.get("enforce-eager") or str(arguments.get("optimization-level")) == "0":
        return False
    config = arguments.get("compilation-config")
    found = mapping(config)
    if found is None:
        return not isinstance(config, str)
    mode = found.get("cudagraph_mode")
    return mode is None or str(mode).lower() != "none"


def mapping(value: object) -> dict[str, object] | None:
    """The mapping that a value is, or has as JSON like vLLM's command line; None for any other."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value.reveal() if isinstance(value, Secret) else value)
    return value if isinstance(value, dict) else None
