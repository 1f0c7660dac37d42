"""What to run once a model is served: a request as a curl command, and sparkctl's next commands."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.operations.up import ApiKey, Endpoint

NEXT = ("status", "logs -f", "doctor", "down")
USUAL = Path("inventory.yaml")
VARIABLE = "SPARKCTL_INVENTORY"
MARGIN = "  "
INDENT = 2 * MARGIN  # of lines that continue
CONTINUED = " \\"


def curl(endpoint: Endpoint) -> str:
    """A command for a POSIX shell that asks for a completion; the key is a variable of it."""
    return " ".join([*_words(endpoint), f"-d {_quoted(_body(endpoint))}"])


def curl_lines(endpoint: Endpoint, width: int) -> list[str]:
    """The same command in lines of so many columns, as far as its words allow."""
    whole = curl(endpoint)
    if len(MARGIN) + len(whole) <= width:
        return [MARGIN + whole]
    words = _packed(_words(endpoint), width - len(INDENT) - len(CONTINUED))
    lines = [(INDENT if number else MARGIN) + line + CONTINUED for number, line in enumerate(words)]
    body = _packed(_body(endpoint), width - len(INDENT) - len("-d ''"))
    within = "\n" + INDENT + " " * len("-d '")  # JSON allows what a shell keeps between quotes
    return [*lines, *f"{INDENT}-d {shlex.quote(within.join(body))}".split("\n")]


def key_line(key: ApiKey, inventory: Path) -> str:
    """Where the user finds the key's value, which the user's shell does not have."""
    place = f"{key.place} of {inventory}" if key.place else f"the env layer {key.layer}"
    return f"${key.variable} is the key in {place}; export it in your shell first."


def next_commands(inventory: Path) -> list[str]:
    """sparkctl's commands for this inventory, in the same folder and environment."""
    option = "" if is_implied(inventory) else f" -i {shlex.quote(str(inventory))}"
    return [f"sparkctl {name}{option}" for name in NEXT]


def is_implied(inventory: Path) -> bool:
    """Whether a command finds this inventory without -i, in the same folder and environment."""
    return inventory == Path(os.environ.get(VARIABLE) or USUAL)


def _words(endpoint: Endpoint) -> list[str]:
    """The command without its body, in words that belong together."""
    words = ["curl " + shlex.quote(f"{endpoint.url}/chat/completions")]
    words.append("-H 'Content-Type: application/json'")
    if endpoint.key:
        words.append(f'-H "Authorization: Bearer ${endpoint.key.variable}"')
    return words


def _body(endpoint: Endpoint) -> list[str]:
    """A JSON document, in pieces between which it may be broken."""
    messages = json.dumps([{"role": "user", "content": "Hello"}])
    model = json.dumps(endpoint.model, ensure_ascii=False)
    return [f'{{"model": {model},', f'"messages": {messages},', '"max_tokens": 50}']


def _quoted(pieces: Sequence[str]) -> str:
    return shlex.quote(" ".join(pieces))


def _packed(pieces: Iterable[str], width: int) -> list[str]:
    """The pieces in lines of so many columns, as far as they allow."""
    first, *rest = pieces
    lines = [first]
    for piece in rest:
        if len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines
