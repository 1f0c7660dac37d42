"""Text that others wrote, made fit for a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Control and format characters (which move the cursor or change the writing direction),
# surrogates, private-use characters, and line or paragraph separators other than a line feed.
UNFIT = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
KEPT = frozenset("\n\t")
PLAIN = re.compile(r"[\t\n -~]*")
# A value that is seen as it is without quotes.
SEPARATE = re.compile(r"""[^\s'"`;]+""")
# Sequences that control a terminal (ECMA-48): CSI; OSC, DCS and their like up to their end; the
# shorter ones. With ESC or its 8-bit form.
SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)

# Refused in files: control characters except line ends and tabs, surrogates, and what changes the
# writing direction or separates lines. Joiners are allowed: emoji and scripts need them.
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

LONGEST_NAME = 256  # characters that are compared with known names

# In a text that is written before a service is known: where the inventory has its settings.
KEY = "{key}"


def keyed(text: str, key: str) -> str:
    """The text for a service whose settings the inventory has at `key`, such as services.chat."""
    return text.replace(KEY, key)


def nearest(name: str, known: Iterable[str]) -> str:
    """What follows an unknown name in an error: `; did you mean "x"?`; empty where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(name[:LONGEST_NAME], list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def counted(number: int, noun: str) -> str:
    """The number with its noun, such as `1 rank` and `2 processes`."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """More than one of this noun."""
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def unfit(character: str) -> bool:
    """Whether this character would control a terminal, or be invisible."""
    return character not in KEPT and unicodedata.category(character) in UNFIT


def clean(text: str) -> str:
    r"""The text with each character that is unfit for a terminal escaped as \xNN or \uNNNN."""
    if PLAIN.fullmatch(text):
        return text
    return "".join(_escaped(c) if unfit(c) else c for c in text)


def one_line(text: str) -> str:
    r"""The cleaned text, with \n and \t for line feeds and tabs."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def quoted(value: str) -> str:
    """A value, set apart from its surroundings: in backticks where it has a space, quote,
    backtick or semicolon, its invisible characters escaped; `(empty)` for nothing.
    """
    shown = "".join(_escaped(c) if c.isspace() and c != " " else c for c in clean(f"{value}"))
    if not shown:
        return "(empty)"
    return shown if SEPARATE.fullmatch(value) else f"`{shown}`"


def plain(text: str) -> str:
    """A log's text without escape sequences; other characters unfit for a terminal are escaped.

    A carriage return ends a line, as a progress bar overwrites its own.
    """
    if PLAIN.fullmatch(text):
        return text
    return clean(SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
