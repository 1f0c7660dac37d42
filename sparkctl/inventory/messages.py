"""Pydantic's errors in the words of somebody who edits a YAML file; pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sparkctl.inventory.models import Inventory

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
    "ip_v4_address": "an IPv4 address such as 192.168.100.11",
    "ip_v4_network": "an IPv4 subnet such as 192.168.100.0/24",
}
PATTERNS = {
    "name": "lower-case letters, digits and inner dashes, at most 32",
    "cluster": "lower-case letters, digits and inner dashes, at most 32",
    "venv": "a path that begins with / or ~/",
    "host": "a host name or address",
    "arguments": "a flag's name without its dashes, such as max-model-len",
}


def message(error: ErrorDetails, path: tuple[str | int, ...]) -> str:
    """What was wanted and what was found."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), path)
    if kind == "missing":
        return "wanted this key, it is missing"
    return f"wanted {_wanted(kind, context, error, path)}, found {shown(error['input'])}"


def _wanted(
    kind: str, context: Mapping[str, Any], error: ErrorDetails, path: tuple[str | int, ...]
) -> str:
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind == "string_pattern_mismatch":
        names = [str(p) for p in reversed(path)]
        return next(
            (PATTERNS[n] for n in names if n in PATTERNS), f"text like {context['pattern']}"
        )
    bounds = {
        "greater_than_equal": ("ge", "at least {}"),
        "less_than_equal": ("le", "at most {}"),
        "greater_than": ("gt", "more than {}"),
    }
    if kind in bounds:
        name, text = bounds[kind]
        return text.format(context[name])
    if kind in ("too_short", "string_too_short"):
        return f"at least {context.get('min_length', 1)}"
    if kind in ("too_long", "string_too_long"):
        return f"at most {context.get('max_length')}"
    if kind.startswith(("ip_v4_address", "ip_v4_network", "ip_any")):
        return KINDS[kind.removesuffix("_error")] if kind in KINDS else "an IPv4 address or subnet"
    return KINDS.get(kind, error["msg"])


def shown(value: object) -> str:
    """A value as it would stand in YAML, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value)[:80]


def _unknown(name: str, path: tuple[str | int, ...]) -> str:
    known = _fields(Inventory, path[:-1])
    near = difflib.get_close_matches(name, known, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
    return f"wanted a known key, found {name}{hint if known else ''}"


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that are known at a path."""
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        found = _models(field.annotation) if field else []
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in _models(a)]
