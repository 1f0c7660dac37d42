"""Lines and JSON on stdout and stderr, written at once; needs no rich, whose import is slow."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sparkctl.interrupt import Postponed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal

    Form = Literal["table", "wide", "json", "name"]  # what -o and --json choose

    Fields = Mapping[str, object]  # an object of a JSON document
    Document = Fields | Sequence[Fields]


def print_out(text: str) -> None:
    """Print a line on stdout."""
    print(text, flush=True)


def print_wrapped(text: str) -> None:
    """Print a line on stdout, on a terminal broken between words."""
    if sys.stdout.isatty():
        from sparkctl.output.console import console, print_prose

        print_prose(console(), text, hang=2)
    else:
        print_out(text)


def print_err(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_names(names: Iterable[str]) -> None:
    """Print the names once each, one a line."""
    for name in dict.fromkeys(names):
        print_out(name)


def print_json(document: Document) -> None:
    """Print the one JSON document of a command on stdout, unless Ctrl-C came during an import."""
    Postponed.check()
    print_out(json.dumps(document, indent=2, default=str))
