"""A node's answer from text to frozen values; what is wrong with it is that node's error."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from sparkctl.errors import CommandError
from sparkctl.facts.wrong import SHOWN, first

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.facts.calls import Call

T = TypeVar("T")

DEPTH = 32  # levels of an answer; a probe's has eight
SURROGATE = re.compile(r"(?i)\\ud[89a-f]")
HINT = "python3 there may be a wrapper: try `ssh NODE python3 -V`"


def load() -> None:
    """Make the shapes ready, which takes as long as a login: for while a node is waited for."""
    from sparkctl.facts.node import NodeFacts

    NodeFacts.model_rebuild()  # an adapter alone builds nothing before its first use


def decode(call: Call[T], stdout: bytes, node: str, title: str) -> T:
    """The answer to a call: the last line of what the node printed, checked and frozen.

    Raises CommandError, with the node, for whatever is no answer of the declared shape.
    """
    last = stdout.strip().rpartition(b"\n")[2].decode(errors="replace")
    try:
        answer = _parsed(last)
    except ValueError as error:
        got = repr(last[:SHOWN]) if last else "nothing"
        raise CommandError(
            f"{title}: the answer is not a JSON object ({error}); the node printed {got}",
            node=node,
            hint=HINT,
            code="bad-answer",
        ) from None
    try:
        checked: T = _adapter(call).validate_python(answer)
    except ValidationError as error:
        raise CommandError(
            f"{title}: the answer is malformed: {first(error)}",
            node=node,
            hint=HINT,
            code="bad-answer",
        ) from None
    return checked


@cache
def _adapter(call: Call[T]) -> TypeAdapter[T]:
    """Made once for each call."""
    return TypeAdapter(call.answer)


def _parsed(text: str) -> dict[str, Any]:
    """Raises ValueError for what is no object, or one that no answer is like."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    level: list[Any] = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return _encodable(value) if SURROGATE.search(text) else value
    raise ValueError("it is nested too deeply")


def _encodable(value: Any) -> Any:
    """Python has lone surrogates for bytes that are no UTF-8, in names and variables; no file or
    terminal takes them.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [v for v in value.values() if isinstance(v, (dict, list))]
    return [v for v in value if isinstance(v, (dict, list))]
