"""Lines and JSON on stdout and stderr, written at once; needs no rich, whose import is slow."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sparkctl.interrupt import Postponed
from sparkctl.output.terminal import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal, TextIO

    Form = Literal["table", "wide", "json", "name"]  # what -o and --json choose

    Fields = Mapping[str, object]  # an object of a JSON document
    Document = Fields | Sequence[Fields]


def print_out(text: str) -> None:
    """Print a line on stdout."""
    print(text, flush=True)


def print_wrapped(text: str, *, margin: str = "", hang: int | None = None) -> None:
    """Print prose on stdout, on a terminal broken between words, each line after the margin.

    `hang`: the spaces before what goes on of a line, where its begin does not give them.
    """
    print_out(_prose(text, sys.stdout, margin, hang))


def print_err(text: str, *, margin: str = "") -> None:
    """The same on stderr."""
    print_as_is(_prose(text, sys.stderr, margin))


def print_as_is(text: str) -> None:
    """Print the lines of a log on stderr: the terminal breaks them."""
    print(text, file=sys.stderr, flush=True)


def _prose(text: str, stream: TextIO, margin: str, hang: int | None = None) -> str:
    lines = text.split("\n")
    if width := columns(stream):
        from sparkctl.output.prose import wrapped

        lines = wrapped(text, width - len(margin), hang)
    return "\n".join(f"{margin}{line}" for line in lines)


def print_names(names: Iterable[str]) -> None:
    """Print the names once each, one a line."""
    for name in dict.fromkeys(names):
        print_out(name)


def print_json(document: Document) -> None:
    """Print the one JSON document of a command on stdout, unless Ctrl-C came during an import."""
    Postponed.check()
    print_out(json.dumps(document, indent=2, default=str))
