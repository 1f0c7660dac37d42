"""JSON from elsewhere: each function returns a checked value, and raises ValueError for others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.node.wire import Json


def load(data: str | bytes) -> Json:
    """The value of a JSON text."""
    try:
        value: Json = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def table(value: Json) -> Mapping[str, Json]:
    """The value, which must be an object."""
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return value


def rows(value: Json) -> Sequence[Json]:
    """The value, which must be a list."""
    if not isinstance(value, list):
        raise ValueError("expected a list")
    return value


def text(value: Json) -> str:
    """The value, which must be text."""
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def number(value: Json) -> float:
    """The value, which must be a number."""
    if not isinstance(value, (int, float)):
        raise ValueError("expected a number")
    return value
