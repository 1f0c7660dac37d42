"""A problem of an inventory, and the paths that name its place."""

from __future__ import annotations

from typing import NamedTuple

from sparkctl.errors import FileProblem
from sparkctl.secret.value import LONGEST as LONGEST_READ
from sparkctl.secret.value import masked

Path = tuple[str | int, ...]
LONGEST = 60  # characters of one value in a message
# Their text names the key, so the path before it ends at the mapping around the key.
NAMES_ITS_KEY = frozenset({"duplicate-key", "missing-key", "unknown-key"})


class Problem(NamedTuple):
    """What is wrong at a path; `at_key` when it is the key that is wrong, not its value."""

    path: Path
    text: str
    at_key: bool = False
    code: str = "bad-value"

    def in_file(self, file: str, line: int, column: int) -> FileProblem:
        """The problem with its place in a file."""
        before = dotted(self.path[:-1] if self.code in NAMES_ITS_KEY else self.path)
        text = f"{before}: {self.text}" if before else self.text
        return FileProblem(self.code, text, file, line, column, dotted(self.path) or None)


def dotted(path: Path) -> str:
    """nodes[1].role; the path of the whole document is empty. A key that is recognizable as
    a secret is masked.
    """
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{short(unsecret(p))}" for p in path)
    return text.removeprefix(".")


def short(text: str) -> str:
    """Text that fits in a message."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def quoted(text: str) -> str:
    """Text in double quotes, short and on one line, what is not printable as an escape, without
    secrets that are recognizable.
    """
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in unsecret(text))
    return f'"{short(line)}"'


def shown(value: object) -> str:
    """A value as a message shows it, short and without secrets that are recognizable."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return quoted(value) if isinstance(value, str) else short(str(value))


def unsecret(text: str) -> str:
    """The beginning of a text, without recognizable secrets."""
    return masked("", text[:LONGEST_READ])
