"""Texts and values of a support bundle, without secrets and names; a log line by line."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from sparkctl.secret.names import MASK, PRIVATE_KEY, is_secret
from sparkctl.secret.text import LOOKED_AT, SUSPECT, TO_BE_CONTINUED, secretless
from sparkctl.secret.value import Secret, concealed
from sparkctl.text import SEQUENCE, clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.doctor.masking import Masking

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
KEY_END = re.compile(r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----")
LINE_END = re.compile(r"\r\n|\r")
OPENING = frozenset(":=[{(,|>\"'\\")  # ends of a line whose value is on the next ones
CLOSING = {"[": "]", "{": "}", "(": ")", '"' * 3: '"' * 3, "'" * 3: "'" * 3}
MOST_HIDDEN = 100  # lines of one value
LINES = 4096  # that are remembered: most lines of a log come several times


def _continued(line: str) -> re.Match[str] | None:
    """The name of a secret at the line's end; most lines have none by their last character."""
    if line[-1:] in OPENING or line.rpartition(" ")[2].startswith(("-", "|", ">")):
        return TO_BE_CONTINUED.search(line)
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


class Seal:
    """Masks every text alike: secrets, users, hosts, homes and public addresses."""

    def __init__(self, masks: Masking) -> None:
        self.masks = masks
        self._line = lru_cache(LINES)(self._masked)

    def text(self, text: str) -> str:
        """The text masked, without escape sequences; of a very long line the beginning alone.

        A progress bar's carriage returns end lines.
        """
        text = LINE_END.sub("\n", SEQUENCE.sub("", text))
        text = PRIVATE_KEY.sub(MASK, concealed(text))
        if ends := [*KEY_END.finditer(text)]:  # of a key whose beginning is not here
            text = MASK + text[ends[-1].end() :]
        return "\n".join(self._lines(text.split("\n")))

    def _lines(self, lines: Sequence[str]) -> Iterator[str]:
        """The lines masked; those of a value whose name ends the line before as a whole: up to its
        bracket's end, or the next one and those indented below it.
        """
        hidden, closing, indent = 0, "", 0
        for line in lines:
            below = not hidden or closing or hidden == MOST_HIDDEN or _indent(line) > indent
            if hidden and line.strip() and below:
                hidden = 0 if closing and closing in line else hidden - 1
                yield MASK
                continue
            yield self._line(line)
            if line.strip():
                found = _continued(line.rstrip()[-LOOKED_AT:])
                hidden, indent = MOST_HIDDEN if found else 0, _indent(line)
                bracket = (found["value"] or found["values"] or "") if found else ""
                closing = CLOSING.get(bracket, "")

    def _masked(self, line: str) -> str:
        more = ""
        if len(line) > LOOKED_AT:
            # Up to a space: a secret that is cut is not recognized.
            kept = line[:LOOKED_AT].rpartition(" ")[0]
            line, more = kept, f"… ({len(line) - len(kept)} more characters)"
        line = clean(line)
        return self.masks.anonymous(secretless(line) if SUSPECT.search(line) else line) + more

    def value(self, value: object, name: str = "") -> Json:
        """The value as JSON has it, each key and text masked, and what its name says is secret."""
        if value is None or isinstance(value, bool):
            return value
        if hasattr(value, "model_dump"):
            return self._fields(value)
        if is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, dict):
            return {
                self.text(str(k)): self.value(v, name if is_secret(name) else str(k))
                for k, v in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [*self._items([*value], name)]
        if is_secret(name, value):
            return MASK
        return value if isinstance(value, (int, float)) else self.text(str(value))

    def _fields(self, shape: Any) -> Json:
        """An object of a known shape: its fields' names are those of no secret (host_keys)."""
        known = type(shape).model_fields.items()
        return {field.alias or name: self.value(getattr(shape, name)) for name, field in known}

    def _items(self, items: Sequence[object], name: str) -> Iterator[Json]:
        """A list's; in an argv the word after a secret's flag is one."""
        before: object = ""
        for item in items:
            is_flag = isinstance(before, str) and before.startswith("-")
            hidden = is_flag and is_secret(str(before).strip("-")) and not isinstance(item, Secret)
            yield MASK if hidden else self.value(item, name)
            before = item
