"""A problem of an inventory, and the paths that name its place."""

from __future__ import annotations

from typing import NamedTuple

from sparkctl.secret.value import LONGEST as LONGEST_READ
from sparkctl.secret.value import masked

Path = tuple[str | int, ...]
LONGEST = 60  # characters in a message


class Problem(NamedTuple):
    """What was wanted and found at a path; `at_key` when the key is wrong, not its value."""

    path: Path
    text: str
    at_key: bool = False


def dotted(path: Path) -> str:
    """nodes[1].role; the whole document is (top)."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{short(p)}" for p in path)
    return text.removeprefix(".") or "(top)"


def short(text: str) -> str:
    """Text that fits in a message."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def shown(value: object) -> str:
    """A value as it would stand in YAML, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return short(repr(unsecret(value) if isinstance(value, str) else value))


def unsecret(text: str) -> str:
    """The beginning of a text, without secrets that show by themselves."""
    return masked("", text[:LONGEST_READ])
