"""Pydantic's errors in the words of somebody who edits a YAML file; pure."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sparkctl.inventory.models import Inventory
from sparkctl.inventory.paths import Path, dotted, short, shown
from sparkctl.secret.names import MASK, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

# Where the type alone says too little, or a union has several: what is wanted at a path.
PLACES = (
    (r"(.*\.)?(min|max)_worker_port", "a port from 1024 to 65535"),
    (r"(.*\.)?([a-z_]+_)?port", "a port from 1 to 65535"),
    (r"fabric\.cage", "auto or a whole number from 0 to 7"),
    (r"nodes\[\]\.fabric\.cage", "a whole number from 0 to 7"),
    (r"fabric\.subnets", "auto or a list of subnets such as [192.168.100.0/24]"),
    (r"fabric\.subnets\[\]", "an IPv4 subnet such as 192.168.100.0/24, without host bits"),
    (r"nodes\[\]\.fabric\.addresses\[\]", "an IPv4 address such as 192.168.100.11"),
    (r"ray\.num_gpus", "auto or a whole number from 1 to 16"),
    (r"vllm\.arguments\..*", "text, a number, true, false, null, a list of these, or a mapping"),
    (r".*(_timeout)", "a number of seconds, more than 0 and at most 86400"),
)  # fmt: skip
PATTERNS = (
    (r"cluster|nodes\[\]\.name", "at most 32 lower-case letters, digits and inner dashes"),
    (r"runtime\.venv", "a path that begins with / or ~/"),
    (r"nodes\[\]\.host", "a host name or address"),
    (r"(nodes\[\]\.env|env\.set)\..*", "a variable's name: letters, digits and _, no digit first"),
)
KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "less_than_equal": ("le", "at most {}"),
    "greater_than": ("gt", "more than {}"),
    "too_short": ("min_length", "at least {} of these"),
    "too_long": ("max_length", "at most {} of these"),
    "string_too_short": ("min_length", "some text"),
    "string_too_long": ("max_length", "at most {} characters"),
}


def message(error: ErrorDetails, path: Path) -> str:
    """What was wanted and what was found at a path."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), path)
    if kind == "missing":
        return f"wanted the key {path[-1]}, it is missing"
    if kind == "string_pattern_mismatch" and path[:2] == ("vllm", "arguments"):
        return _argument(str(value))
    found = shown(value)
    if any(is_secret(part, value) for part in path if isinstance(part, str)):
        found = MASK  # a secret of the wrong type is a secret
    if "env" in path and kind == "string_type" and isinstance(value, (bool, int, float)):
        found += "; quote it"
    return f"wanted {_wanted(kind, error.get('ctx', {}), error['msg'], path)}, found {found}"


def _wanted(kind: str, context: Mapping[str, Any], said: str, path: Path) -> str:
    place = re.sub(r"\[\d+\]", "[]", dotted(path))
    table = PATTERNS if kind == "string_pattern_mismatch" else PLACES
    for pattern, text in table:
        if re.fullmatch(pattern, place):
            return text
    if kind in BOUNDS:
        name, text = BOUNDS[kind]
        return text.format(context[name])
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    return KINDS.get(kind, said)


def _unknown(name: str, path: Path) -> str:
    fields = _fields(Inventory, path[:-1])
    near = difflib.get_close_matches(short(name), fields, 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(fields)}"
    return f"wanted a known key, found {short(name)}; {hint}"


def _argument(name: str) -> str:
    """vLLM's flags are written one way, so that none is given twice."""
    if "." in name:
        # The dotted group wins and the JSON is lost, without a warning (run on vLLM 0.32).
        group = name.lstrip("-").partition(".")[0].replace("_", "-")
        group = {"cc": "compilation-config"}.get(group, group)
        return (
            f"wanted a mapping under {short(group)}, found {short(name)}: beside a dotted flag"
            " vLLM loses the JSON of its group"
        )
    plain = name.lstrip("-").lower().replace("_", "-")
    hint = f"; write {short(plain)}" if re.fullmatch(r"[a-z][a-z0-9-]*", plain) else ""
    return f"wanted a flag's name such as max-model-len, found {short(repr(name))}{hint}"


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that are known at a path."""
    for part in path:
        if not isinstance(part, int):
            model = _models(model.model_fields[part].annotation)[0]
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in _models(a)]
