"""vLLM's secret arguments, which go by environment; pure.

Every user of a node can read a command line in /proc.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sparkctl.engines.vllm.arguments import mapping, problem
from sparkctl.secret.names import MASK
from sparkctl.secret.value import Secret, revealed, text_of

if TYPE_CHECKING:
    from sparkctl.inventory.models import Argument
    from sparkctl.inventory.paths import Problem

API_KEY = "VLLM_API_KEY"
# The variable that vLLM and Hugging Face read in place of each flag (vLLM 0.32,
# vllm/entrypoints/serve/middleware/register.py; huggingface_hub's constants.py).
VARIABLES = {"api-key": API_KEY, "hf-token": "HF_TOKEN"}
# The same for keys of model-loader-extra-config (vllm/model_executor/model_loader/tensorizer.py).
INNER = {"s3_access_key_id": "S3_ACCESS_KEY_ID", "s3_secret_access_key": "S3_SECRET_ACCESS_KEY"}
NO_HEADER = "expected printable ASCII without spaces, which an HTTP header can carry"
NO_PASSWORD = (
    "vLLM has no such flag, and every user of the node can read a command line; use a key file"
    " without a password that only its owner can read"
)


def by_environment(name: str, value: Argument) -> bool:
    """Whether an argument goes by a variable; a bare --hf-token is no secret."""
    return name in VARIABLES and not isinstance(value, bool)


def variables(arguments: Mapping[str, Argument]) -> dict[str, str]:
    """The variables that replace these arguments."""
    found: dict[str, str] = {}
    for name, variable in VARIABLES.items():
        value = arguments.get(name)
        one = value[0] if isinstance(value, list) else value
        if by_environment(name, value) and isinstance(one, str):
            found[variable] = text_of(one)
    return found


def problems(arguments: Mapping[str, Argument]) -> Iterator[Problem]:
    """The arguments that vLLM cannot get without showing a secret."""
    for name, value in arguments.items():
        if name in VARIABLES:
            yield from _unfit(name, value)
        elif full := next((f for f in VARIABLES if _abbreviates(name, f)), None):
            text = f"write {full}; the short form would show it in vLLM's command line"
            yield problem("short-flag", name, text)
        elif name == "ssl-keyfile-password":
            yield problem("unknown-flag", name, NO_PASSWORD)
        for key in _keys(value):
            if key in INNER:
                text = (
                    f"every user of the node can read {key} in vLLM's command line; set"
                    f" {INNER[key]} in an env layer or env.set instead"
                )
                yield problem("readable-secret", name, text)


def _abbreviates(name: str, full: str) -> bool:
    """Whether argparse would take a name for this flag: api-k, and not api-server-count."""
    return full.startswith(name) and len(name) > full.index("-") + 1 and name != full


def _unfit(name: str, value: Argument) -> Iterator[Problem]:
    """Why a value cannot go by the argument's variable."""
    if isinstance(value, list) and len(value) != 1:
        # VLLM_API_KEY is one key, never a list (vllm/envs.py, register.py).
        text = (
            f"expected one value, got {len(value)}; {VARIABLES[name]} holds one, and every user of"
            " the node can read a list in vLLM's command line"
        )
        yield problem("several-values", name, text)
        return
    one = value[0] if isinstance(value, list) else value
    if isinstance(revealed(one), (float, dict)) or (one is True and name == "api-key"):
        yield problem("wrong-type", name, "expected text; quote it")  # 1.50 would become 1.5
    elif isinstance(one, Secret) and not fits_a_header(one.reveal()):
        yield problem("unsendable-key", name, NO_HEADER)


def fits_a_header(text: str) -> bool:
    """Whether clients can send a text as their API key."""
    return text.isascii() and text.isprintable() and " " not in text


def readable(arguments: Mapping[str, Argument]) -> list[str]:
    """The names of arguments that show a secret in vLLM's command line."""
    return [n for n, v in arguments.items() if not by_environment(n, v) and _holds(v)]


def _holds(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds, value.values()))
    if isinstance(value, list):
        return any(map(_holds, value))
    return isinstance(value, Secret) and MASK in str(value)


def _keys(value: object) -> Iterator[str]:
    """Every key in an argument, also in mappings that are written as JSON."""
    if (found := mapping(value)) is not None:
        for key, inner in found.items():
            yield str(key)
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
