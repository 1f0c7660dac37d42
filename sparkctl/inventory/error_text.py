"""Pydantic's errors as problems of a YAML file, with a code and a text for people; pure."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel

from sparkctl.inventory.models import Inventory
from sparkctl.inventory.paths import Path, Problem, dotted, quoted, short, shown, unsecret
from sparkctl.secret.names import MASK, is_secret

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from sparkctl.inventory.yamlread import Value

# What is expected at a path, where the type alone says too little or a union has several.
PLACES = (
    (r"(.*\.)?(min|max)_worker_port", "a port from 1024 to 65535"),
    (r"(.*\.)?([a-z_]+_)?port", "a port from 1 to 65535"),
    (r"fabric\.cage", "auto or a whole number from 0 to 7"),
    (r"nodes\[\]\.fabric\.cage", "a whole number from 0 to 7"),
    (r"fabric\.mtu", "a number from 1280 to 9216"),
    (r"fabric\.subnets", "auto or a list of subnets such as [192.168.100.0/24]"),
    (r"fabric\.subnets\[\]", "an IPv4 subnet such as 192.168.100.0/24, without host bits"),
    (r"nodes\[\]\.fabric\.addresses\[\]", "an IPv4 address such as 192.168.100.11"),
    (r"ray\.num_gpus", "auto or a whole number from 1 to 16"),
    (r"services", "a mapping with a name for each service"),
    (
        r"((vllm|services\.[^.]+)\.arguments|(.*\.)?runtime\.flags)\..*",
        "text, a number, true, false, null, a list of these, or a mapping",
    ),
    (r".*(_timeout)", "a number of seconds, more than 0 and at most 86400"),
)
# The same where the text does not match a pattern, with the problem's code.
PATTERNS = (
    (
        r"cluster|nodes\[\]\.name|services\..*",
        "bad-name",
        "at most 32 lower-case letters, digits and inner dashes",
    ),
    (r"(.*\.)?runtime\.venv", "bad-path", "a path that begins with / or ~/"),
    (r"(.*\.)?runtime\.image", "bad-image", "an image such as vllm/vllm-openai:v0.32.0"),
    (r"(.*\.)?runtime\.mounts\[\]", "bad-mount", "SOURCE, SOURCE:TARGET or SOURCE:TARGET:ro"),
    (r"nodes\[\]\.host", "bad-host", "a host name or address"),
    (r"(nodes\[\]\.env|env\.set)\..*", "bad-name", "a variable name of letters, digits and _"),
)
TYPES = {
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
# Of a bound: its name in pydantic's context, the code, what is expected.
BOUNDS = {
    "greater_than_equal": ("ge", "out-of-range", "at least {}"),
    "less_than_equal": ("le", "out-of-range", "at most {}"),
    "greater_than": ("gt", "out-of-range", "more than {}"),
    "too_short": ("min_length", "too-short", "a list with {} or more items"),
    "too_long": ("max_length", "too-long", "a list with at most {} items"),
    "string_too_short": ("min_length", "too-short", "some text"),
    "string_too_long": ("max_length", "too-long", "at most {} characters"),
}
CODES = {
    "literal_error": "unknown-value",
    "ip_from_number": "bad-address",
    "ip_v4_address": "bad-address",
    "ip_v4_network": "bad-address",
}


def problem(error: ErrorDetails, path: Path) -> Problem:
    """One of pydantic's errors at a path of the file."""
    kind = error["type"]
    if kind == "extra_forbidden":
        return Problem(path, _unknown(str(path[-1]), path), at_key=True, code="unknown-key")
    if kind == "missing":
        return Problem(path, f'missing required key "{path[-1]}"', code="missing-key")
    at_key = error["loc"][-1] == "[key]"
    if at_key and path[-2:-1] == ("flags",):
        what = "a flag's long name as in `docker run --help`, without dashes in front"
        return _misnamed(path, what, r"[a-z][a-z0-9-]+")
    if at_key and "arguments" in path[1:-1]:
        return _bad_flag(path)
    expected, code = _expected(error, path)
    return Problem(path, f"expected {expected}, got {_got(error, path)}", at_key, code)


def _got(error: ErrorDetails, path: Path) -> str:
    value: Value = error["input"]
    got = shown(value)
    if any(is_secret(part, value) for part in path if isinstance(part, str)):
        got = MASK  # also where a secret has the wrong type
    if "env" in path and error["type"] == "string_type" and isinstance(value, (bool, int, float)):
        got += "; quote it"
    return got


def _expected(error: ErrorDetails, path: Path) -> tuple[str, str]:
    """What is expected at a path, and the problem's code."""
    kind, context = error["type"], error.get("ctx", {})
    place = re.sub(r"\[\d+\]", "[]", dotted(path))
    if kind == "string_pattern_mismatch":
        for pattern, code, text in PATTERNS:
            if re.fullmatch(pattern, place):
                return text, code
    text, code = TYPES.get(kind, error["msg"]), CODES.get(kind, "wrong-type")
    if kind == "literal_error":
        text = str(context["expected"]).replace("'", '"')
    elif kind in BOUNDS:
        name, code, text = BOUNDS[kind]
        text = text.format(context[name])
    return next((t for pattern, t in PLACES if re.fullmatch(pattern, place)), text), code


def _unknown(name: str, path: Path) -> str:
    fields = _fields(Inventory, path[:-1])
    near = difflib.get_close_matches(short(name), fields, 1, 0.6)
    hint = f'did you mean "{near[0]}"?' if near else f"known keys: {', '.join(fields)}"
    return f"unknown key {quoted(name)}; {hint}"


def _bad_flag(path: Path) -> Problem:
    """vLLM's flags are written one way, so that none is given twice."""
    name = str(path[-1])
    if "." in name:
        # The dotted group wins and the JSON is lost, without a warning (run on vLLM 0.32).
        group = name.lstrip("-").partition(".")[0].replace("_", "-")
        group = {"cc": "compilation-config"}.get(group, group) if unsecret(name) == name else MASK
        text = (
            f"vLLM drops a group's JSON when a dotted flag sets one of its fields;"
            f" write a mapping under {quoted(group)}"
        )
        return Problem(path, text, at_key=True, code="dotted-flag")
    return _misnamed(path, "a flag name such as max-model-len", r"[a-z][a-z0-9-]*")


def _misnamed(path: Path, expected: str, pattern: str) -> Problem:
    """A flag's name that is written otherwise, with the right form if that can be known."""
    name = str(path[-1])
    plain = name.lstrip("-").lower().replace("_", "-")
    is_known = unsecret(name) == name and re.fullmatch(pattern, plain)
    hint = f"; write {short(plain)}" if is_known else ""
    text = f"expected {expected}, got {quoted(name)}{hint}"
    return Problem(path, text, at_key=True, code="bad-flag")


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """The known keys at a path."""
    parts = iter(p for p in path if not isinstance(p, int))
    for part in parts:
        annotation = model.model_fields[part].annotation
        model = _models(annotation)[0]
        if get_origin(annotation) is dict:
            next(parts, None)  # the name of one
    return list(model.model_fields)


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in get_args(annotation) for m in _models(a)]
