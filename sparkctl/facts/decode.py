"""A node's answer from text to checked values; whatever is wrong with it is an error of that node.

What is handed on is the plain object, as it was sent.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from sparkctl.errors import CommandError
from sparkctl.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

PROBE, FOLLOW = "probe.probe", "follow.follow"
DEPTH = 32  # levels of an answer; a probe's has eight
SHOWN = 200  # characters of an answer that an error shows
SURROGATE = re.compile(r"(?i)\\ud[89a-f]")
MISSING = "missing from the answer"
# pydantic's kinds of error in our words; one that is not here is told in pydantic's.
WORDS = {
    "missing": "it is missing",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected text",
    "string_unicode": "expected text",
    "string_pattern_mismatch": "expected printable text",
    "string_too_long": "the text is too long",
    "too_short": "it is empty",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
}


def load() -> None:
    """Make the shapes ready, which takes as long as a login: for while a node is waited for."""
    from sparkctl.facts import probe

    for group in (PROBE, *(f"{PROBE}.{name}" for name in probe.GROUPS)):
        _adapter(group)


def decode(target: str, stdout: bytes, node: str, title: str) -> dict[str, Any]:
    """The answer of `module.function` of sparkctl/node: the last line of what it printed.

    Raises CommandError, with the node, for whatever is no answer of the declared shape.
    """
    last = stdout.strip().rpartition(b"\n")[2].decode(errors="replace")
    try:
        answer = _parsed(last)
    except ValueError as error:
        found = repr(last[:SHOWN]) if last else "nothing"
        raise CommandError(
            f"{title}: the answer is no JSON object ({error}); it printed {found}",
            node=node,
            hint="python3 there may be a wrapper: try `ssh NODE python3 -V`",
        ) from None
    return checked(target, answer, node, title)


def checked(target: str, answer: dict[str, Any], node: str, title: str) -> dict[str, Any]:
    """The same answer, of its declared shape; a probe's groups that are not go to `unread`."""
    try:
        if target == PROBE:
            return _groups(answer)
        _adapter(target).validate_python(answer)
    except ValidationError as error:
        raise CommandError(
            f"{title}: the answer is malformed: {_first(error)}",
            node=node,
            hint="python3 there may be a wrapper: try `ssh NODE python3 -V`",
        ) from None
    return answer


@cache
def _adapter(target: str) -> TypeAdapter[Any]:
    """The shape of a function's answer; of a probe's, `group` after the name. Made once."""
    from sparkctl.facts import answers, probe

    if target == PROBE:
        return TypeAdapter(probe.Scalars)
    group = target.removeprefix(f"{PROBE}.")
    return TypeAdapter(answers.SHAPES[target] if group == target else probe.GROUPS[group])


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


def _groups(answer: dict[str, Any]) -> dict[str, Any]:
    """A probe's answer, whose rest counts when one group of it is malformed."""
    from sparkctl.facts import probe

    _adapter(PROBE).validate_python(answer)
    unread = dict(answer["unread"])
    facts = {key: value for key, value in answer.items() if key not in probe.GROUPS}
    for group in probe.GROUPS:
        if group not in answer:
            unread.setdefault(group, MISSING)
            continue
        try:
            _adapter(f"{PROBE}.{group}").validate_python(answer[group])
        except ValidationError as error:
            unread[group] = f"malformed: {_first(error, group)}"
        else:
            facts[group] = answer[group]
            unread.pop(group, None)
    return {**facts, "unread": unread}


def _first(error: ValidationError, *above: str) -> str:
    """Where and what the first problem is, short and printable."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in (*above, *found["loc"])) or "the answer"
    said = WORDS.get(found["type"], found["msg"])
    return clean(f"{path[:SHOWN]}: {said[:SHOWN]}")
