"""vLLM's arguments that are secrets: they go by environment, as every user of a node can read a
command line in /proc; pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.secret.names import MASK
from sparkctl.secret.value import Secret, revealed, text_of

if TYPE_CHECKING:
    from sparkctl.inventory.models import Argument

API_KEY = "VLLM_API_KEY"
# The variable that vLLM and Hugging Face read where the flag is not given (vLLM 0.32,
# vllm/entrypoints/serve/middleware/register.py; huggingface_hub's constants.py).
VARIABLES = {"api-key": API_KEY, "hf-token": "HF_TOKEN"}
# The same for keys of model-loader-extra-config (vllm/model_executor/model_loader/tensorizer.py).
INNER = {"s3_access_key_id": "S3_ACCESS_KEY_ID", "s3_secret_access_key": "S3_SECRET_ACCESS_KEY"}


NO_HEADER = "expected printable ASCII without spaces, which an HTTP header can carry"


def by_environment(name: str, value: Argument) -> bool:
    """Whether an argument goes by a variable; a bare --hf-token is a flag, not a secret."""
    return name in VARIABLES and not isinstance(value, bool)


def variables(arguments: Mapping[str, Argument]) -> dict[str, str]:
    """The variables that stand for these arguments."""
    found: dict[str, str] = {}
    for name, variable in VARIABLES.items():
        value = arguments.get(name)
        one = value[0] if isinstance(value, list) else value
        if by_environment(name, value) and isinstance(one, str):
            found[variable] = text_of(one)
    return found


def problems(arguments: Mapping[str, Argument]) -> Iterator[tuple[str, str]]:
    """The names of arguments that cannot be given without showing a secret, and what to do."""
    for name, value in arguments.items():
        if name in VARIABLES:
            yield from ((name, text) for text in _wrong(name, value))
        elif full := next((f for f in VARIABLES if _shortened(name, f)), None):
            yield name, f"write {full}; vLLM takes this for short"
        elif name == "ssl-keyfile-password":
            yield (
                name,
                (
                    "vLLM has no such flag, and every user of the node can read a command line; use"
                    " a key file without a password that only its owner can read"
                ),
            )
        for key in _keys(value):
            if key in INNER:
                yield (
                    name,
                    (
                        f"every user of the node can read {key} in vLLM's command line; set"
                        f" {INNER[key]} in an env layer or env.set instead"
                    ),
                )


def _shortened(name: str, full: str) -> bool:
    """Whether argparse would take a name for this flag: api-k, and not api-server-count."""
    return full.startswith(name) and len(name) > full.index("-") + 1 and name != full


def _wrong(name: str, value: Argument) -> Iterator[str]:
    if isinstance(value, list) and len(value) != 1:
        # VLLM_API_KEY is one key, never a list (vllm/envs.py, register.py).
        yield (
            f"expected one value, got {len(value)}; {VARIABLES[name]} carries one, and every user"
            " of the node could read a list in vLLM's command line"
        )
        return
    one = value[0] if isinstance(value, list) else value
    if isinstance(revealed(one), (float, dict)) or (one is True and name == "api-key"):
        yield "expected text; quote it"  # 1.50 would become 1.5
    elif isinstance(one, Secret) and not fits_a_header(one.reveal()):
        yield NO_HEADER


def fits_a_header(text: str) -> bool:
    """Whether clients can send a key."""
    return text.isascii() and text.isprintable() and " " not in text


def readable(arguments: Mapping[str, Argument]) -> list[str]:
    """The arguments that hold a secret and yet stand in vLLM's command line."""
    return [n for n, v in arguments.items() if not by_environment(n, v) and _holds(v)]


def _holds(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds, value.values()))
    if isinstance(value, list):
        return any(map(_holds, value))
    return isinstance(value, Secret) and MASK in str(value)


def _keys(value: object) -> Iterator[str]:
    """Every key in an argument, also where its mapping is written as JSON."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            read = json.loads(value.reveal() if isinstance(value, Secret) else value)
            value = read if isinstance(read, dict) else None
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
