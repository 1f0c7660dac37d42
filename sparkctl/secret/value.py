"""Values that show a mask wherever they are printed; pure.

They are made where text enters (inventory/models.py, inventory/layers.py), so a printer cannot
forget to mask; what is sent to a node takes the text by `revealed`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, TypeAlias, TypeVar, cast

from sparkctl.secret.names import MASK, is_secret
from sparkctl.secret.text import LOOKED_AT, secretless

V = TypeVar("V")
Json: TypeAlias = "str | bool | int | float | list[Json] | dict[str, Json] | None"
HASHED = "sha256:"
SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]*://")  # RFC 3986, 3.1
LONGEST = LOOKED_AT  # characters searched for secrets: the patterns are not linear in time
SHORTEST = 6  # characters of a secret that `concealed` looks for; fewer occur by chance

_shown_for: dict[str, str] = {}  # each Secret of this process, as others may print it


class Secret(str):
    """A value that is secret, or has a secret part: as a str it is only what may be shown.

    Whatever prints, formats, cuts or encodes it gets the mask. Equality and hash are those of the
    real text.
    """

    __slots__ = ("_value",)
    _value: str | float

    def __new__(cls, value: str | float, shown: str = MASK) -> Self:
        """`value` is text, or a number in a mapping; `shown` is what may be printed."""
        made = super().__new__(cls, shown)
        made._value = value
        real = str(value)
        if len(real) >= SHORTEST:
            _shown_for[real] = _shown_for[json.dumps(real)[1:-1]] = shown
        return made

    def __getnewargs__(self) -> tuple[str | float, str]:  # type: ignore[override]  # str gives one
        """For copies."""
        return self._value, str(self)

    def reveal(self) -> str:
        """The real text."""
        return str(self._value)

    def __eq__(self, other: object) -> bool:
        return self.reveal() == (other.reveal() if isinstance(other, Secret) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.reveal())


def protected(name: str, value: Json) -> Json:
    """The value of an argument or a variable, with a Secret for each secret in it.

    Includes those in lists and mappings, where each key is a name; below the name of a secret
    every value is one.
    """
    if isinstance(value, dict):
        return {k: protected(name if is_secret(name) else k, v) for k, v in value.items()}
    if isinstance(value, list):
        return [protected(name, item) for item in value]
    if isinstance(value, str):
        return protected_text(value, name)
    return Secret(value) if value is not None and is_secret(name, value) else value


def protected_text(text: str, name: str = "") -> str:
    """The text, or a Secret that shows it without the secrets in it, if there are any."""
    if isinstance(text, Secret):
        return text
    shown = _shown(text, name)
    return text if shown == text else Secret(text, shown)


def _shown(text: str, name: str) -> str:
    if not text:
        return text
    if is_secret(name, text):
        return MASK
    if len(text) > LONGEST:
        return f"({len(text)} characters)"
    if text[0] in "{[":
        with suppress(ValueError, RecursionError):
            value: Json = json.loads(text)
            kept = protected(name, value)
            # Equality sees the real text, and JSON only what is shown.
            if json.dumps(kept) != json.dumps(value):
                return json.dumps(kept, separators=(",", ":"))
    if name.lower().endswith("proxy") and "@" in text:
        scheme = SCHEME.match(text)
        return f"{scheme[0] if scheme else ''}{MASK}@{text.rpartition('@')[2]}"
    return secretless(text)


def masked(name: str, value: str) -> str:
    """The part of a value that may be shown: all, some, or **** if the name is a secret's."""
    return str(protected_text(value, name))


def concealed(text: str) -> str:
    """The text with a mask for every Secret of this process that occurs in it.

    For logs: a program that got the secret may print it under no name.
    """
    for real in sorted(_shown_for, key=len, reverse=True):
        if real in text:
            text = text.replace(real, _shown_for[real])
    return text


def revealed(value: V) -> V:
    """The value with the real texts: for a node, by stdin or in a 0600 file, and for digests."""
    return cast("V", _revealed(value))


def text_of(value: object) -> str:
    """A scalar as the text of a command line or a variable; a secret number stays a Secret."""
    return Secret(value.reveal(), str(value)) if isinstance(value, Secret) else str(value)


def public(values: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not secret by their name and have no secret part."""
    return {
        name: value
        for name, value in values.items()
        if not (isinstance(value, Secret) or is_secret(name))
    }


def replaced(argv: Sequence[str], by: Callable[[Secret], str]) -> tuple[str, ...]:
    """The argv with `by(secret)` for each Secret in it."""
    return tuple(by(part) if isinstance(part, Secret) else part for part in argv)


def _revealed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value._value
    if isinstance(value, Mapping):
        return {k: _revealed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_revealed(item) for item in value)
    return value


def hashed(name: str, value: str, salt: str) -> str:
    """`sha256:…` of a secret, for records; it depends on name, text and salt. Else the value."""
    kept = protected_text(value, name)
    if not isinstance(kept, Secret):
        return kept
    data = json.dumps([salt, name, kept.reveal()]).encode()
    return f"{HASHED}{hashlib.sha256(data).hexdigest()}"
